"""What a sprint will deliver, forecast at a moment of its time from the sprints before.

The outcome is learned as the share of what is left at the moment: 0 for a sprint in which nothing
more is done, 1 for one that ends all that is planned. Past sprints that a forest finds alike stand
for what may come: each lends its share of what was left, and with less weight its delivered points,
since a team's velocity says something apart from its plan. Intervals are the shortest of this
distribution, at a level that past forecasts set (`conformal`).

Everything is in time order, and nothing is used that could not be known: outcomes are taken from
sprints that stand at least `gap` ids before, because sprints of several boards run side by side.
"""

import dataclasses
from collections.abc import Sequence

import numpy as np

from hrm_jax.core.config import configclass, field
from hrm_jax.planning.forecast import neighbours, sprint_features
from hrm_jax.planning.forecast.conformal import (
    InOrder,
    intervals_in_order,
    likeliest,
    nested_intervals,
)
from hrm_jax.planning.forecast.sprints import Snapshot

_LEAST_LEFT, _MOST_LEFT = -3.0, 5.0
"""Bounds of shares of what was left, where little was left and much came or went."""


@configclass
class VelocityConfig:
    """How sprints are forecast."""

    coverage: float = field(0.85, help="wished share inside intervals", more_than=0, less_than=1)
    rate: float = field(0.05, help="of the adaptive level; 0 for split conformal", at_least=0)
    reach: float = field(0.25, help="a forecast is near within this share of the plan", more_than=0)
    own_weight: float = field(
        1 / 3, help="weight of neighbours' delivered points", at_least=0, less_than=1
    )
    gap: int = field(0, help="ids of sprints whose outcome counts as not known yet", at_least=0)
    trees: int = field(100, help="size of the forest", at_least=1)
    leaf: int = field(5, help="least number of sprints in a leaf", at_least=1)
    refit_every: int = field(20, help="sprints between fits", at_least=1)
    seed: int = field(0, help="of the forest", at_least=0)


@dataclasses.dataclass(frozen=True)
class Cases:
    """Sprints with a plan, in time order.

    Attributes:
      features: float64 [sprints, features].
      rank: int64 [sprints], place of the id among all ids.
      planned: float64 [sprints], points at the moment, above 0.
      done: float64 [sprints], points done at the moment.
      delivered: float64 [sprints], the outcome.
      last_ratio: float64 [sprints], delivered over planned of late; a baseline.
    """

    features: np.ndarray
    rank: np.ndarray
    planned: np.ndarray
    done: np.ndarray
    delivered: np.ndarray
    last_ratio: np.ndarray

    def __len__(self) -> int:
        return len(self.rank)


@dataclasses.dataclass(frozen=True)
class Forecasts:
    """Forecasts of sprints, from `first` on.

    Attributes:
      point: float64 [n], the value that is likeliest to be near the outcome.
      intervals: of what will be delivered.
      usual_low: float64 [n], the quantile of all outcomes known by then, a baseline.
      usual_high: float64 [n], likewise.
    """

    point: np.ndarray
    intervals: InOrder
    usual_low: np.ndarray
    usual_high: np.ndarray


def cases(snapshots: Sequence[Snapshot]) -> Cases:
    """Returns the sprints of a project that have a plan at the last of these moments."""
    now = snapshots[-1]
    # Places instead of ids: `gap` then counts sprints, whatever numbers they have.
    rank = np.unique(now.order, return_inverse=True)[1]
    kept = now.planned > 0
    return Cases(
        sprint_features.features(snapshots)[kept],
        rank[kept],
        now.planned[kept],
        now.done[kept],
        now.delivered[kept],
        sprint_features.last_ratios(now)[kept],
    )


