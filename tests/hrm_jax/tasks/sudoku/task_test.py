"""Sudoku as a task: what it refuses, which batches it trains on, and what it measures."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AbstractMesh

from hrm_jax.core.config import ConfigError, replace
from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.core.types import Batch
from hrm_jax.data.pipeline import Source
from hrm_jax.data.sudoku import csv_format, generator, puzzle_files, rules, symmetry
from hrm_jax.inference.thinking import think
from hrm_jax.models.puzzle_config import hrm
from hrm_jax.tasks.sudoku.task import DataConfig, EvaluationConfig, SudokuConfig, SudokuTask

CONFIG = SudokuConfig(
    model=hrm(
        hidden_size=8,
        num_heads=2,
        H_layers=1,
        L_layers=1,
        H_cycles=1,
        L_cycles=1,
        mixing="mlp",
        pos_encodings="none",
        puzzle_emb_ndim=0,
        halt_max_steps=3,
    ),
    batch_size=4,
)
TASK = SudokuTask(CONFIG)
PUZZLES = generator.generate(np.random.default_rng(0), 10)
SOURCE = Source(
    inputs=rules.encode(PUZZLES.questions),
    labels=rules.encode(PUZZLES.answers),
    rating=np.arange(10, dtype=np.int32),
    augment=symmetry.augment,
)
THREE_DEVICES = AbstractMesh((3, 1), ("data", "model"))


def test_a_fingerprint_is_of_the_training_puzzles():
    fewer = dataclasses.replace(
        SOURCE, inputs=SOURCE.inputs[1:], labels=SOURCE.labels[1:], rating=SOURCE.rating[1:]
    )
    assert TASK.fingerprint((SOURCE, fewer)) == TASK.fingerprint((SOURCE, SOURCE))
    assert TASK.fingerprint((fewer, SOURCE)) != TASK.fingerprint((SOURCE, SOURCE))


@pytest.fixture(scope="module")
def mesh():
    return make_mesh(MeshConfig(), jax.devices()[:1])


@pytest.fixture(scope="module")
def variables():
    """Variables under which the halting head stops at different steps."""
    variables = TASK.model.init(jax.random.key(0))
    head = variables.params["q_head"]
    head["kernel"][...] = 10 * jax.random.normal(jax.random.key(1), (8, 2))
    head["bias"][...] = jnp.zeros(2)
    return variables


# Configuration


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("model.seq_len", 80),
        ("model.vocab_size", 12),
        ("batch_size", 0),
        ("validation.puzzles", -1),
        ("test.batch_size", 0),
        ("data.num_augmentations", -1),
    ],
)
def test_what_sudoku_does_not_fit_is_refused(path, value):
    with pytest.raises(ConfigError, match=f"^{path}: expected .*, got {value};"):
        replace(CONFIG, {path: value})


@pytest.mark.parametrize(
    ("data", "split"),
    [
        (DataConfig(), "test"),
        (DataConfig("csv", train_csv="a.csv"), "validation"),
        (DataConfig("csv", train_csv="a.csv", test_csv="b.csv"), "test"),
    ],
)
def test_a_model_is_reported_on_the_test_file_where_there_is_one(data, split):
    assert data.held_out_split == split


@pytest.mark.parametrize("fields", [{"name": "csv"}, {"train_csv": "a.csv"}, {"test_csv": "a.csv"}])
def test_files_and_the_name_csv_belong_together(fields):
    with pytest.raises(ConfigError, match=r"set data\.train_csv or data\.test_csv exactly when"):
        DataConfig(**fields)


def test_an_unknown_data_set_is_answered_with_the_nearest(tmp_path):
    with pytest.raises(ConfigError, match=r"data: .*'bnak'; did you mean 'bank'"):
        DataConfig(name="bnak", data_dir=str(tmp_path)).load("train")


def test_a_missing_split_is_a_matter_of_the_config(tmp_path):
    csv_format.write(tmp_path / "test.csv", PUZZLES, ["here"] * 10)
    data = DataConfig("csv", test_csv=str(tmp_path / "test.csv"), data_dir=str(tmp_path / "data"))
    assert len(data.load("test")) == 10
    with pytest.raises(ConfigError, match=r"data: .* has the splits test, not 'train'"):
        data.load("train")


def test_unusable_rows_are_named(tmp_path):
    (tmp_path / "test.csv").write_text("question\n53..7\n")
    data = DataConfig("csv", test_csv=str(tmp_path / "test.csv"), data_dir=str(tmp_path / "data"))
    with pytest.raises(puzzle_files.PuzzleFileError, match="line 2"):
        data.load("test")


# Training batches


def first_batches(task, mesh, count, state=None):
    batches = task.training_batches((SOURCE, SOURCE), mesh)
    if state is not None:
        batches.set_state(state)
    return [next(batches) for _ in range(count)], batches.get_state()


def assert_equal(found, expected):
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_batches_have_the_announced_shapes(mesh):
    (batch,), _ = first_batches(TASK, mesh, 1)
    announced = TASK.abstract_batch()
    assert jax.tree.map(lambda x: (x.shape, x.dtype), batch) == jax.tree.map(
        lambda x: (x.shape, x.dtype), announced
    )


def test_labels_solve_the_inputs(mesh):
    for batch in first_batches(TASK, mesh, 3)[0]:
        puzzles = rules.decode(batch.inputs)
        answers = rules.decode(batch.labels)
        assert rules.is_solution(answers, puzzles).all()


def test_batches_go_on_where_the_state_was_taken(mesh):
    _, state = first_batches(TASK, mesh, 2)
    resumed, _ = first_batches(TASK, mesh, 3, state)
    whole, _ = first_batches(TASK, mesh, 5)
    assert_equal(resumed, whole[2:])


def test_the_seed_decides_the_batches(mesh):
    same, other = (SudokuTask(replace(CONFIG, {"seed": seed})) for seed in (0, 1))
    expected = first_batches(TASK, mesh, 1)[0][0]
    assert_equal(first_batches(same, mesh, 1)[0][0], expected)
    assert (first_batches(other, mesh, 1)[0][0].inputs != expected.inputs).any()


def test_without_augmentation_the_puzzles_are_those_of_the_source(mesh):
    plain = SudokuTask(replace(CONFIG, {"data.augment": False}))
    seen = [row for batch in first_batches(plain, mesh, 5)[0] for row in np.asarray(batch.inputs)]
    assert sorted(map(bytes, np.array(seen, np.uint8))) == sorted(
        map(bytes, np.repeat(SOURCE.inputs, 2, axis=0))
    )


def test_devices_share_a_training_batch_equally():
    with pytest.raises(ConfigError, match="batch_size: expected a multiple of the 3 devices"):
        TASK.training_batches((SOURCE, SOURCE), THREE_DEVICES)


# Metrics


def test_training_metrics_are_averaged_over_sequences_and_steps():
    sums = {
        "count": 4.0,
        "cell_accuracy": 2.0,
        "exact_accuracy": 1.0,
        "q_halt_accuracy": 3.0,
        "steps": 8.0,
        "lm_loss": 16.0,
        "q_halt_loss": 4.0,
        "q_continue_loss": 12.0,
    }
    averages = TASK.average(sums, steps=2)  # of 2 * 4 sequences
    assert averages["loss"] == 16 / 8 + 0.5 * (4 / 8 + 12 / 8)
    assert averages["cell_accuracy"] == 0.5
    assert averages["steps"] == 2.0


@pytest.fixture(scope="module")
def thoughts(variables):
    """What the model says about every puzzle, thought about all at once."""
    inputs = jnp.asarray(SOURCE.inputs, jnp.int32)
    batch = Batch(inputs, jnp.zeros_like(inputs), jnp.zeros(len(SOURCE), jnp.int32))
    return jax.device_get(think(TASK.model, variables, batch))


@pytest.mark.parametrize("batch_size", [4, 16])
def test_an_evaluation_sees_every_puzzle_once_and_no_padding(variables, mesh, thoughts, batch_size):
    assert len(set(thoughts.steps.tolist())) > 1, "all halt at one step"
    right = thoughts.tokens[-1] == SOURCE.labels
    seen = []
    settings = EvaluationConfig(puzzles=0, batch_size=batch_size)
    report = TASK.evaluate(variables, SOURCE, settings, mesh, seen.append)
    results = report.results
    np.testing.assert_array_equal(results.cell_accuracy, right.mean(-1))
    np.testing.assert_array_equal(results.steps, thoughts.steps)
    np.testing.assert_array_equal(results.rating, SOURCE.rating)
    assert sum(seen) == 10


def test_an_evaluation_of_some_puzzles_spreads_them_over_the_split(variables, mesh):
    report = TASK.evaluate(variables, SOURCE, EvaluationConfig(4, 4), mesh)
    np.testing.assert_array_equal(report.results.rating, [0, 3, 6, 9])


def test_an_answer_right_in_every_cell_is_exact(variables, mesh, thoughts):
    labels = thoughts.tokens[-1].astype(np.uint8)
    labels[0, 80] += 1
    source = dataclasses.replace(SOURCE, labels=labels)
    results = TASK.evaluate(variables, source, EvaluationConfig(0, 16), mesh).results
    assert results.exact.tolist() == [False] + [True] * 9
    assert results.cell_accuracy[0] == 80 / 81


def test_a_report_has_a_part_for_each_band(variables, mesh):
    report = TASK.evaluate(variables, SOURCE, EvaluationConfig(0, 16), mesh).as_dict()
    counts = {name: band["count"] for name, band in report["by_rating"].items()}
    assert counts == {"0": 1, "1-2": 2, "3-5": 3, "6-10": 4}
    assert report["count"] == 10
    assert report["puzzles_per_second"] > 0


def test_devices_share_an_evaluation_batch_equally(variables):
    with pytest.raises(ConfigError, match="batch_size of an evaluation: expected a multiple of"):
        TASK.evaluate(variables, SOURCE, EvaluationConfig(0, 16), THREE_DEVICES)
