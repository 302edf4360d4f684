"""Sets of puzzles of a kind, as arrays."""

import dataclasses
import functools
from collections.abc import Sequence

import jax
import numpy as np
from jaxtyping import UInt8

from hrm_jax.core.graphs import stack_graphs
from hrm_jax.core.types import Batch, Relations
from hrm_jax.data.differing import solver
from hrm_jax.data.differing.problem import BLANK_TOKEN, Differing, openings
from hrm_jax.data.sudoku.easing import reveal
from hrm_jax.inference.tree import Branching
from hrm_jax.tasks.differing.kinds import Kind


@dataclasses.dataclass(frozen=True)
class PuzzleSet:
    """N puzzles.

    Attributes:
      inputs: tokens of the questions.
      labels: tokens of an answer of each.
      relations: leaves [N, ...]; None for kinds without.
      problems: which cells differ, for each.
    """

    inputs: UInt8[np.ndarray, "N T"]
    labels: UInt8[np.ndarray, "N T"]
    relations: Relations | None
    problems: Sequence[Differing]

    def __len__(self) -> int:
        return len(self.inputs)

    def branching(self) -> list[Branching]:
        """Returns the rules of each puzzle for a search."""
        return [
            Branching(
                functools.partial(openings, num_symbols=problem.num_symbols),
                functools.partial(solver.narrow, problem=problem),
            )
            for problem in self.problems
        ]


def make(kind: Kind, seeds: Sequence[int], count: int) -> PuzzleSet:
    """Returns new puzzles; equal seeds give equal ones."""
    rng = np.random.default_rng(seeds)
    drawn = [kind.draw(rng) for _ in range(count)]
    return PuzzleSet(
        # Cells count from 0, the blank; tokens from the padding before it.
        inputs=np.stack([one.question for one in drawn]) + np.uint8(BLANK_TOKEN),
        labels=np.stack([one.answer for one in drawn]) + np.uint8(BLANK_TOKEN),
        relations=stack_graphs([one.relations for one in drawn]),
        problems=[one.problem for one in drawn],
    )


def draw_batch(
    puzzles: PuzzleSet, batch_size: int, seed: int, reveal_share: float, number: int
) -> Batch:
    """Returns a batch, a function of its number alone.

    Args:
      puzzles: where they are from; every epoch has an order of its own.
      batch_size: B.
      seed: of the orders, and of what is revealed.
      reveal_share: share of the puzzles that are shown with some blanks filled in.
      number: of the batch.
    """
    first = number * batch_size
    # Batches lie end to end over epochs, so one may end an epoch and begin the next.
    visits = [divmod(place, len(puzzles)) for place in range(first, first + batch_size)]
    rows = np.array([_order(len(puzzles), seed, epoch)[place] for epoch, place in visits])
    labels = puzzles.labels[rows]
    inputs = reveal(puzzles.inputs[rows], labels, seed, first, share=reveal_share)
    relations = jax.tree.map(lambda x: x[rows], puzzles.relations)
    arrays = inputs.astype(np.int32), labels.astype(np.int32), np.zeros(batch_size, np.int32)
    return Batch(*arrays, relations)  # pyright: ignore[reportArgumentType]


@functools.lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count)
