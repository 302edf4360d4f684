"""What the rules leave open of a puzzle, as tokens that each cell may have: for a search's tree."""

import numpy as np
from jaxtyping import Bool, UInt8

from hrm_jax.data.sudoku import propagation, rules

_FIRST_DIGIT = rules.BLANK_TOKEN + 1
_BITS = np.uint16(1) << np.arange(rules.SIDE, dtype=np.uint16)


def openings(tokens: UInt8[np.ndarray, "81"]) -> Bool[np.ndarray, "81 11"]:
    """Returns the tokens that each cell may have: a given its own, a blank every digit."""
    given = tokens > rules.BLANK_TOKEN
    allowed = np.arange(rules.VOCABULARY_SIZE)[None] == tokens[:, None]
    allowed[~given] = np.arange(rules.VOCABULARY_SIZE) >= _FIRST_DIGIT
    return allowed


def narrow(allowed: Bool[np.ndarray, "81 11"]) -> Bool[np.ndarray, "81 11"] | None:
    """Returns what singles and segments leave (see `propagation`), None at a contradiction."""
    masks = np.where(allowed[:, _FIRST_DIGIT:], _BITS, 0).sum(-1, dtype=np.uint16)
    if not masks.all() or not propagation.propagate(masks, propagation.ALL_UNITS):
        return None
    left = np.zeros_like(allowed)
    left[:, _FIRST_DIGIT:] = masks[:, None] & _BITS
    return left
