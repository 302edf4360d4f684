"""What is measured of files of other sizes, and what is asked for."""

import io

import numpy as np
import pytest
from rich.console import Console

from experiments.sudoku import exported, measuring
from hrm_jax.core.config import ConfigError, replace
from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.data.sudoku import board_generator
from hrm_jax.data.sudoku.boards import Board, format_grid
from hrm_jax.data.sudoku.rules import PuzzleError
from hrm_jax.tasks.sudoku.task import EvaluationConfig

SIX = Board(2, 3)
SETTINGS = EvaluationConfig(puzzles=3, batch_size=2, halting="rules", max_steps=16)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    puzzles = board_generator.generate(np.random.default_rng(0), SIX, "singles", 4)
    path = tmp_path_factory.mktemp("boards") / "six.txt"
    path.write_text("\n".join(format_grid(puzzle, SIX) for puzzle in puzzles.questions))
    return path


def test_the_shipped_model_is_measured_on_six_rows(path):
    mesh = make_mesh(MeshConfig())
    task, variables, _ = exported.load_any(exported.shipped(), mesh)
    measured = measuring.other_size(str(path), "2x3", skip_bad=False)
    assert measured is not None
    assert measured.title == "six.txt, 6x6 with boxes of 2x3"
    console = Console(file=io.StringIO(), width=100)
    report = measuring.measure(task, variables, measured, SETTINGS, console, mesh)
    assert (report["count"], report["exact_accuracy"]) == (3, 1.0)
    assert "43.9-100.0" in console.file.getvalue()
    by_symmetry = replace(SETTINGS, {"search.attempts": 1})
    with pytest.raises(ConfigError, match="search: expected branch or noise alone, for 6x6"):
        measuring.measure(task, variables, measured, by_symmetry, console, mesh)


def test_rules_and_search_without_a_model(path):
    mesh = make_mesh(MeshConfig())
    task, variables, _ = exported.load_any(exported.shipped(), mesh)
    measured = measuring.other_size(str(path), "2x3", skip_bad=False)
    assert measured is not None
    settings = {"search.attempts": 2, "search.branch": True, "search.symmetries": False}
    uniform, same = measuring.proposed_by("uniform", task, variables)
    assert same is variables
    console = Console(file=io.StringIO(), width=100)
    report = measuring.measure(
        uniform, variables, measured, replace(SETTINGS, settings), console, mesh
    )
    assert report["exact_accuracy"] == 0
    assert report["search"]["exact_accuracy"] == 1
    assert "2 further attempts, 2.0 attempts at the mean" in console.file.getvalue()
    assert measuring.proposed_by("trained", task, variables) == (task, variables)
    untrained, fresh = measuring.proposed_by("untrained", task, variables)
    assert untrained is task
    assert fresh is not variables


def test_the_shape_of_boxes_is_asked_for(path):
    with pytest.raises(PuzzleError, match="say which by --box=2x3"):
        measuring.other_size(str(path), None, skip_bad=False)
    with pytest.raises(PuzzleError, match="--box: expected a file of such puzzles in --data"):
        measuring.other_size("bank", "2x3", skip_bad=False)


def test_other_data_are_no_other_size(tmp_path):
    usual = tmp_path / "usual.txt"
    usual.write_text("." * 81)
    assert measuring.other_size(str(usual), None, skip_bad=False) is None
    assert measuring.other_size("bank", None, skip_bad=False) is None
    assert measuring.other_size(None, None, skip_bad=False) is None
