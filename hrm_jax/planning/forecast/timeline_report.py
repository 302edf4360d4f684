"""How well times of completion are forecast: percentiles against what came."""

import dataclasses
from collections.abc import Sequence

import numpy as np

from hrm_jax.planning.forecast.distributions import Distributions
from hrm_jax.planning.forecast.estimates import PastEstimates
from hrm_jax.planning.forecast.sprints import Snapshot
from hrm_jax.planning.forecast.timeline import draw_durations, sprints_until

PERCENTILES = (50, 85, 95)
_SAMPLES = 500
_TASKS = 20
_BACKLOG_SPRINTS = 3
_PAST_SPRINTS = 5


@dataclasses.dataclass(frozen=True)
class Held:
    """How often percentiles held.

    Attributes:
      forecasts: how many there were.
      shares: for each of `PERCENTILES`, the share of outcomes at or below it.
    """

    forecasts: int
    shares: tuple[float, float, float]


def sums_held(past: PastEstimates, seed: int, *, with_history: bool = True) -> list[list[bool]]:
    """Returns whether sums of tasks in a row were at or below their percentiles.

    The tasks are runs of at most 20 in the second half of past estimates; one person does one after
    another.

    Args:
      past: estimates in time order.
      seed: of the simulation.
      with_history: draw at the ranks of past outcomes; if not, even ranks.
    """
    rng = np.random.default_rng(seed)
    found, start = [], 0
    for number, block in enumerate(past.blocks):
        size = len(block.weights)
        # The first half is the history that the second is drawn from.
        if number >= len(past.blocks) // 2:
            history = past.ranks[: start if with_history else 0]
            for rows in np.array_split(np.arange(size), max(size // _TASKS, 1)):
                tasks = Distributions(block.outcomes, block.weights[rows])
                sums = draw_durations(tasks, history, _SAMPLES, rng).sum(1)
                actual = past.actual[start + rows].sum()
                found.append([bool(actual <= np.percentile(sums, p)) for p in PERCENTILES])
        start += size
    return found


def backlogs_held(now: Snapshot, seed: int) -> list[list[bool]]:
    """Returns whether sprints that a backlog took were at or below their percentiles.

    For each board and each sprint with five before it, the backlog is three times the mean of what
    those delivered; boards that end before it is done are left out from there on.

    Args:
      now: sprints of a project; outcomes are the same at all moments.
      seed: of the simulation.
    """
    rng = np.random.default_rng(seed)
    found = []
    for board in np.unique(now.boards):
        velocities = now.delivered[now.boards == board]
        for place in range(_PAST_SPRINTS, len(velocities)):
            # Up to ten sprints before, of which five have to be there.
            past = velocities[max(place - 2 * _PAST_SPRINTS, 0) : place]
            backlog = _BACKLOG_SPRINTS * past.mean()
            done = np.flatnonzero(np.cumsum(velocities[place:]) >= backlog - 1e-9)
            if backlog > 0 and len(done):
                sprints = sprints_until(backlog, past, _SAMPLES, rng)
                # Infinity at both ends of an interpolation is no number.
                ends = np.percentile(sprints, PERCENTILES, method="higher")
                found.append([bool(done[0] + 1 <= end) for end in ends])
    return found


def summary(held: Sequence[Sequence[bool]]) -> Held:
    """Returns the shares of what `sums_held` or `backlogs_held` found."""
    shares = np.mean(np.array(held, float).reshape(-1, len(PERCENTILES)), 0)
    return Held(len(held), (float(shares[0]), float(shares[1]), float(shares[2])))
