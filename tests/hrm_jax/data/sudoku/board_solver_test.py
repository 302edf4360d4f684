"""The solver for every board against the one for nine rows, and on boards of its own."""

import numpy as np
import pytest

from hrm_jax.data.sudoku import board_generator, board_solver, boards, generator, solver
from hrm_jax.data.sudoku.board_generator import GRADES, generate, grade_of
from hrm_jax.data.sudoku.board_solver import PAIRS, SEGMENTS, SINGLES
from hrm_jax.data.sudoku.boards import USUAL, Board

PUZZLES = generator.generate(np.random.default_rng(3), 60).questions
BOARDS = [Board(2, 2), Board(2, 3), Board(3, 4), Board(4, 4)]


def test_solutions_counts_and_ratings_are_those_of_the_solver_for_nine_rows():
    changed = PUZZLES.copy()
    changed[::3, np.flatnonzero(changed[0])[:3]] = 0  # several solutions
    changed[1::3, 40] = 5  # some have none
    for puzzles in (PUZZLES, changed):
        expected = solver.search_many(puzzles)
        found = board_solver.search_many(puzzles, USUAL)
        np.testing.assert_array_equal(found.solutions, expected.solutions)
        np.testing.assert_array_equal(found.counts, expected.counts)
        np.testing.assert_array_equal(found.guesses, expected.guesses)
        assert found.finished.all()
    assert set(expected.counts.tolist()) == {0, 1, 2}


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_boards_are_filled_at_random(board):
    empty = np.zeros((1, board.num_cells), np.uint8)
    grids = [
        board_solver.search_many(empty, board, limit=1, seed=seed).solutions[0] for seed in (0, 1)
    ]
    assert all(boards.is_solution(grid, empty[0], board) for grid in grids)
    assert (grids[0] != grids[1]).any()


def test_a_search_that_takes_too_long_says_so():
    empty = np.zeros((1, 256), np.uint8)
    found = board_solver.search_many(empty, Board(4, 4), limit=2, most_guesses=5)
    assert (found.finished[0], found.guesses[0], found.counts[0]) == (False, 5, 0)


def test_what_is_no_batch_of_a_board_is_refused():
    with pytest.raises(ValueError, match=r"expected puzzles \[B, 16\] of cells 0 to 4"):
        board_solver.search_many(np.zeros((1, 81), np.uint8), Board(2, 2))
    with pytest.raises(ValueError, match="cells up to 5"):
        board_solver.search_many(np.full((1, 16), 5, np.uint8), Board(2, 2))


def test_more_rules_leave_less_and_never_exclude_the_solution():
    answers = solver.search_many(PUZZLES).solutions
    left = []
    for puzzle, answer in zip(PUZZLES, answers, strict=True):
        sizes = []
        for level in (SINGLES, SEGMENTS, PAIRS):
            both = np.stack([board_solver.masks_of(puzzle, USUAL), np.zeros(81, np.uint32)])
            # The second board has nothing left in any cell.
            assert board_solver.narrow(both, USUAL, level).tolist() == [True, False]
            masks = both[0]
            assert (masks >> (answer - np.uint32(1)) & 1).all()
            sizes.append(sum(int(mask).bit_count() for mask in masks))
        assert sizes == sorted(sizes, reverse=True)
        left.append(sizes)
    singles, segments, pairs = np.array(left).T
    assert (segments < singles).any()
    assert (pairs < segments).any()


@pytest.mark.parametrize("grade", GRADES)
def test_puzzles_of_a_grade_need_its_rules_and_have_one_solution(grade):
    board = Board(3, 4)
    puzzles = generate(np.random.default_rng(0), board, grade, 2)
    again = generate(np.random.default_rng(0), board, grade, 2)
    np.testing.assert_array_equal(puzzles.questions, again.questions)
    found = board_solver.search_many(puzzles.questions, board)
    assert (found.counts == 1).all()
    np.testing.assert_array_equal(found.solutions, puzzles.answers)
    np.testing.assert_array_equal(found.guesses, puzzles.ratings)
    assert [grade_of(puzzle, board) for puzzle in puzzles.questions] == [grade] * 2


def test_blanks_can_be_limited():
    puzzles = generate(np.random.default_rng(0), Board(2, 3), "singles", 3, most_blanks=5)
    assert ((puzzles.questions == 0).sum(-1) == 5).all()


def test_a_grade_that_a_board_has_not_is_told():
    with pytest.raises(ValueError, match=r"4x4 .* no puzzle of grade pairs in 50 grids"):
        board_generator.generate(np.random.default_rng(0), Board(2, 2), "pairs", 1)
