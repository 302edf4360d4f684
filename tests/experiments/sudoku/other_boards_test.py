"""Puzzles of 4 to 25 rows: the shipped weights solve them, and what is no such puzzle is named."""

import io

import jax
import numpy as np
import pytest
from rich.console import Console

from experiments.rendering.page import to_html
from experiments.sudoku import exported, solving
from hrm_jax.core.config import ConfigError, replace
from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.data.sudoku import board_generator, boards
from hrm_jax.data.sudoku.boards import Board, format_grid
from hrm_jax.data.sudoku.puzzle_files import PuzzleFileError
from hrm_jax.data.sudoku.rules import PuzzleError
from hrm_jax.tasks.sudoku import evaluation
from hrm_jax.tasks.sudoku.task import EvaluationConfig

SIX = Board(2, 3)
PUZZLES = board_generator.generate(np.random.default_rng(0), SIX, "singles", 2)
TEXT = "\n".join(format_grid(puzzle, SIX) for puzzle in PUZZLES.questions)
SETTINGS = EvaluationConfig(batch_size=1, halting="rules", max_steps=16)


@pytest.fixture(scope="module")
def shipped():
    task, variables, _ = exported.load_any(exported.shipped(), make_mesh(MeshConfig()))
    return task, jax.device_get(variables)


def test_the_shipped_weights_solve_six_rows(shipped, tmp_path):
    path = tmp_path / "six.txt"
    path.write_text(TEXT)
    puzzles, board = solving.read_puzzles(str(path), box=(2, 3))
    assert board == SIX
    np.testing.assert_array_equal(puzzles, PUZZLES.questions)
    console = Console(file=io.StringIO(), width=80)
    picture = tmp_path / "six.html"
    done = solving.solve_all(*shipped, puzzles, console, picture, SETTINGS, board)
    shown = console.file.getvalue()
    assert done == 0, shown
    assert "Puzzle 2: 6x6 with boxes of 2x3: " in shown
    assert "------+------\n" in shown
    for answer in PUZZLES.answers:
        assert f": {format_grid(answer, SIX)}\n" in shown
    assert '"box": [2, 3]' in picture.read_text()


def test_letters_are_drawn_beyond_nine(shipped):
    board = Board(4, 4)
    givens = boards.Board(4, 4).units[0].astype(np.uint8) + 1
    puzzle = np.zeros(board.num_cells, np.uint8)
    puzzle[:16] = givens
    solver = solving.PuzzleSolver.make(*shipped, replace(SETTINGS, {"max_steps": 1}), board)
    trace = solver.solve(puzzle).trace
    assert '"givens": "123456789ABCDEFG.' in to_html([trace])
    assert trace.digits.shape == (1, 256)


def test_the_shape_of_boxes_is_asked_for_where_there_are_several():
    with pytest.raises(PuzzleError, match=r"may have 2x3 or 3x2 cells; say which by --box=2x3"):
        solving.read_puzzles(TEXT)
    with pytest.raises(PuzzleError, match=r"--box: expected 6 cells .* got 3x3"):
        solving.read_puzzles(TEXT, box=(3, 3))
    with pytest.raises(PuzzleError, match=r"--box: expected puzzles of 6 rows"):
        solving.read_puzzles(81 * ".", box=(2, 3))
    upright, board = solving.read_puzzles(TEXT.splitlines()[0][::-1], skip_bad=True, box=(2, 3))
    assert (len(upright), board) == (1, SIX)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (16 * ".", "puzzle 1 of 1: more than one solution"),
        ("11" + 14 * ".", "puzzle 1 of 1: no solution"),
        ("1%" + 14 * ".", r"line 1: expected digits 1-4 or one of \. _ - \* \? .*, got '%'"),
        ("1234\n34..\n2.4.\n.3.9", "line 4: expected digits 1-4 .* got '9'"),
    ],
)
def test_what_is_no_puzzle_is_told(text, message):
    with pytest.raises(PuzzleFileError, match=message):
        solving.read_puzzles(text)


def test_a_model_of_the_usual_board_alone_is_refused(shipped):
    task = shipped[0]
    config = replace(task.config.model, {"mixing": "mlp", "pos_encodings": "none"})
    model = type(task.model)(config)
    with pytest.raises(ConfigError, match="expected relational, to solve 6x6 with boxes of 2x3"):
        evaluation.model_on(model, SIX)
    assert evaluation.model_on(model, boards.USUAL) is model


def test_a_title_tells_what_an_attempt_was_given():
    puzzle = np.zeros(16, np.uint8)
    shown = puzzle.copy()
    assert solving._name_attempt("4 givens", 1, puzzle, shown) == "4 givens, attempt 2"
    shown[6] = 3
    assert solving._name_attempt("", 1, puzzle, shown) == "attempt 2, assuming 3 in r2c3"
    shown[:3] = 1
    expected = "attempt 2, with 4 cells by rules and assumptions"
    assert solving._name_attempt("", 1, puzzle, shown) == expected