def forecast_in_order(known: Cases, first: int, config: VelocityConfig) -> Forecasts:
    """Returns forecasts of the sprints from `first` on, each from what was known before it.

    A forecast does not depend on any outcome of its own or a later sprint, nor on whether there are
    later ones.

    Args:
      known: sprints in time order.
      first: the place of the first to forecast; some outcomes must be known by then.
      config: how.
    """
    # Shares of what is left compare sprints of different sizes.
    scale = _left_or_plan(known)
    share = np.clip((known.delivered - known.done) / scale, _LEAST_LEFT, _MOST_LEFT)
    families, points, usual = [], [], []
    for start in range(first, len(known), config.refit_every):
        rows = np.arange(start, min(start + config.refit_every, len(known)))
        # One fit for several sprints, by what was known at the first of them.
        past = np.flatnonzero(known.rank < known.rank[start] - config.gap)
        model = neighbours.fit(
            known.features[past],
            # Narrower than the shares that are lent, so that few extremes do not shape the trees.
            np.clip(share[past], -1, 2),
            trees=config.trees,
            leaf=config.leaf,
            seed=config.seed,
        )
        tails = (1 - config.coverage) / 2
        ends = np.quantile(known.delivered[past], [tails, 1 - tails])
        usual += [ends] * len(rows)
        for row, weights in zip(rows, model.weights(known.features[rows]), strict=True):
            near = weights > 0
            # Each neighbour lends its share of what was left, on this sprint's own rest.
            by_share = np.maximum(known.done[row] + share[past][near] * scale[row], 0)
            points.append(likeliest(by_share, weights[near], config.reach * known.planned[row]))
            # And, with less weight, what it delivered, whatever was planned.
            values = np.concatenate([by_share, known.delivered[past][near]])
            parts = (1 - config.own_weight) * weights[near], config.own_weight * weights[near]
            families.append(nested_intervals(values, np.concatenate(parts), known.planned[row]))
    rank = known.rank[first:]
    intervals = intervals_in_order(
        families,
        known.delivered[first:],
        made=rank - config.gap,
        known=rank,
        coverage=config.coverage,
        rate=config.rate,
    )
    # A row [low, high] for each sprint.
    usual_low, usual_high = np.array(usual).T
    return Forecasts(np.array(points), intervals, usual_low, usual_high)


def _left_or_plan(known: Cases) -> np.ndarray:
    left = known.planned - known.done
    # Where everything is done already, what comes on top is a share of the plan.
    return np.where(left > 0, left, known.planned)


@dataclasses.dataclass(frozen=True)
class VelocityReport:
    """How well sprints of one project were forecast at one moment.

    Attributes:
      moment: percent of the planned time.
      sprints: how many were forecast and counted: the later half of those with a plan.
      unplanned: how many of the project have nothing planned at the moment.
      unplanned_idle: how many of those deliver nothing either.
      near: share of forecasts within `reach` of the plan from what was delivered.
      near_planned: the same for the forecast that all that is planned is delivered.
      near_done: for the forecast that nothing more is.
      near_last_ratio: for the plan times the board's last ratios of delivered to planned.
      coverage: share of outcomes inside the intervals.
      width: mean width of the intervals in points.
      usual_coverage: share inside the quantiles of all that the project delivered before.
      usual_width: mean width of those.
    """

    moment: int
    sprints: int
    unplanned: int
    unplanned_idle: int
    near: float
    near_planned: float
    near_done: float
    near_last_ratio: float
    coverage: float
    width: float
    usual_coverage: float
    usual_width: float


def evaluate(snapshots: Sequence[Snapshot], config: VelocityConfig) -> VelocityReport:
    """Returns how well a project's sprints are forecast at the last of these moments.

    The first 30 % are only learned from, forecasts up to the half set levels, the rest is counted.

    Args:
      snapshots: of the project, up to the moment.
      config: how.
    """
    now = snapshots[-1]
    known = cases(snapshots)
    # Places in time order: nothing that is counted was learned from before it was forecast.
    first, counted = int(0.3 * len(known)), len(known) // 2
    made = forecast_in_order(known, first, config)
    rows = slice(counted - first, None)
    planned, done, delivered = (
        values[counted:] for values in (known.planned, known.done, known.delivered)
    )

    def near(forecast: np.ndarray) -> float:
        return float(np.mean(np.abs(forecast - delivered) <= config.reach * planned))

    usual_low, usual_high = made.usual_low[rows], made.usual_high[rows]
    return VelocityReport(
        moment=now.moment,
        sprints=len(delivered),
        unplanned=int(np.sum(now.planned == 0)),
        unplanned_idle=int(np.sum((now.planned == 0) & (now.delivered == 0))),
        near=near(made.point[rows]),
        near_planned=near(planned),
        near_done=near(done),
        near_last_ratio=near(known.last_ratio[counted:] * planned),
        coverage=float(made.intervals.inside[rows].mean()),
        width=float((made.intervals.high - made.intervals.low)[rows].mean()),
        usual_coverage=float(np.mean((usual_low <= delivered) & (delivered <= usual_high))),
        usual_width=float(np.mean(usual_high - usual_low)),
    )
