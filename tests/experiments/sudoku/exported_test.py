"""Exported models: what was saved comes back, and the one that ships solves puzzles."""

import dataclasses

import jax
import numpy as np
import pytest

from experiments.sudoku import exported
from experiments.sudoku.presets import PRESETS
from hrm_jax.convert.model_folder import WEIGHTS, load_model, save_model
from hrm_jax.convert.weights import WeightsError
from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.data.sudoku import bank, puzzle_files, rules
from hrm_jax.data.sudoku.judging import solves
from hrm_jax.inference.stream import solve_stream
from hrm_jax.tasks.sudoku.task import SudokuTask


@pytest.mark.parametrize("preset", ["minute", "relational"])
def test_a_saved_model_comes_back_bit_for_bit(tmp_path, preset):
    task = SudokuTask(PRESETS[preset])
    variables = task.model.init(jax.random.key(1))
    save_model(tmp_path / "model", task.config, variables)
    loaded, values, step = exported.load_any(tmp_path / "model", make_mesh(MeshConfig()))
    assert (loaded.config, step) == (task.config, None)
    jax.tree.map(np.testing.assert_array_equal, values, variables)


def test_the_configuration_of_a_run_and_of_its_model_are_read_as_either(tmp_path):
    task = SudokuTask(PRESETS["minute"])
    variables = task.model.init(jax.random.key(1))
    save_model(tmp_path / "of a run", task.config, variables)
    save_model(tmp_path / "of a model", task.config.model, variables)
    for name in ("of a run", "of a model"):
        model, values = load_model(tmp_path / name)
        assert model == task.model
        jax.tree.map(np.testing.assert_array_equal, values, variables)
        loaded, values = exported.load(tmp_path / name)
        assert loaded.model == task.model
        jax.tree.map(np.testing.assert_array_equal, values, variables)


def test_a_damaged_model_is_refused(tmp_path):
    task = SudokuTask(PRESETS["relational"])
    save_model(tmp_path / "model", task.config, task.model.init(jax.random.key(1)))
    weights = tmp_path / "model" / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(WeightsError, match="expected a safetensors file"):
        exported.load(tmp_path / "model")


def test_what_is_no_model_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work", encoding="utf-8")
    task = SudokuTask(PRESETS["relational"])
    with pytest.raises(WeightsError, match=r"found thesis\.tex"):
        save_model(tmp_path, task.config, task.model.init(jax.random.key(1)))


def test_the_shipped_model_is_small_and_solves_held_out_puzzles():
    size_bytes = sum(path.stat().st_size for path in exported.shipped().iterdir())
    assert size_bytes <= 10 * 2**20
    task, variables = exported.load(exported.shipped())
    puzzles = puzzle_files.read(str(bank.shipped_file("test"))).take(slice(0, 2004, 84))
    settings = dataclasses.replace(task.config.test, batch_size=24, max_steps=16)
    assert settings.halting == "rules"
    engine = settings.engine(task.model, make_mesh(MeshConfig()))
    inputs = rules.encode(puzzles.questions)
    answers = solve_stream(engine, variables, inputs)
    np.testing.assert_array_equal(answers.valid, solves(inputs.astype(int), answers.tokens))
    # About nine in ten within 64 steps (docs/sudoku.md), fewer within these 16.
    assert (answers.tokens == rules.encode(puzzles.answers)).all(-1).sum() >= 18
