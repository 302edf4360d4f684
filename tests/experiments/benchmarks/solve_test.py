"""The solve suite on a tiny untrained model: who takes turns, and what the figures mean."""

import dataclasses
import io
import json

import jax
import numpy as np
import pytest
from rich.console import Console

from experiments.benchmarks import solve
from experiments.sudoku import exported
from hrm_jax.data.sudoku import csv_format, generator
from hrm_jax.models.puzzle_config import hrm
from hrm_jax.tasks.sudoku.task import SudokuConfig, SudokuTask

SIZES = {"hidden_size": 8, "H_layers": 1, "L_layers": 1, "H_cycles": 1, "L_cycles": 1}
TASK = SudokuTask(
    SudokuConfig(
        model=hrm(**SIZES, mixing="mlp", pos_encodings="none", puzzle_emb_ndim=0, halt_max_steps=2)
    )
)


@pytest.fixture
def options(tmp_path, monkeypatch):
    """Options for ten puzzles in a file."""
    puzzles = generator.generate(np.random.default_rng(0), 10)
    csv_format.write(tmp_path / "ten.csv", puzzles, ["here"] * 10)
    monkeypatch.setenv("HRM_JAX_DATA", str(tmp_path / "data"))
    loaded = TASK, TASK.model.init(jax.random.key(0)), 7
    monkeypatch.setattr(exported, "load_any", lambda checkpoint, mesh: loaded)
    file = str(tmp_path / "ten.csv")
    return solve.Options(tmp_path, file, 6, 4, max_steps=3, attempts=2, rounds=2)


def test_contestants_take_turns_on_the_same_puzzles(options):
    console = Console(file=io.StringIO(), width=140)
    result = json.loads(json.dumps(solve.run(options, console)))
    assert (result["puzzles"], result["step"]) == (6, 7)
    rows = {row["contestant"]: row for row in result["rows"]}
    assert list(rows) == [solve.FULL, solve.ENGINE, solve.SEARCH, solve.CLASSICAL]
    # An untrained model solves nothing, so that it always takes all it may.
    steps = {name: row["mean_steps"] for name, row in rows.items()}
    assert steps == {solve.FULL: 3, solve.ENGINE: 3, solve.SEARCH: 9, solve.CLASSICAL: None}
    exact = {name: (row["exact_accuracy"], row["valid_share"]) for name, row in rows.items()}
    assert exact.pop(solve.CLASSICAL) == (1, 1)
    assert set(exact.values()) == {(0, 0)}
    assert rows[solve.FULL]["speed_ratio"] == {"median": 1, "low": 1, "high": 1}
    for row in rows.values():
        assert len(row["seconds"]) == 2
        speeds = sorted(6 / seconds for seconds in row["seconds"])
        assert row["puzzles_per_second"]["low"] == pytest.approx(speeds[0])
    assert "engine + search" in console.file.getvalue()


def test_a_file_that_is_not_there_is_an_error(options):
    missing = dataclasses.replace(options, data="nowhere.csv")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        solve.run(missing, Console(file=io.StringIO()))
