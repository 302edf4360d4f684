"""Checks on tokens, in JAX, whether proposals solve their puzzles: for use in compiled loops."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from hrm_jax.data.sudoku import rules
from hrm_jax.data.sudoku.boards import USUAL, Board


@dataclasses.dataclass(frozen=True)
class Solves:
    """`(puzzles, proposals) -> which proposals are solutions`; hashable, for static arguments.

    The rules are those of `boards.is_solution`. A puzzle with one solution is solved by no other
    grid, so no answer is needed to compare with.

    Attributes:
      board: where the puzzles stand.
    """

    board: Board

    def __call__(
        self, puzzles: Int[Array, "B T"], proposals: Int[Array, "B T"]
    ) -> Bool[Array, " B"]:
        """Returns which proposals are full, free of conflicts and keep every given, bool [B].

        Args:
          puzzles: tokens of the givens, `rules.BLANK_TOKEN` elsewhere.
          proposals: tokens of any value.
        """
        n = self.board.side
        digits = proposals - rules.BLANK_TOKEN
        proper = (digits >= 1) & (digits <= n)
        # The shift is clipped because proposals may be any token; `where` drops what the clip
        # distorts.
        bits = jnp.where(proper, jnp.left_shift(1, jnp.clip(digits, 0, n)), 0)
        # n powers of two add up to n different bits only where each occurs once.
        complete = (bits[:, self.board.units].sum(-1) == 2 ** (n + 1) - 2).all(-1)
        keeps_givens = ((puzzles == rules.BLANK_TOKEN) | (puzzles == proposals)).all(-1)
        return complete & keeps_givens


solves = Solves(USUAL)
"""The check for nine rows."""
