"""Sizes of issues (points, hours, days) learned from a project's past ones, each with an interval.

As for sprints, a forest finds past issues that are alike, by topics and length of the text, fields,
and the sizes of those just before; their sizes are the distribution. The estimate is its median.
Intervals are at a level that estimates of the past set, each of them made from issues before it.
"""

import dataclasses

import numpy as np

from hrm_jax.core.config import configclass, field
from hrm_jax.core.errors import UserError
from hrm_jax.planning.forecast import neighbours, text_features
from hrm_jax.planning.forecast.conformal import InOrder, intervals_in_order
from hrm_jax.planning.forecast.distributions import Distributions
from hrm_jax.planning.forecast.text_features import Issues, TextFeatures

LEAST_ISSUES = 40
"""Past issues below which there is no way to learn and to measure."""

_LEARNED_FIRST = 0.6
"""Share of the past that is only learned from."""


class TooFewIssuesError(UserError, ValueError):
    """A project's past is too short to learn from."""


@configclass
class EstimateConfig:
    """How sizes are learned."""

    coverage: float = field(0.85, help="wished share inside intervals", more_than=0, less_than=1)
    rate: float = field(0.02, help="of the adaptive level; 0 for split conformal", at_least=0)
    trees: int = field(100, help="size of the forest", at_least=1)
    leaf: int = field(5, help="least number of issues in a leaf", at_least=1)
    fits: int = field(8, help="fits while the past is estimated in order, at most", at_least=2)
    seed: int = field(0, help="of forest and topics", at_least=0)


@dataclasses.dataclass(frozen=True)
class SizeModel:
    """What was learned of past issues; made by `fit`."""

    features: TextFeatures
    neighbours: neighbours.Neighbours
    outcomes: np.ndarray

    def __call__(self, issues: Issues) -> Distributions:
        """Returns distributions of the sizes of issues that follow the past ones."""
        # None of the new issues has a size yet, so all have the same recent past.
        recent = np.tile(_recent(self.outcomes, len(self.outcomes)), (len(issues), 1))
        features = np.concatenate([self.features(issues), recent], 1)
        return Distributions(self.outcomes, self.neighbours.weights(features))


@dataclasses.dataclass(frozen=True)
class PastEstimates:
    """Estimates of the later past issues, each from those before it.

    Attributes:
      first: the place of the first issue that was estimated.
      point: float64 [n], the estimates.
      ranks: float64 [n, 2], where the sizes that came lie in the distributions of the estimates.
      blocks: the distributions; those of one block were made at one time.
      intervals: around the estimates.
      actual: float64 [n], the sizes that came.
    """

    first: int
    point: np.ndarray
    ranks: np.ndarray
    blocks: tuple[Distributions, ...]
    intervals: InOrder
    actual: np.ndarray


def fit(issues: Issues, sizes: np.ndarray, config: EstimateConfig) -> SizeModel:
    """Returns what past issues, in time order, say of sizes.

    Raises:
      TooFewIssuesError: there are less than three fifths of `LEAST_ISSUES`.
    """
    # The first fit of `estimate_past` has only this share of the least number.
    if len(issues) < _LEARNED_FIRST * LEAST_ISSUES:
        raise TooFewIssuesError(
            f"expected at least {LEAST_ISSUES} past issues with their sizes, got {len(issues)}; "
            "add older ones"
        )
    features = text_features.fit(issues, config.seed)
    recent = np.array([_recent(sizes, row) for row in range(len(issues))])
    # Leaves hold issues that are alike in the logarithm of size: a point more counts less at 20.
    model = neighbours.fit(
        np.concatenate([features(issues), recent], 1),
        np.log1p(sizes),
        trees=config.trees,
        leaf=config.leaf,
        seed=config.seed,
    )
    return SizeModel(features, model, sizes)


def blocks(first: int, count: int, config: EstimateConfig) -> list[np.ndarray]:
    """Returns the places of past issues that are estimated by one fit, for each fit in order.

    None is empty: where there are fewer issues than `config.fits`, each has a fit of its own.
    """
    return np.array_split(np.arange(first, count), min(config.fits, count - first))


def estimate_past(issues: Issues, sizes: np.ndarray, config: EstimateConfig) -> PastEstimates:
    """Returns estimates of the later 40 % of past issues, each from what was known before.

    Args:
      issues: in time order.
      sizes: float64 [issues], what came.
      config: how.

    Raises:
      TooFewIssuesError: there are less than `LEAST_ISSUES`.
    """
    if len(issues) < LEAST_ISSUES:
        raise TooFewIssuesError(
            f"expected at least {LEAST_ISSUES} past issues with their sizes, got {len(issues)}; "
            "add older ones"
        )
    first = int(_LEARNED_FIRST * len(issues))
    points, ranks, made_of, families, times = [], [], [], [], []
    for time, rows in enumerate(blocks(first, len(issues), config)):
        # Everything before the block, and nothing of it.
        past = np.arange(rows[0])
        made = fit(issues.take(past), sizes[past], config)(issues.take(rows))
        points.append(made.quantile(0.5))
        ranks.append(made.ranks(sizes[rows]))
        made_of.append(made)
        families += made.families()
        # Within a block nothing of it is known yet: its model was made before it.
        times += [time] * len(rows)
    intervals = intervals_in_order(
        families,
        sizes[first:],
        made=np.array(times),
        known=np.array(times),
        coverage=config.coverage,
        rate=config.rate,
    )
    return PastEstimates(
        first,
        np.concatenate(points),
        np.concatenate(ranks),
        tuple(made_of),
        intervals,
        sizes[first:],
    )


def _recent(sizes: np.ndarray, row: int) -> tuple[float, float]:
    """Returns the mean of the 20 sizes and the median of the 100 before a place."""
    if row == 0:
        return np.nan, np.nan
    return float(np.mean(sizes[max(row - 20, 0) : row])), float(
        np.median(sizes[max(row - 100, 0) : row])
    )
