"""Puzzles with their answers and ratings, as arrays."""

import dataclasses
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Int, Int32, UInt8


@dataclasses.dataclass(frozen=True)
class Puzzles:
    """A batch of puzzles with their only solutions.

    Attributes:
      questions: uint8 [B, 81], 0 for a blank, 1..9 for a given.
      answers: uint8 [B, 81], values 1..9.
      ratings: int32 [B], at least 0; see `solver`.
    """

    questions: UInt8[np.ndarray, "B 81"]
    answers: UInt8[np.ndarray, "B 81"]
    ratings: Int32[np.ndarray, "B"]

    def __len__(self) -> int:
        return len(self.ratings)

    def take(self, rows: Int[np.ndarray, "N"] | Bool[np.ndarray, "B"] | slice) -> "Puzzles":
        """Returns the chosen rows, by index, mask or slice."""
        return Puzzles(self.questions[rows], self.answers[rows], self.ratings[rows])


def concatenate(parts: Sequence[Puzzles]) -> Puzzles:
    """Joins batches in order; at least one is needed."""
    return Puzzles(
        questions=np.concatenate([part.questions for part in parts]),
        answers=np.concatenate([part.answers for part in parts]),
        ratings=np.concatenate([part.ratings for part in parts]),
    )
