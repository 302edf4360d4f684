"""What may come for each of some issues: the sizes of past ones, weighted."""

import dataclasses

import numpy as np

from hrm_jax.planning.forecast.conformal import NestedIntervals, nested_intervals


@dataclasses.dataclass(frozen=True)
class Distributions:
    """What may come for each of some issues.

    Attributes:
      outcomes: float64 [cases], sizes of past issues.
      weights: float64 [issues, cases], how much each counts; rows sum to 1.
    """

    outcomes: np.ndarray
    weights: np.ndarray

    def quantile(self, share: float) -> np.ndarray:
        """Returns float64 [issues], the least size with at least this share at or below it."""
        order = np.argsort(self.outcomes, kind="stable")
        below = np.cumsum(self.weights[:, order], 1)
        # The first place where enough weight is below; sums may fall short of 1 by rounding.
        return self.outcomes[order][np.argmax(below >= share - 1e-9, 1)]

    def at_ranks(self, ranks: np.ndarray) -> np.ndarray:
        """Returns float64 [samples, issues], the sizes at ranks [samples, issues] from 0 to 1."""
        order = np.argsort(self.outcomes, kind="stable")
        below = np.cumsum(self.weights[:, order], 1)
        sizes = np.empty(ranks.shape)
        for issue, sums in enumerate(below):
            # Ranks are of the whole weight, so that one of 1 has a place in spite of rounding.
            places = np.searchsorted(sums, ranks[:, issue] * sums[-1])
            sizes[:, issue] = self.outcomes[order][np.minimum(places, len(sums) - 1)]
        return sizes

    def ranks(self, sizes: np.ndarray) -> np.ndarray:
        """Returns float64 [issues, 2], shares of the distributions below sizes, and up to them."""
        under = (self.weights * (self.outcomes < sizes[:, None])).sum(1)
        upto = (self.weights * (self.outcomes <= sizes[:, None])).sum(1)
        return np.stack([under, upto], 1)

    def families(self) -> list[NestedIntervals]:
        """Returns the nested intervals of each issue."""
        # All of one project share a scale, or scores beyond the last level would not compare.
        scale = max(float(np.median(self.outcomes)), 1e-9)
        rows = ((self.outcomes[w > 0], w[w > 0]) for w in self.weights)
        return [nested_intervals(outcomes, weights, scale) for outcomes, weights in rows]
