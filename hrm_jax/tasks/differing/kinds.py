"""What a kind of puzzle says of itself; all else about it is shared."""

import dataclasses
from typing import Protocol

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Int, UInt8

from hrm_jax.core.candidates import CandidateGrid
from hrm_jax.core.types import Relations
from hrm_jax.data.differing.problem import BLANK_TOKEN, FIRST_SYMBOL, Differing

NEIGHBOURS = "neighbours"
"""The relation that says which cells of a puzzle differ, where that is not the same for all."""


@dataclasses.dataclass(frozen=True)
class Drawn:
    """A puzzle.

    Attributes:
      question: cells, 0 for a blank, 1 to n for a symbol.
      answer: a solution; others may exist.
      problem: which cells differ.
      relations: the same for a model, by `NEIGHBOURS`; None where the kind's grid says it.
    """

    question: UInt8[np.ndarray, " T"]
    answer: UInt8[np.ndarray, " T"]
    problem: Differing
    relations: Relations | None


class Kind(Protocol):
    """A kind of puzzle with its sizes; hashable."""

    @property
    def grid(self) -> CandidateGrid:
        """The candidates, and the relations that all puzzles have."""
        ...

    @property
    def fixed(self) -> Differing | None:
        """Which cells differ in all puzzles; None where each puzzle has `NEIGHBOURS` of its own."""
        ...

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Returns a new puzzle."""
        ...


@dataclasses.dataclass(frozen=True)
class Solves:
    """The rules of a kind as an `inference.slots.Verify`; hashable."""

    kind: Kind

    def __call__(
        self,
        puzzles: Int[Array, "B T"],
        proposals: Int[Array, "B T"],
        relations: Relations | None = None,
    ) -> Bool[Array, " B"]:
        """Returns which proposals are full, keep the givens, and differ where they must."""
        last = FIRST_SYMBOL + self.kind.grid.num_symbols - 1
        proper = ((proposals >= FIRST_SYMBOL) & (proposals <= last)).all(-1)
        keeps = ((puzzles == BLANK_TOKEN) | (puzzles == proposals)).all(-1)
        fixed = self.kind.fixed
        if fixed is not None:
            # NumPy's arrays are constants of the compiled program.
            source = np.repeat(np.arange(fixed.num_cells), np.diff(fixed.starts))
            equal = proposals[:, source] == proposals[:, fixed.neighbours]
        else:
            assert relations is not None
            (edges,) = relations[NEIGHBOURS]
            ends = [jnp.take_along_axis(proposals, end, 1) for end in (edges.source, edges.target)]
            # Padding has a share of 0, and joins nothing.
            equal = (ends[0] == ends[1]) & (edges.share > 0)
        return proper & keeps & ~equal.any(-1)
