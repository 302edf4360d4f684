"""When a set of tasks will be done, as a distribution, by simulation with a seed.

Durations are drawn from the tasks' distributions, at ranks that past estimates had: where a
project's estimates were too low, or wrong together for a while, so are those of the simulation.
Each draw is scheduled, by anything that fits `Schedule`: `ListSchedule` here, or a checked plan.
"""

import dataclasses
from collections.abc import Sequence
from typing import Protocol

import numpy as np

from hrm_jax.planning.forecast.distributions import Distributions

_RUN = 20
"""Past estimates in a row that a draw takes together."""


class Schedule(Protocol):
    """What turns durations into ends."""

    def __call__(self, durations: np.ndarray) -> np.ndarray:
        """Returns float64 [samples, tasks], when each task ends, for durations of that shape."""
        ...


@dataclasses.dataclass(frozen=True)
class ListSchedule:
    """Tasks one after another, each by the person who is free first of those who may do it.

    Attributes:
      after: for each task, the tasks that must end before it starts; all of them stand earlier.
      people: for each task, who may do it, as numbers from 0.
      free: float64 [people], when each person is free for the first time.
    """

    after: Sequence[Sequence[int]]
    people: Sequence[Sequence[int]]
    free: np.ndarray

    def __call__(self, durations: np.ndarray) -> np.ndarray:
        """Returns when each task ends; see `Schedule`."""
        samples = np.arange(len(durations))
        free = np.tile(np.asarray(self.free, float), (len(durations), 1))
        ends = np.zeros(durations.shape)
        for task, (after, able) in enumerate(zip(self.after, self.people, strict=True)):
            ready = ends[:, list(after)].max(1, initial=0.0)
            # All samples at once: in each another person may be free first.
            who = np.array(able)[free[:, list(able)].argmin(1)]
            ends[:, task] = np.maximum(ready, free[samples, who]) + durations[:, task]
            free[samples, who] = ends[:, task]
        return ends


@dataclasses.dataclass(frozen=True)
class Timeline:
    """What a simulation found.

    Attributes:
      durations: float64 [samples, tasks].
      ends: float64 [samples, tasks].
      schedule: what made the ends of the durations.
    """

    durations: np.ndarray
    ends: np.ndarray
    schedule: Schedule

    @property
    def whole(self) -> np.ndarray:
        """Returns float64 [samples], when the last task ends."""
        return self.ends.max(1)

    def percentile(self, percent: float, tasks: Sequence[int] | None = None) -> float:
        """Returns by when the last of some tasks, or of all, ends in so many of 100 samples."""
        ends = self.whole if tasks is None else self.ends[:, list(tasks)].max(1)
        return float(np.percentile(ends, percent))

    def in_time(self, task: int, due: float) -> float:
        """Returns the share of samples in which a task ends by a time."""
        return float(np.mean(self.ends[:, task] <= due))

    def movers(self, percent: float = 85.0, among: Sequence[int] | None = None) -> np.ndarray:
        """Returns float64 [tasks], how much the percentile of the end owes to each task's doubt.

        That is by how much it falls if the task is sure to take its median; negative where it would
        rise.

        Args:
          percent: which percentile.
          among: the tasks to look at, each a simulation; 0 stands for the others. All if None.
        """
        usual = self.percentile(percent)
        found = np.zeros(self.durations.shape[1])
        for task in range(len(found)) if among is None else among:
            durations = self.durations.copy()
            # Each task alone is made sure, and all others keep their draws, so only its doubt is
            # measured.
            durations[:, task] = np.median(durations[:, task])
            found[task] = usual - np.percentile(self.schedule(durations).max(1), percent)
        return found


def simulate(durations: np.ndarray, schedule: Schedule) -> Timeline:
    """Returns when tasks end for drawn durations [samples, tasks]."""
    return Timeline(durations, schedule(durations), schedule)


def draw_durations(
    tasks: Distributions, past_ranks: np.ndarray, samples: int, rng: np.random.Generator
) -> np.ndarray:
    """Returns float64 [samples, tasks], durations at ranks that past outcomes had.

    Args:
      tasks: the distributions of the tasks.
      past_ranks: [n, 2], of past outcomes in the distributions of their estimates, in time order;
        with none, ranks are even and independent.
      samples: how many draws.
      rng: the source of chance.
    """
    count = len(tasks.weights)
    if len(past_ranks) == 0:
        return tasks.at_ranks(rng.random((samples, count)))
    ranks = past_ranks[draw_past(len(past_ranks), count, samples, rng)]
    # Sizes are often of a few kinds: the outcome's rank is anywhere from below it to up to it.
    spread = rng.random((samples, count))
    return tasks.at_ranks(ranks[..., 0] + spread * (ranks[..., 1] - ranks[..., 0]))


def draw_past(past: int, tasks: int, samples: int, rng: np.random.Generator) -> np.ndarray:
    """Returns int64 [samples, tasks], places in a past, drawn in runs of up to 20 in a row.

    What was wrong together for a while is so in a draw. A past shorter than a run begins again.

    Args:
      past: how many past estimates there are, at least one.
      tasks: how many are drawn at once.
      samples: how many draws.
      rng: the source of chance.
    """
    # As many runs as cover the tasks; what is over is cut off.
    runs = -(-tasks // _RUN)
    length = min(_RUN, tasks)
    # A run begins where all of it is in the past, if the past is long enough for one.
    starts = rng.integers(0, max(past - length + 1, 1), (samples, runs))
    places = (starts[:, :, None] + np.arange(length)).reshape(samples, -1)[:, :tasks]
    return places % past


def sprints_until(
    points: float, velocities: np.ndarray, samples: int, rng: np.random.Generator, most: int = 200
) -> np.ndarray:
    """Returns float64 [samples], sprints until so many points are delivered, by past velocities.

    Args:
      points: what is to be delivered.
      velocities: points delivered by past sprints, in time order.
      samples: how many draws.
      rng: the source of chance.
      most: sprints after which a draw ends; infinity stands for those that are not done by then.
    """
    drawn = np.cumsum(rng.choice(velocities, (samples, most)), 1)
    done = drawn >= points - 1e-9
    return np.where(done.any(1), done.argmax(1) + 1.0, np.inf)
