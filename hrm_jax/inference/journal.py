"""What a model thought on its way to an answer, step by step, kept as the engine tells it."""

import collections

import jax
import numpy as np
from jaxtyping import Int32

from hrm_jax.inference.thinking import Thoughts


class Journal:
    """Every step of every attempt at some puzzles; a `stream.Watch` of an engine that observes."""

    def __init__(self):
        """Starts empty."""
        self._steps: dict[tuple[int, int], list[Thoughts]] = collections.defaultdict(list)

    def __call__(
        self,
        puzzles: Int32[np.ndarray, " n"],
        attempts: Int32[np.ndarray, " n"],
        thoughts: Thoughts,
    ) -> None:
        """Keeps one step of thought for each of n rows; see `stream.Watch`."""
        for row, attempt in enumerate(zip(puzzles.tolist(), attempts.tolist(), strict=True)):
            self._steps[attempt].append(jax.tree.map(lambda x, row=row: x[row : row + 1], thoughts))

    def thoughts(self, puzzle: int, attempt: int) -> Thoughts:
        """Returns the steps of one attempt at one puzzle, as of a batch of one: B = 1.

        Raises:
          KeyError: there was no such attempt.
        """
        if (puzzle, attempt) not in self._steps:
            raise KeyError(
                f"attempt {attempt} at puzzle {puzzle} is not in the journal: pass the journal as"
                " watch, to an engine with observe=thoughts_of"
            )
        return jax.tree.map(lambda *steps: np.stack(steps), *self._steps[puzzle, attempt])
