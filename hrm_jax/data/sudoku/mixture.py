"""Joins collections of puzzles into one training set without held-out grids."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from hrm_jax.data.sudoku import canonical
from hrm_jax.data.sudoku.puzzles import Puzzles, concatenate


@dataclasses.dataclass(frozen=True)
class Mixture:
    """Puzzles of several collections, joined.

    Attributes:
      puzzles: those kept, collection after collection.
      sources: the name of each one's collection.
      held_out: puzzles left out because their grid may be one of those held out.
      repeated: puzzles left out because they stood before.
    """

    puzzles: Puzzles
    sources: Sequence[str]
    held_out: int
    repeated: int


def join(collections: Mapping[str, Puzzles], held_out: Sequence[Puzzles]) -> Mixture:
    """Joins collections, leaving out repeated puzzles and those whose grid may be held out.

    Augmentation moves a puzzle within the class of its solved grid, so what counts is not whether
    a held-out puzzle occurs but whether its class does. Classes are compared by
    `class_fingerprints`, which are equal within a class: a puzzle of another class may be left out
    by mistake, but none of a held-out class is kept.

    Args:
      collections: puzzles by the name of their collection.
      held_out: puzzles whose classes must not occur.

    Raises:
      ValueError: nothing is left.
    """
    puzzles = concatenate(list(collections.values()))
    sources = np.repeat(list(collections), [len(part) for part in collections.values()])
    kept = np.ones(len(puzzles), dtype=bool)
    if held_out:
        answers = np.concatenate([part.answers for part in held_out])
        taken = canonical.class_fingerprints(answers)
        kept = ~np.isin(canonical.class_fingerprints(puzzles.answers), taken)
    clear = int(kept.sum())
    # The first occurrence of each puzzle stays. Copies are found among all puzzles: a copy has the
    # same grid, so it is held out exactly when the first occurrence is.
    _, first = np.unique(puzzles.questions, axis=0, return_index=True)
    kept[np.setdiff1d(np.arange(len(kept)), first)] = False
    if not kept.any():
        raise ValueError(
            f"of {len(puzzles)} puzzles none is left: every grid is among those held out; hold out"
            " less, or add other puzzles"
        )
    names = [str(source) for source in sources[kept]]
    return Mixture(puzzles.take(kept), names, len(kept) - clear, clear - int(kept.sum()))
