"""Puzzles of other sizes than nine rows: the board that a text is of, and its puzzles, checked."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Int32, UInt8

from hrm_jax.data.pipeline import Source
from hrm_jax.data.sudoku import board_files, board_solver, rules
from hrm_jax.data.sudoku.boards import USUAL, Board
from hrm_jax.data.sudoku.puzzle_files import PuzzleFileError

MOST_GUESSES = 2000
"""Of a proof that a puzzle has one solution: a few seconds on 25 rows."""


@dataclasses.dataclass(frozen=True)
class BoardPuzzles:
    """Puzzles of one board, of which none is known not to have one solution.

    Attributes:
      questions: cells, 0 for a blank.
      answers: the first solution found; all 0 where there is none within `MOST_GUESSES`.
      ratings: guesses made.
      proven: whether the solution is proven to be the only one; False: not checked.
    """

    questions: UInt8[np.ndarray, "B T"]
    answers: UInt8[np.ndarray, "B T"]
    ratings: Int32[np.ndarray, " B"]
    proven: Bool[np.ndarray, " B"]

    def source(self) -> Source:
        """Returns them as tokens, without symmetries."""
        return Source(rules.encode(self.questions), rules.encode(self.answers), self.ratings)


def other_board(content: bytes, box: tuple[int, int] | None) -> Board | None:
    """Returns the board of puzzles of another size; None for the usual one, or what is no text.

    Args:
      content: of a file.
      box: rows and columns of a box, where they were named.

    Raises:
      BoxShapeError: the shape of the boxes has to be named.
      PuzzleError: it does not fit the puzzles.
    """
    try:
        side = board_files.side_of(content.decode())
    # Whatever it is, another reader knows it or says what is wrong.
    except UnicodeDecodeError:
        side = None
    if side is not None:
        return board_files.board_of(side, box)
    if box is not None and box != (USUAL.box_rows, USUAL.box_columns):
        raise rules.PuzzleError(
            f"--box: expected puzzles of {box[0] * box[1]} rows, all lines with as many cells,"
            " got others: correct the file, or leave the flag out"
        )
    return None


def read_checked(content: str, board: Board, source: str, skip_bad: bool = False) -> BoardPuzzles:
    """Returns the puzzles of a text.

    Args:
      content: as `board_files` reads it.
      board: their board.
      source: names the text in errors.
      skip_bad: leave out puzzles without exactly one solution, if any others are left.

    Raises:
      PuzzleFileError: a puzzle is malformed, or has no or several solutions and is not skipped.
    """
    puzzles = board_files.read_boards(content, board, source)
    found = board_solver.search_many(puzzles, board, most_guesses=MOST_GUESSES)
    # Where the search ended early, one solution, or none so far, proves no fault.
    good = (found.counts == 1) | (~found.finished & (found.counts < 2))
    bad = np.flatnonzero(~good)
    if bad.size and not (skip_bad and good.any()):
        several = found.counts[bad[0]] > 1
        raise PuzzleFileError(
            f"{source}: puzzle {bad[0] + 1} of {len(puzzles)}: "
            + ("more than one solution: it lacks givens" if several else "no solution: check it")
        )
    return BoardPuzzles(
        puzzles[good], found.solutions[good], found.guesses[good], found.finished[good]
    )
