"""Puzzles of other sizes: what is known of their solutions."""

import numpy as np
import pytest

from hrm_jax.data.sudoku import board_generator, board_puzzles, boards, rules
from hrm_jax.data.sudoku.boards import Board, format_grid
from hrm_jax.data.sudoku.puzzle_files import PuzzleFileError

SIX = Board(2, 3)
PUZZLES = board_generator.generate(np.random.default_rng(0), SIX, "singles", 2)
TEXT = "\n".join(format_grid(puzzle, SIX) for puzzle in PUZZLES.questions)


def test_solutions_and_what_is_proven():
    found = board_puzzles.read_checked(TEXT, SIX, "six")
    np.testing.assert_array_equal(found.answers, PUZZLES.answers)
    assert found.proven.all()
    source = found.source()
    np.testing.assert_array_equal(source.inputs, rules.encode(PUZZLES.questions))
    np.testing.assert_array_equal(source.labels, rules.encode(PUZZLES.answers))


def test_what_takes_too_many_guesses_is_kept_and_not_called_proven(monkeypatch):
    hard = board_generator.generate(np.random.default_rng(1), boards.USUAL, "guesses", 1)
    text = format_grid(hard.questions[0], boards.USUAL)
    assert board_puzzles.read_checked(text, boards.USUAL, "hard").proven.all()
    monkeypatch.setattr(board_puzzles, "MOST_GUESSES", 0)
    found = board_puzzles.read_checked(text, boards.USUAL, "hard")
    assert not found.proven.any()
    assert not found.answers.any()


def test_bad_puzzles_are_named_or_left_out():
    several = TEXT + "\n" + 36 * "."
    with pytest.raises(PuzzleFileError, match="six: puzzle 3 of 3: more than one solution"):
        board_puzzles.read_checked(several, SIX, "six")
    assert len(board_puzzles.read_checked(several, SIX, "six", skip_bad=True).questions) == 2


def test_the_usual_board_and_what_is_no_text_are_no_other_board():
    assert board_puzzles.other_board(81 * b".", None) is None
    assert board_puzzles.other_board(b"\x1f\x8b\xff", None) is None
    assert board_puzzles.other_board(TEXT.encode(), (2, 3)) == SIX
