"""What the rules leave open of a puzzle, as tokens that each cell may have: for a search's tree."""

import numpy as np
from jaxtyping import Bool, UInt8

from hrm_jax.data.sudoku import board_solver, rules
from hrm_jax.data.sudoku.boards import USUAL, Board

_FIRST_DIGIT = rules.BLANK_TOKEN + 1


def openings(tokens: UInt8[np.ndarray, " T"], board: Board = USUAL) -> Bool[np.ndarray, "T V"]:
    """Returns the tokens that each cell may have: a given its own, a blank every digit."""
    every = np.arange(board.vocabulary_size)
    allowed = every[None] == tokens[:, None]
    allowed[tokens <= rules.BLANK_TOKEN] = every >= _FIRST_DIGIT
    return allowed


def narrow(
    allowed: Bool[np.ndarray, "n T V"], board: Board = USUAL
) -> tuple[Bool[np.ndarray, "n T V"], Bool[np.ndarray, " n"]]:
    """Returns what singles and segments leave of each puzzle, and which may have a solution.

    See `propagation` for the rules. What is left where there is no solution means nothing.
    """
    bits = np.uint32(1) << np.arange(board.side, dtype=np.uint32)
    masks = np.where(allowed[..., _FIRST_DIGIT:], bits, 0).sum(-1, dtype=np.uint32)
    possible = board_solver.narrow(masks, board)
    left = np.zeros_like(allowed)
    left[..., _FIRST_DIGIT:] = masks[..., None] & bits
    return left, possible
