"""Keeps what a model proposed at every step on its way to an answer."""

import collections

import jax
import numpy as np
from jaxtyping import Int32

from hrm_jax.inference.thinking import Thoughts


class Journal:
    """Every step of every attempt at some puzzles; a `stream.Watch` for an engine that observes."""

    def __init__(self):
        """Makes an empty journal."""
        self._steps: dict[tuple[int, int], list[Thoughts]] = collections.defaultdict(list)

    def __call__(
        self,
        puzzles: Int32[np.ndarray, " n"],
        attempts: Int32[np.ndarray, " n"],
        thoughts: Thoughts,
    ) -> None:
        """Adds one step for each of n rows; see `stream.Watch`."""
        # An axis of one row stays, as `Thoughts` have a batch.
        for row, attempt in enumerate(zip(puzzles.tolist(), attempts.tolist(), strict=True)):
            self._steps[attempt].append(jax.tree.map(lambda x, row=row: x[row : row + 1], thoughts))

    def thoughts(self, puzzle: int, attempt: int) -> Thoughts:
        """Returns the steps of one attempt at one puzzle, as `Thoughts` of a batch of one.

        Raises:
          KeyError: if there was no such attempt.
        """
        if (puzzle, attempt) not in self._steps:
            raise KeyError(
                f"attempt {attempt} at puzzle {puzzle} is not in the journal: pass the journal as"
                " watch, to an engine with observe=thoughts_of"
            )
        return jax.tree.map(lambda *steps: np.stack(steps), *self._steps[puzzle, attempt])
