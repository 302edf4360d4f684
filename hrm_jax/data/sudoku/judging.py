"""Checks on tokens, in JAX, whether proposals solve their puzzles: for use in compiled loops."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int

from hrm_jax.data.sudoku import rules

_UNITS = rules.UNITS.astype(np.int32)
_ALL_DIGITS = sum(1 << digit for digit in range(1, rules.SIDE + 1))


def solves(puzzles: Int[Array, "B 81"], proposals: Int[Array, "B 81"]) -> Bool[Array, " B"]:
    """Returns which proposals are full, free of conflicts and keep every given, bool [B].

    The rules are those of `rules.is_solution`. A puzzle with one solution is solved by no other
    grid, so no answer is needed to compare with.

    Args:
      puzzles: tokens of the givens, `rules.BLANK_TOKEN` elsewhere.
      proposals: tokens of any value.
    """
    digits = proposals - rules.BLANK_TOKEN
    proper = (digits >= 1) & (digits <= rules.SIDE)
    # The shift is clipped because proposals may be any token; `where` drops what the clip distorts.
    bits = jnp.where(proper, jnp.left_shift(1, jnp.clip(digits, 0, rules.SIDE)), 0)
    # Nine powers of two add up to nine different bits only where each occurs once.
    complete = (bits[:, _UNITS].sum(-1) == _ALL_DIGITS).all(-1)
    keeps_givens = ((puzzles == rules.BLANK_TOKEN) | (puzzles == proposals)).all(-1)
    return complete & keeps_givens
