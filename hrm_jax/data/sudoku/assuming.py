"""Assumptions: what a search takes for granted at its next attempt, as a player does who is stuck.

A puzzle with one cell more is an easier one where the cell is right. Where it is not there is no
solution, and nothing found can pass the rules.
"""

import numpy as np
from jaxtyping import Int, UInt8

from hrm_jax.data.sudoku import rules


class NumberedAssumptions:
    """One blank filled in as proposed; which one, a number says."""

    def __call__(
        self,
        tokens: UInt8[np.ndarray, "B 81"],
        proposals: Int[np.ndarray, "B 81"],
        numbers: Int[np.ndarray, " B"],
        seed: int,
    ) -> UInt8[np.ndarray, "B 81"]:
        """Fills a blank of each row, if there is one for which the proposal breaks no rule.

        Args:
          tokens: puzzles, tokens 1..10.
          proposals: tokens of any value; the first attempt's answers.
          numbers: each draws a cell, the same one for the same seed and blanks.
          seed: of the draws, 0 or more.
        """
        orders = {
            n: np.random.default_rng([seed, n]).permutation(81) for n in set(numbers.tolist())
        }
        order = np.array([orders[n] for n in numbers.tolist()]).reshape(tokens.shape)
        given = tokens > rules.BLANK_TOKEN
        digit = (proposals > rules.BLANK_TOKEN) & (proposals < rules.VOCABULARY_SIZE)
        seen = (proposals[:, :, None] == tokens[:, None, :]) & given[:, None, :]
        possible = ~given & digit & ~(seen & rules.IS_PEER[None]).any(-1)
        cells = np.where(possible, order, -1).argmax(-1)
        rows = np.flatnonzero(possible.any(-1))
        assumed = tokens.copy()
        assumed[rows, cells[rows]] = proposals[rows, cells[rows]]
        return assumed


def _orders(numbers: Int[np.ndarray, " B"], seed: int) -> Int[np.ndarray, "B 81"]:
    """A random order of the cells for each number."""
    distinct, places = np.unique(numbers, return_inverse=True)
    drawn = [np.random.default_rng([seed, n]).permutation(rules.NUM_CELLS) for n in distinct]
    return np.array(drawn, np.intp).reshape(-1, rules.NUM_CELLS)[places]
