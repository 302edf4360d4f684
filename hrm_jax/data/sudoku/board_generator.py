"""Puzzles with one solution on boards of every size, in grades by the rules that solve them.

A random full grid loses its cells in random order, each one that can be spared: as long as the
rules of the grade still solve the puzzle, or, where guessing is allowed, as long as its solution is
proven to be the only one.
"""

from typing import Literal

import numpy as np
from jaxtyping import UInt8

from hrm_jax.data.sudoku import board_solver
from hrm_jax.data.sudoku.board_solver import PAIRS, SINGLES
from hrm_jax.data.sudoku.boards import Board
from hrm_jax.data.sudoku.puzzles import Puzzles

Grade = Literal["singles", "pairs", "guesses"]
GRADES: tuple[Grade, ...] = ("singles", "pairs", "guesses")
"""Singles solve it; singles do not, but pairs and segments do; neither does."""

_MOST_TRIES = 50
_GUESSES_OF_A_PROOF = 200
"""A cell stays where it would take more guesses to judge its absence."""


def generate(
    rng: np.random.Generator, board: Board, grade: Grade, count: int, most_blanks: int | None = None
) -> Puzzles:
    """Returns `count` puzzles of a grade, with their answers and ratings.

    Args:
      rng: source of randomness.
      board: their board.
      grade: which rules they need.
      count: how many.
      most_blanks: cells that are blank at most; as many as the grade allows if None.

    Raises:
      ValueError: the board is too small for the grade: many grids have given no puzzle of it.
    """
    questions = []
    answers = []
    tries = 0
    while len(questions) < count:
        # The limit grows with the puzzles found, so it ends only what finds almost none.
        if tries == _MOST_TRIES * (len(questions) + 1):
            raise ValueError(
                f"{board.name}: no puzzle of grade {grade} in {tries} grids: choose another grade,"
                " a larger board, or more blanks"
            )
        tries += 1
        answer = _full_grid(rng, board)
        question = _dig(rng, answer, board, grade, most_blanks)
        # Digging keeps a puzzle solvable by its grade's rules; a weaker rule may solve it all the
        # same.
        if grade_of(question, board) == grade:
            questions.append(question)
            answers.append(answer)
    # Guesses of a proof, as ratings of the usual board are.
    ratings = board_solver.search_many(np.array(questions), board).guesses
    return Puzzles(np.array(questions), np.array(answers), ratings)


def grade_of(puzzle: UInt8[np.ndarray, " T"], board: Board) -> Grade:
    """Returns which rules a puzzle with one solution needs."""
    if _solved_by(puzzle, board, SINGLES):
        return "singles"
    return "pairs" if _solved_by(puzzle, board, PAIRS) else "guesses"


def _full_grid(rng: np.random.Generator, board: Board) -> np.ndarray:
    empty = np.zeros((1, board.num_cells), np.uint8)
    # A random order of guesses may end without a grid at its limit; another one is drawn.
    while True:
        found = board_solver.search_many(empty, board, limit=1, seed=int(rng.integers(2**32)))
        if found.counts[0]:
            return found.solutions[0]


def _dig(
    rng: np.random.Generator,
    answer: np.ndarray,
    board: Board,
    grade: Grade,
    most_blanks: int | None,
) -> np.ndarray:
    """Returns the grid without the cells that the grade can spare."""
    puzzle = answer.copy()
    blanks = 0
    for cell in rng.permutation(board.num_cells):
        if blanks == most_blanks:
            break
        puzzle[cell] = 0
        if _suffices(puzzle, board, grade):
            blanks += 1
        else:
            puzzle[cell] = answer[cell]
    return puzzle


def _suffices(puzzle: np.ndarray, board: Board, grade: Grade) -> bool:
    if grade != "guesses":
        return _solved_by(puzzle, board, SINGLES if grade == "singles" else PAIRS)
    found = board_solver.search_many(puzzle[None], board, most_guesses=_GUESSES_OF_A_PROOF)
    return bool(found.finished[0] and found.counts[0] == 1)


def _solved_by(puzzle: np.ndarray, board: Board, level: int) -> bool:
    # Solved is where each cell has a single candidate left.
    masks = board_solver.masks_of(puzzle, board)[None]
    possible = board_solver.narrow(masks, board, level)
    return bool(possible[0]) and not (masks & (masks - np.uint32(1))).any()
