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
    allowed: Bool[np.ndarray, "T V"], board: Board = USUAL
) -> Bool[np.ndarray, "T V"] | None:
    """Returns what singles and segments leave (see `propagation`), None at a contradiction."""
    bits = np.uint32(1) << np.arange(board.side, dtype=np.uint32)
    masks = np.where(allowed[:, _FIRST_DIGIT:], bits, 0).sum(-1, dtype=np.uint32)
    if not masks.all() or not board_solver.narrow(masks, board):
        return None
    left = np.zeros_like(allowed)
    left[:, _FIRST_DIGIT:] = masks[:, None] & bits
    return left
