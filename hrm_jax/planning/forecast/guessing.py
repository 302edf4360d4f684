"""Sizes of issues that nobody estimated, from a project's own past ones."""

import dataclasses

import numpy as np

from hrm_jax.planning.forecast import learned
from hrm_jax.planning.forecast.estimates import LEAST_ISSUES, EstimateConfig
from hrm_jax.planning.forecast.text_features import Issues

_QUANTILES = (0.1, 0.5, 0.9)


@dataclasses.dataclass(frozen=True)
class Guesses:
    """Sizes of new issues.

    Attributes:
      low: float64 [issues], their 10th percentiles.
      sizes: float64 [issues], their medians.
      high: float64 [issues], their 90th percentiles.
      error: mean absolute error of such sizes for the later past, each from what was before.
      usual_error: that of the median of all before instead.
      by_text: whether texts tell more than the median; if not, all have the past's quantiles.
    """

    low: np.ndarray
    sizes: np.ndarray
    high: np.ndarray
    error: float
    usual_error: float
    by_text: bool


def guess_sizes(past: Issues, sizes: np.ndarray, new: Issues, seed: int = 0) -> Guesses | None:
    """Returns sizes of new issues, or None where there are fewer than 40 past ones.

    Args:
      past: in time order.
      sizes: float64 [past], above 0.
      new: what is to be estimated.
      seed: of the forest.
    """
    if len(past) < LEAST_ISSUES:
        return None
    found = learned.learn(past, sizes, EstimateConfig(fits=4, seed=seed))
    # Measured on the past: where texts tell no more than the median, the median is the better
    # guess.
    by_text = found.error < found.usual_error
    made = found.model(new)

    def quantile(share: float) -> np.ndarray:
        return made.quantile(share) if by_text else np.full(len(new), np.quantile(sizes, share))

    low, middle, high = map(quantile, _QUANTILES)
    return Guesses(low, middle, high, found.error, found.usual_error, by_text)
