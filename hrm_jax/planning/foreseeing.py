"""When a plan will be done, as a distribution: its durations drawn, and the plan worked again.

Where durations come from, the first that there is:

* errors of the past: the plan's estimates times what past issues took over what was estimated, in
  runs of the past, as `forecast.timeline` draws them;
* ranges: `low` and `high` of a task are its 10th and 90th percentile, the estimate its median, and
  the logarithm is normal at each side. A task without a range takes the usual one of the others.

An estimate that was guessed for the user keeps the range that was guessed with it, in both.
"""

import numpy as np

from hrm_jax.planning.forecast.timeline import Timeline, draw_past, simulate
from hrm_jax.planning.instance import Instance
from hrm_jax.planning.plan import Plan
from hrm_jax.planning.replaying import Replay

PERCENTILES = (50, 85, 95)

_NORMAL_90 = 1.2815515594600038
"""The 90th percentile of a normal variable of deviation 1."""

_SAMPLES = 500


def foresee(
    instance: Instance,
    plan: Plan,
    errors: np.ndarray | None = None,
    *,
    samples: int = _SAMPLES,
    seed: int = 0,
) -> Timeline | None:
    """Returns when the tasks of a checked plan end, in ticks; None where nothing tells of doubt.

    Args:
      instance: the problem.
      plan: one that the checker accepts.
      errors: float64 [n], what past issues took over what was estimated, in time order.
      samples: how many draws.
      seed: of the draws.
    """
    rng = np.random.default_rng(seed)
    durations = draw_durations(instance, errors, samples, rng)
    return None if durations is None else simulate(durations, Replay(instance, plan))


def replay(instance: Instance, plan: Plan, days: np.ndarray) -> Timeline:
    """Returns when the tasks of a checked plan end, for durations [samples, tasks] in days."""
    per_day = instance.days.ticks_per_day if instance.days else 8
    return simulate(_whole(instance, days * per_day), Replay(instance, plan))


def draw_durations(
    instance: Instance, errors: np.ndarray | None, samples: int, rng: np.random.Generator
) -> np.ndarray | None:
    """Returns float64 [samples, tasks] of whole ticks, or None where nothing tells of doubt."""
    usual = np.array([task.duration for task in instance.tasks], float)
    low, high = _factors(instance)
    # In units of the 10th and 90th percentile, so that a power of the factor at -1 and 1 is the
    # range itself: the logarithm is normal at each side, of another width.
    drawn = rng.standard_normal((samples, len(usual))) / _NORMAL_90
    by_range = usual * np.where(drawn < 0, low**-drawn, high**drawn)
    if errors is None or not len(errors):
        # Without ranges every factor is 1: there is nothing to draw.
        surely = np.array_equal(low, high) and (low == 1).all()
        return None if surely or not len(usual) else _whole(instance, by_range)
    by_past = usual * errors[draw_past(len(errors), len(usual), samples, rng)]
    guessed = np.array([task.estimated for task in instance.tasks])
    return _whole(instance, np.where(guessed, by_range, by_past))


def _factors(instance: Instance) -> tuple[np.ndarray, np.ndarray]:
    """Returns low and high over the estimate of each task; the median of others where none is."""
    ranges = np.full((len(instance.tasks), 2), np.nan)
    for place, task in enumerate(instance.tasks):
        if task.duration and (task.low is not None or task.high is not None):
            # Half a tick stands for a low of 0, which has no logarithm.
            low = task.duration if task.low is None else max(task.low, 0.5)
            high = task.duration if task.high is None else task.high
            ranges[place] = min(low / task.duration, 1.0), high / task.duration
    told = ranges[~np.isnan(ranges[:, 0])]
    usual = np.median(told, axis=0) if len(told) else np.ones(2)
    filled = np.where(np.isnan(ranges), usual, ranges)
    return filled[:, 0], filled[:, 1]


def _whole(instance: Instance, durations: np.ndarray) -> np.ndarray:
    """Returns durations in whole ticks, at least one but for milestones."""
    work = np.array([task.duration > 0 for task in instance.tasks])
    return np.where(work, np.maximum(np.rint(durations), 1), 0)
