"""Accuracy of solved puzzles, over all and by difficulty."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, Int


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
        if inside.any():
            summaries[name] = summarize(results.take(inside))
    return summaries
