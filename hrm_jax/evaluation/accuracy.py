"""Accuracy of solved puzzles, over all and by difficulty."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int

_NORMAL_95 = 1.959963984540054
"""Standard deviations to each side that hold 95 % of a normal distribution."""


@dataclasses.dataclass(frozen=True)
class PuzzleResults:
    """Results of a batch of puzzles, one row each.

    Attributes:
      cell_accuracy: share of cells that are right, givens included, in [0, 1].
      exact: whether every cell is right.
      valid: whether the answer passes the rules of the task, which needs the puzzle alone.
      steps: steps of the model until it halted, or was stopped.
      rating: difficulty.
    """

    cell_accuracy: Float[np.ndarray, " B"]
    exact: Bool[np.ndarray, " B"]
    valid: Bool[np.ndarray, " B"]
    steps: Int[np.ndarray, " B"]
    rating: Int[np.ndarray, " B"]

    def __len__(self) -> int:
        return len(self.rating)

    def take(self, rows: Bool[np.ndarray, " B"]) -> "PuzzleResults":
        """Returns the chosen rows."""
        return PuzzleResults(*(getattr(self, f.name)[rows] for f in dataclasses.fields(self)))


def concatenate(parts: Sequence[PuzzleResults]) -> PuzzleResults:
    """Joins results in order; at least one part is needed."""
    names = [field.name for field in dataclasses.fields(PuzzleResults)]
    return PuzzleResults(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in names}
    )


def summarize(results: PuzzleResults) -> dict[str, float]:
    """Returns `count` and the means `cell_accuracy`, `exact_accuracy`, `valid_share`, `mean_steps`.

    All are 0 where there are no puzzles.
    """
    columns = {
        "cell_accuracy": results.cell_accuracy,
        "exact_accuracy": results.exact,
        "valid_share": results.valid,
        "mean_steps": results.steps,
    }
    # A mean over no rows is NaN with a warning, and NaN is no JSON.
    means = {name: float(rows.mean()) if len(rows) else 0.0 for name, rows in columns.items()}
    return {"count": len(results), **means}


def interval(share: float, count: int) -> tuple[float, float]:
    """Returns Wilson's 95 % interval of a share that was found among `count` puzzles.

    Puzzles are taken to be independent; of none the interval is all of [0, 1].
    """
    if not count:
        return 0.0, 1.0
    # Wilson's interval stays within [0, 1], also where none or all are solved.
    weight = _NORMAL_95**2 / count
    centre = (share + weight / 2) / (1 + weight)
    half = _NORMAL_95 * math.sqrt(share * (1 - share) / count + (weight / count) / 4) / (1 + weight)
    return max(0.0, centre - half), min(1.0, centre + half)


def by_rating(
    results: PuzzleResults, bands: Sequence[tuple[int, int | None]]
) -> dict[str, dict[str, Any]]:
    """Returns `summarize` for each band of ratings that has puzzles.

    Args:
      results: the puzzles.
      bands: lowest and highest rating of each; None for no upper end.

    Returns:
      Summaries by the band's name, such as "3-5" or "21+".
    """
    summaries = {}
    for lowest, highest in bands:
        inside = results.rating >= lowest
        name = f"{lowest}+" if highest is None else f"{lowest}-{highest}"
        if highest is not None:
            inside &= results.rating <= highest
            name = str(lowest) if lowest == highest else name
        # A band without puzzles has no accuracy.
        if inside.any():
            summaries[name] = summarize(results.take(inside))
    return summaries
