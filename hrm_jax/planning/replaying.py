"""A checked plan worked again with other durations: people and orders stay, times follow.

Each task starts as soon as what it comes after has ended: its dependencies, and the tasks that its
people do before it in the plan. Time passes in whole ticks, as in plans, so that the durations of
the plan give ends that are its own, or earlier where the plan leaves a gap.
"""

import dataclasses
import functools

import numpy as np

from hrm_jax.planning.instance import FULL, Instance, Task
from hrm_jax.planning.order import in_order
from hrm_jax.planning.plan import Plan
from hrm_jax.planning.tables import Tables, tables_of

_NEVER = 2**40


def links(instance: Instance, plan: Plan) -> dict[str, list[str]]:
    """Returns for each task what it comes after: dependencies, and its people's task before."""
    found = {task.id: list(task.after) for task in instance.tasks}
    newest: dict[str, str] = {}
    for one in sorted(plan.assignments, key=lambda one: (one.start, one.end)):
        for person in one.people:
            if person in newest and newest[person] not in found[one.task]:
                found[one.task].append(newest[person])
            newest[person] = one.task
    return found


@dataclasses.dataclass(frozen=True)
class Pace:
    """How much a team works in ticks, in percent of a tick.

    Attributes:
      sums: int64 [ticks + 1], work done from tick 0 until before each tick.
      period: after the last tick, the work of the last so many ticks repeats for ever.
    """

    sums: np.ndarray
    period: int

    @classmethod
    def of(cls, rates: np.ndarray, period: int) -> "Pace":
        """Returns the pace of rates, int [ticks], whose last `period` repeat."""
        return cls(np.concatenate([[0], np.cumsum(rates, dtype=np.int64)]), period)

    def done_by(self, ticks: np.ndarray) -> np.ndarray:
        """Returns the work done from tick 0 until before each of some ticks."""
        last = len(self.sums) - 1
        # Within the table a sum is an entry; behind it whole weeks are multiplied, and a part
        # looked up.
        rounds, rest = np.divmod(np.maximum(ticks - last, 0), self.period)
        first = self.sums[last - self.period]
        later = rounds * (self.sums[last] - first) + self.sums[last - self.period + rest] - first
        return self.sums[np.minimum(ticks, last)] + later

    def reached(self, work: np.ndarray) -> np.ndarray:
        """Returns the first ticks by which so much work is done; 2**40 where it never is."""
        last = len(self.sums) - 1
        # The inverse of `done_by`: whole weeks by division, the rest by a search in the sums of
        # one. The first tick by which all is done, so exactly a week's work takes no tick of the
        # next one.
        week = self.sums[last - self.period :] - self.sums[last - self.period]
        beyond = np.maximum(work - self.sums[last], 0)
        rounds, rest = np.divmod(np.maximum(beyond - 1, 0), max(week[-1], 1))
        later = last + rounds * self.period + np.searchsorted(week, rest + 1)
        if week[-1] == 0:
            later = np.full_like(work, _NEVER)
        return np.where(beyond > 0, later, np.searchsorted(self.sums, work))

    def first_at_work(self, ticks: np.ndarray) -> np.ndarray:
        """Returns the first ticks, from some ticks on, in which the team works."""
        return self.reached(self.done_by(ticks) + 1) - 1


@dataclasses.dataclass(frozen=True)
class Replay:
    """A `forecast.timeline.Schedule` of a checked plan; tasks are in the instance's order."""

    instance: Instance
    plan: Plan

    @functools.cached_property
    def _order(self) -> list[tuple[int, list[int]]]:
        """Each task's place and those of what it comes after, in an order that can be worked."""
        number = {task.id: place for place, task in enumerate(self.instance.tasks)}
        found = links(self.instance, self.plan)
        return [(number[task], [number[o] for o in found[task]]) for task in in_order(found)]

    @functools.cached_property
    def _paces(self) -> list[Pace]:
        tables = tables_of(self.instance)
        number = {person.id: place for place, person in enumerate(self.instance.people)}
        known: dict[tuple[int, ...], Pace] = {}
        planned = self.plan.by_task()
        paces = []
        for task in self.instance.tasks:
            rows = [int(tables.profile[number[person]]) for person in planned[task.id].people]
            # Only rates tell teams apart, so tasks of alike teams share a table.
            team = tuple(sorted(set(rows)))
            if team not in known:
                known[team] = _pace(tables, team)
            paces.append(known[team])
        return paces

    def __call__(self, durations: np.ndarray) -> np.ndarray:
        """Returns [samples, tasks], when each task ends for durations of whole ticks."""
        return self.times(durations)[1].astype(float)

    def times(self, durations: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns int64 [samples, tasks] starts and ends, for durations of whole ticks."""
        work = FULL * np.rint(durations).astype(np.int64)
        starts, ends = np.zeros(work.shape, np.int64), np.zeros(work.shape, np.int64)
        # All samples of a task at once; what it comes after is done by then.
        for place, before in self._order:
            task, pace = self.instance.tasks[place], self._paces[place]
            begins = self._starts(task, ends[:, before], pace, work[:, place])
            after = pace.reached(pace.done_by(begins) + work[:, place])
            starts[:, place] = begins
            ends[:, place] = np.where(work[:, place] > 0, after, begins)
        return starts, ends

    def _starts(self, task: Task, ends: np.ndarray, pace: Pace, work: np.ndarray) -> np.ndarray:
        if task.started is not None:
            return np.full(len(ends), task.started, np.int64)
        earliest = max(task.release, self.instance.now)
        ready = np.maximum(ends.max(1, initial=0), earliest)
        return np.where(work > 0, pace.first_at_work(ready), ready)


def _pace(tables: Tables, team: tuple[int, ...]) -> Pace:
    if not team:
        return Pace.of(np.array([FULL]), 1)
    return Pace.of(tables.rates[list(team)].min(axis=0).astype(np.int64), tables.period)
