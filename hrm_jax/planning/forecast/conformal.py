"""Intervals that cover what they say: conformal prediction over scores of the past.

A score says how far a model's intervals must be widened to hold what came. Where past and future
are exchangeable, the `split_level` of past scores holds the next one with at least the wished
probability, whatever the model (Vovk et al. 2005; Lei et al. 2018). In time order they are not
quite, so `AdaptiveLevel` moves the level by what was covered of late (Gibbs and Candes 2021): the
share that is covered over a long run comes near the wished one whatever the drift.

Scores here are places in a family of nested intervals (Gupta, Kuchibhotla, Ramdas 2022).
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

LEVELS = np.concatenate([np.arange(0.3, 0.9, 0.05), np.arange(0.9, 0.995, 0.01)])
"""Masses of the nested intervals."""

_NEAR = 1e-9
"""What rounding may change in sums of weights and in scaled outcomes."""


def split_level(scores: np.ndarray, coverage: float) -> float:
    """Returns the least level that holds a new score with probability `coverage` or more.

    Args:
      scores: those of the past [n], exchangeable with the new one.
      coverage: the wished probability.

    Returns:
      The ceil(coverage * (n + 1))-th smallest score. With too few scores for that, infinity: no
      finite interval is then guaranteed.
    """
    # The new score is one of n + 1 that are equally likely in any order.
    place = int(np.ceil(coverage * (len(scores) + 1) - _NEAR))
    return float(np.sort(scores)[place - 1]) if place <= len(scores) else float("inf")


@dataclasses.dataclass(frozen=True)
class AdaptiveLevel:
    """The level of intervals in time order, moved by each outcome that becomes known.

    Attributes:
      coverage: the wished share of outcomes inside.
      rate: by how much an outcome outside raises the level; about `rate / (1 - coverage)` outcomes
        inside take it back. 0 is plain split conformal prediction.
      current: the share of past scores that intervals hold now.
    """

    coverage: float
    rate: float
    current: float

    @classmethod
    def start(cls, coverage: float, rate: float) -> "AdaptiveLevel":
        """Returns the level before any outcome."""
        return cls(coverage, rate, coverage)

    def level(self, scores: np.ndarray) -> float:
        """Returns the score up to which intervals reach now; the largest where none is enough."""
        level = split_level(scores, self.current)
        return level if np.isfinite(level) else float(np.max(scores))

    def after(self, covered: bool) -> "AdaptiveLevel":
        """Returns the level after one more outcome."""
        moved = self.current + self.rate * (self.coverage - float(covered))
        # Bounds keep a run of bad luck from leading to no interval, or to one that holds all.
        least, most = 1 - 3 * (1 - self.coverage), 1 - (1 - self.coverage) / 5
        return dataclasses.replace(self, current=float(np.clip(moved, least, most)))


@dataclasses.dataclass(frozen=True)
class NestedIntervals:
    """Intervals of growing mass of one distribution, each inside of the next.

    Attributes:
      ends: float64 [len(LEVELS), 2], lowest and highest value for each level.
      scale: positive; beyond the last level, `level - 1` of it is added at both ends.
    """

    ends: np.ndarray
    scale: float

    def score(self, outcome: float) -> float:
        """Returns the least level whose interval holds the outcome."""
        low, high = self.ends[:, 0], self.ends[:, 1]
        # Outcomes that were scaled and scaled back must still be found in their own interval.
        margin = _NEAR * self.scale
        inside = (low - margin <= outcome) & (outcome <= high + margin)
        if inside.any():
            return float(LEVELS[inside.argmax()])
        # Beyond the last interval scores grow with the distance, so that no outcome is without one.
        return 1 + max(low[-1] - outcome, outcome - high[-1]) / self.scale

    def at(self, level: float) -> tuple[float, float]:
        """Returns the interval that holds exactly the outcomes with scores up to `level`."""
        place = min(int(np.searchsorted(LEVELS, level - _NEAR)), len(LEVELS) - 1)
        beyond = max(level - 1, 0.0) * self.scale
        low, high = self.ends[place]
        return float(low - beyond), float(high + beyond)


def nested_intervals(values: np.ndarray, weights: np.ndarray, scale: float) -> NestedIntervals:
    """Returns the shortest intervals of a discrete distribution for all `LEVELS`, nested.

    The first is the shortest of its mass; each next one the shortest that has its mass and holds
    the one before.

    Args:
      values: [n], in any order.
      weights: [n], not negative; their sum is taken as 1.
      scale: as in `NestedIntervals`.
    """
    # Equal values become one with their weights added: an interval holds all of them or none.
    atoms, place = np.unique(values, return_inverse=True)
    mass = np.bincount(place, weights)
    below = np.concatenate([[0.0], np.cumsum(mass / mass.sum())])
    lowest, highest = len(atoms) - 1, 0
    ends = np.empty((len(LEVELS), 2))
    for row, level in enumerate(LEVELS):
        # Intervals of the wished mass that begin at or before the one so far, and end at or behind
        # it; in the first round all that there are.
        starts = np.arange(lowest + 1)
        stops = np.searchsorted(below, below[starts] + level - _NEAR) - 1
        stops = np.maximum(stops, highest)
        fits = stops < len(atoms)
        starts, stops = starts[fits], stops[fits]
        best = np.argmin(atoms[stops] - atoms[starts])
        lowest, highest = starts[best], stops[best]
        ends[row] = atoms[lowest], atoms[highest]
    return NestedIntervals(ends, scale)


def likeliest(values: np.ndarray, weights: np.ndarray, reach: float) -> float:
    """Returns the value with the most weight within `reach` of it; the middle of several."""
    order = np.argsort(values, kind="stable")
    values, below = values[order], np.concatenate([[0.0], np.cumsum(weights[order])])
    # A window of width 2 * reach, moved over the sorted values: the heaviest is around the answer.
    after = np.searchsorted(values, values + 2 * reach * (1 + _NEAR), side="right")
    start = int(np.argmax(below[after] - below[:-1]))
    return float(values[start] + values[after[start] - 1]) / 2


@dataclasses.dataclass(frozen=True)
class InOrder:
    """Intervals of forecasts in time order.

    Attributes:
      low: float64 [n]; NaN where too few outcomes were known.
      high: float64 [n], likewise.
      inside: bool [n], whether the outcome is in the interval.
      level: up to which score intervals reach after all of these; infinite with too few.
    """

    low: np.ndarray
    high: np.ndarray
    inside: np.ndarray
    level: float


def intervals_in_order(
    families: Sequence[NestedIntervals],
    outcomes: np.ndarray,
    made: np.ndarray,
    known: np.ndarray,
    *,
    coverage: float,
    rate: float,
) -> InOrder:
    """Returns an interval for each forecast, at the level that the outcomes known before set.

    No interval is below 0: outcomes are amounts.

    Args:
      families: of each forecast, in time order.
      outcomes: float64 [n], what came.
      made: [n], when each forecast is made; never falls.
      known: [n], when each outcome is known. A forecast uses those known before it is made.
      coverage: the wished share inside.
      rate: as in `AdaptiveLevel`.
    """
    scores = np.array([f.score(y) for f, y in zip(families, outcomes, strict=True)])
    ends = np.full((len(families), 2), np.nan)
    inside = np.zeros(len(families), bool)
    adaptive = AdaptiveLevel.start(coverage, rate)
    by_known = np.argsort(known, kind="stable")
    # Among so many outcomes one outside is expected; with fewer there is no level to speak of.
    seen, enough = 0, 1 / (1 - coverage)
    for row, family in enumerate(families):
        # Outcomes come in the order in which they are known, which is not that of the forecasts.
        while seen < len(known) and known[by_known[seen]] < made[row]:
            # A forecast without an interval moves nothing: it was neither right nor wrong.
            if np.isfinite(ends[by_known[seen], 0]):
                adaptive = adaptive.after(bool(inside[by_known[seen]]))
            seen += 1
        if seen >= enough:
            level = adaptive.level(scores[by_known[:seen]])
            low, high = family.at(level)
            ends[row] = max(low, 0.0), high
            # By its score and not by its ends, which rounding moves.
            inside[row] = scores[row] <= level
    last = adaptive.level(scores) if len(scores) >= enough else float("inf")
    return InOrder(ends[:, 0], ends[:, 1], inside, last)
