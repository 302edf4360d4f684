"""Boards of every size against the usual one, whose rules are tested in `rules_test`."""

import numpy as np
import pytest

from hrm_jax.core.config import ConfigError
from hrm_jax.data.sudoku import boards, generator, rules
from hrm_jax.data.sudoku.boards import USUAL, Board
from hrm_jax.data.sudoku.judging import Solves, solves

PUZZLES = generator.generate(np.random.default_rng(0), 8)


def test_the_usual_board_is_that_of_the_rules():
    np.testing.assert_array_equal(USUAL.units, rules.UNITS)
    assert USUAL.candidates == rules.CANDIDATES
    assert (USUAL.num_cells, USUAL.vocabulary_size) == (rules.NUM_CELLS, rules.VOCABULARY_SIZE)


def test_rules_agree_on_the_usual_board():
    rng = np.random.default_rng(1)
    for answer, question in zip(PUZZLES.answers, PUZZLES.questions, strict=True):
        wrong = answer.copy()
        wrong[rng.integers(81)] = rng.integers(0, 10)
        for grid in (question, answer, wrong):
            np.testing.assert_array_equal(boards.conflicts(grid, USUAL), rules.conflicts(grid))
            expected = rules.is_solution(grid, question)
            assert boards.is_solution(grid, question, USUAL) == expected
            assert boards.format_grid(grid, USUAL) == rules.format_grid(grid)


@pytest.mark.parametrize("shape", [(2, 2), (2, 3), (3, 2), (3, 4), (4, 4), (5, 5), (1, 4)])
def test_every_cell_has_one_row_one_column_and_one_box(shape):
    board = Board(*shape)
    n = board.side
    assert board.units.shape == (3 * n, n)
    for kind in range(3):
        own = board.units[kind * n : (kind + 1) * n]
        np.testing.assert_array_equal(np.sort(own, axis=None), np.arange(n * n))
    for cell in range(board.num_cells):
        held = [unit for unit in range(3 * n) if cell in board.units[unit]]
        np.testing.assert_array_equal(board.units_of_cells[cell], held)
    first_box = board.units[2 * n].reshape(shape)
    np.testing.assert_array_equal(first_box, np.arange(n * n).reshape(n, n)[: shape[0], : shape[1]])
    assert board.candidates.num_candidates == n**3


def test_a_solution_of_a_board_is_told_from_others():
    board = Board(2, 2)
    answer = np.array([1, 2, 3, 4, 3, 4, 1, 2, 2, 1, 4, 3, 4, 3, 2, 1], np.uint8)
    givens = np.where(np.arange(16) % 3 == 0, answer, 0).astype(np.uint8)
    judge = Solves(board)
    assert boards.is_solution(answer, givens, board)
    assert judge(givens[None] + 1, answer[None] + 1).tolist() == [True]
    for cell in range(16):
        wrong = answer.copy()
        wrong[cell] = answer[cell] % 4 + 1
        assert not boards.is_solution(wrong, givens, board)
        assert boards.conflicts(wrong, board)[cell]
        assert judge(givens[None] + 1, wrong[None] + 1).tolist() == [False]
    other = givens.copy()
    other[1] = answer[1] % 4 + 1
    assert not boards.is_solution(answer, other, board)
    assert judge == Solves(Board(2, 2))
    assert solves == Solves(USUAL) != judge


def test_boards_have_names_and_limits():
    assert Board(2, 3).name == "6x6 with boxes of 2x3"
    assert boards.cell_name(7, Board(2, 3)) == "r2c2"
    assert boards.format_grid(np.arange(16, dtype=np.uint8) % 5, Board(2, 2)) == ".1234.1234.1234."
    with pytest.raises(ConfigError, match="box_rows"):
        Board(0, 3)
    with pytest.raises(ConfigError, match="box_columns: expected at most 25 cells in a box of 5"):
        Board(5, 6)
    with pytest.raises(ValueError, match="expected 16 cells of 0 to 4 for 4x4"):
        boards.format_grid(np.full(16, 5, np.uint8), Board(2, 2))
