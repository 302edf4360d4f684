"""Assumptions: a further attempt of a search may fill in one cell as the first attempt proposed.

A puzzle with one more cell is an easier one where the cell is right. Where it is wrong there is no
solution, and nothing that is found can pass the rules.
"""

import numpy as np
from jaxtyping import Int, UInt8

from hrm_jax.data.sudoku import rules


class NumberedAssumptions:
    """Fills in one blank of each puzzle as the model proposed; a number chooses which."""

    def __call__(
        self,
        tokens: UInt8[np.ndarray, "B 81"],
        proposals: Int[np.ndarray, "B 81"],
        numbers: Int[np.ndarray, " B"],
        seed: int,
    ) -> UInt8[np.ndarray, "B 81"]:
        """Fills a blank of each row, if there is one where the proposal agrees with the givens.

        Args:
          tokens: puzzles, tokens 1..10.
          proposals: tokens of any value; the first attempt's answers.
          numbers: from 1; number n takes the n-th of those blanks in a random order of the cells,
            and begins again after the last.
          seed: of that order, 0 or more.
        """
        # The order depends on the seed alone, so successive numbers take successive blanks.
        order = np.random.default_rng(seed).permutation(rules.NUM_CELLS)
        given = tokens > rules.BLANK_TOKEN
        digit = (proposals > rules.BLANK_TOKEN) & (proposals < rules.VOCABULARY_SIZE)
        # seen[b, i, j]: cell j of row b is a given with the token proposed for cell i. Where j is a
        # peer of i, the proposal breaks a rule.
        seen = (proposals[:, :, None] == tokens[:, None, :]) & given[:, None, :]
        possible = (~given & digit & ~(seen & rules.IS_PEER[None]).any(-1))[:, order]
        # The number of possible blanks is at least 1 in the remainder only; where there are none,
        # no cell is chosen and the row stays as it is.
        rank = (numbers - 1) % np.maximum(possible.sum(-1), 1)
        chosen = possible & (possible.cumsum(-1) == rank[:, None] + 1)
        rows, places = np.nonzero(chosen)
        assumed = tokens.copy()
        assumed[rows, order[places]] = proposals[rows, order[places]]
        return assumed
