"""What stops a run at its start, and how a run is found again."""

import io
import os
import shutil
import types

import jax
import pytest
from rich.console import Console

from experiments import exported, runs
from experiments.sudoku_presets import PRESETS
from experiments.terminal import Shown
from hrm_jax.core.config import to_json
from hrm_jax.tasks.sudoku import SudokuConfig, SudokuTask
from hrm_jax.training.mesh import MeshConfig, make_mesh
from hrm_jax.training.state_arrays import CheckpointError

TASK = SudokuTask(PRESETS["minute"])


def train(folder, *, resume=False):
    console, shown = Console(file=io.StringIO()), Shown("puzzles", 32, {})
    runs.train(TASK, folder, console, resume=resume, shown=shown)


@pytest.fixture(autouse=True)
def no_data(monkeypatch):
    """A run that does not stop at its start would ask for data."""
    monkeypatch.setattr(runs, "_load_in_turn", lambda _: pytest.fail("the run has begun"))


def test_a_full_disk_is_noticed_at_the_start(tmp_path, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: types.SimpleNamespace(free=1000))
    with pytest.raises(CheckpointError, match=r"expected [\d,]+ free bytes for .*, found 1,000"):
        train(tmp_path / "run")


def test_a_folder_that_cannot_be_made_is_noticed_at_the_start(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(CheckpointError, match="expected a writable folder at"):
        train(tmp_path / "file" / "run")


def test_a_folder_with_a_run_is_not_overwritten(tmp_path):
    (tmp_path / "config.json").write_text(to_json(TASK.config))
    with pytest.raises(runs.RunError, match="holds a run already; add --resume"):
        train(tmp_path)


def test_the_newest_run_is_the_one_saved_last(tmp_path):
    for age, name in enumerate(("new", "newer", "newest")):
        (tmp_path / name / runs.CHECKPOINTS).mkdir(parents=True)
        os.utime(tmp_path / name / runs.CHECKPOINTS, (age, age))
    (tmp_path / "no run").mkdir()
    assert runs.newest_run(tmp_path) == tmp_path / "newest"


def test_no_run_below_a_folder(tmp_path):
    with pytest.raises(runs.RunError, match="found none; train one first"):
        runs.newest_run(tmp_path)


def test_a_config_comes_back_as_it_was_saved(tmp_path):
    (tmp_path / "config.json").write_text(to_json(TASK.config))
    assert runs.read_config(tmp_path, SudokuConfig) == TASK.config
    with pytest.raises(runs.RunError, match=r"found no config\.json; name a run's folder"):
        runs.read_config(tmp_path / "elsewhere", SudokuConfig)


def test_a_run_without_a_checkpoint_cannot_be_loaded(tmp_path):
    (tmp_path / "config.json").write_text(to_json(TASK.config))
    mesh = make_mesh(MeshConfig(), jax.devices()[:1])
    with pytest.raises(runs.RunError, match="found none that is intact"):
        exported.load_any(tmp_path, mesh)
