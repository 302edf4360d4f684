"""Where a command trains, and what tells that it was stopped."""

import pathlib
import types

import pytest

from experiments.common import runs
from hrm_jax.training.run_folder import RunError


@pytest.fixture(autouse=True)
def below(tmp_path, monkeypatch):
    monkeypatch.setattr(runs, "RUNS", tmp_path)
    return tmp_path


@pytest.mark.parametrize("resume", [False, True])
def test_a_named_folder_is_taken(resume):
    assert runs.run_folder("sudoku", "some/where", resume=resume) == pathlib.Path("some/where")


def test_a_new_folder_has_the_kind_and_the_time(below):
    found = runs.run_folder("sudoku", None, resume=False)
    assert found.parent == below
    assert found.match("sudoku-????????-??????")


def test_the_newest_run_is_resumed_and_there_has_to_be_one(below):
    with pytest.raises(RunError, match="expected a run below"):
        runs.run_folder("sudoku", None, resume=True)
    (below / "other" / "checkpoints").mkdir(parents=True)
    assert runs.run_folder("sudoku", None, resume=True) == below / "other"


@pytest.mark.parametrize(("step", "stopped"), [(9, True), (10, False)])
def test_a_run_before_its_last_step_is_stopped(step, stopped):
    config = types.SimpleNamespace(loop=types.SimpleNamespace(steps=10))
    task = types.SimpleNamespace(config=config)
    assert runs.is_stopped(task, types.SimpleNamespace(step=step)) is stopped
