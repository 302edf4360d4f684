"""An instance as arrays, for what plans many times over.

Tasks and people are numbered in the instance's order, and needs, which here are sets of skills
without a count, in the order of their first task. What belongs to a task and has no fixed length
stands in flat arrays: that of task i at [starts[i] : starts[i + 1]].
"""

import datetime
import functools
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Int16, Int32, Int64

from hrm_jax.planning.instance import FULL, Instance, Person, Task
from hrm_jax.planning.order import in_order


class Tables(NamedTuple):
    """The arrays of an instance; a tuple, as compiled code takes it.

    Attributes:
      work: [tasks], ticks at rate 100, times 100.
      earliest: [tasks], the first tick at which each may start.
      started: [tasks], the tick at which it has begun, or -1.
      due: [tasks], or -1.
      priority: [tasks].
      able: [people, needs], who serves which need.
      allowed: [tasks, people], who may do what: it serves some need and is not forbidden.
      fixed: [tasks, people], who must do what.
      need_start, need_index, need_count: which needs a task has, and how many people of each.
      before_start, before: what must have ended before a task starts.
      after_start, after: what may start only when a task has ended.
      order: [tasks], such that each stands behind those before it.
      profile: [people], which row of `rates` is the person's.
      rates: [profiles, ticks], percent.
      period: after the last column of `rates`, its last `period` columns repeat for ever.
      pools: [needs], how many people serve each, where people need only be counted (`pools`);
        otherwise empty.
    """

    work: Int64[np.ndarray, "tasks"]
    earliest: Int32[np.ndarray, "tasks"]
    started: Int32[np.ndarray, "tasks"]
    due: Int32[np.ndarray, "tasks"]
    priority: Int32[np.ndarray, "tasks"]
    able: Bool[np.ndarray, "people needs"]
    allowed: Bool[np.ndarray, "tasks people"]
    fixed: Bool[np.ndarray, "tasks people"]
    need_start: Int32[np.ndarray, "tasks_and_1"]
    need_index: Int32[np.ndarray, "entries"]
    need_count: Int32[np.ndarray, "entries"]
    before_start: Int32[np.ndarray, "tasks_and_1"]
    before: Int32[np.ndarray, "edges"]
    after_start: Int32[np.ndarray, "tasks_and_1"]
    after: Int32[np.ndarray, "edges"]
    order: Int32[np.ndarray, "tasks"]
    profile: Int32[np.ndarray, "people"]
    rates: Int16[np.ndarray, "profiles ticks"]
    period: int
    pools: Int32[np.ndarray, "needs"]

    @property
    def constant(self) -> bool:
        """Whether everybody works at one rate in all ticks."""
        return self.rates.shape[1] == 1

    def needs_of(self, task: int) -> list[tuple[int, int]]:
        """Returns the needs of a task, and how many people of each."""
        entries = slice(self.need_start[task], self.need_start[task + 1])
        index = self.need_index[entries].tolist()
        return list(zip(index, self.need_count[entries].tolist(), strict=True))

    def tasks_before(self, task: int) -> list[int]:
        """Returns what must have ended before a task starts."""
        return self.before[self.before_start[task] : self.before_start[task + 1]].tolist()

    def tasks_after(self, task: int) -> list[int]:
        """Returns what may start only when a task has ended."""
        return self.after[self.after_start[task] : self.after_start[task + 1]].tolist()

    def team_sizes(self) -> list[int]:
        """Returns how many people each task takes."""
        tasks = range(len(self.work))
        return [sum(count for _, count in self.needs_of(task)) for task in tasks]


@functools.lru_cache(maxsize=8)
def tables_of(instance: Instance) -> Tables:
    """Returns the arrays of an instance."""
    tasks = instance.tasks
    number = {task.id: index for index, task in enumerate(tasks)}
    kinds = list(dict.fromkeys(need.skills for task in tasks for need in task.needs))
    needs = [_counts(task, kinds) for task in tasks]
    # A dependency that is named twice counts once.
    before = [[number[other] for other in dict.fromkeys(task.after)] for task in tasks]
    # Edges turned round, for searches that go backwards from the end.
    after: list[list[int]] = [[] for _ in tasks]
    for index, others in enumerate(before):
        for other in others:
            after[other].append(index)
    able = _able(instance, kinds)
    fixed, forbidden = _named_people(instance)
    need_start, need_index = _flat([list(counts) for counts in needs])
    before_start, before_flat = _flat(before)
    after_start, after_flat = _flat(after)
    # People who work alike share a row of rates, as calendars are long.
    profiles = list(dict.fromkeys(map(_profile, instance.people)))
    rates, period = _rates(instance, profiles)
    return Tables(
        work=np.array([FULL * task.duration for task in tasks], np.int64),
        earliest=np.array([max(task.release, instance.now) for task in tasks], np.int32),
        started=_or_minus_one([task.started for task in tasks]),
        due=_or_minus_one([task.due for task in tasks]),
        priority=np.array([task.priority for task in tasks], np.int32),
        able=able,
        allowed=_serving(needs, able) & ~forbidden,
        fixed=fixed,
        need_start=need_start,
        need_index=need_index,
        need_count=_flat([list(counts.values()) for counts in needs])[1],
        before_start=before_start,
        before=before_flat,
        after_start=after_start,
        after=after_flat,
        order=np.array(
            [number[task] for task in in_order({task.id: task.after for task in tasks})], np.int32
        ),
        profile=np.array([profiles.index(_profile(p)) for p in instance.people], np.int32),
        rates=rates,
        period=period,
        pools=np.zeros(0, np.int32),
    )


def group_people(tables: Tables, distinct: bool) -> list[list[int]]:
    """Returns people in groups of those whom nothing tells apart; of one each if `distinct`."""
    groups: dict[tuple, list[int]] = {}
    for person in range(tables.allowed.shape[1]):
        # Who can do nothing of the instance is of no group.
        if not tables.allowed[:, person].any():
            continue
        # All that a planner sees of a person: needs served, calendar, and which tasks ask for or
        # forbid them.
        key = (
            tables.able[person].tobytes(),
            int(tables.profile[person]),
            tables.allowed[:, person].tobytes(),
            tables.fixed[:, person].tobytes(),
            person if distinct else -1,
        )
        groups.setdefault(key, []).append(person)
    return list(groups.values())


def _counts(task: Task, kinds: list[tuple[str, ...]]) -> dict[int, int]:
    counts: dict[int, int] = {}
    for need in task.needs:
        index = kinds.index(need.skills)
        counts[index] = counts.get(index, 0) + need.count
    return counts


def _able(instance: Instance, kinds: list[tuple[str, ...]]) -> np.ndarray:
    able = np.zeros((len(instance.people), len(kinds)), bool)
    for row, person in enumerate(instance.people):
        for column, skills in enumerate(kinds):
            able[row, column] = set(skills) <= set(person.skills)
    return able


def _serving(needs: list[dict[int, int]], able: np.ndarray) -> np.ndarray:
    serving = np.zeros((len(needs), len(able)), bool)
    for task, counts in enumerate(needs):
        serving[task] = able[:, list(counts)].any(axis=1)
    return serving


def _named_people(instance: Instance) -> tuple[np.ndarray, np.ndarray]:
    number = {person.id: index for index, person in enumerate(instance.people)}
    fixed = np.zeros((len(instance.tasks), len(number)), bool)
    forbidden = np.zeros_like(fixed)
    for index, task in enumerate(instance.tasks):
        fixed[index, [number[person] for person in task.people]] = True
        forbidden[index, [number[person] for person in task.forbidden]] = True
    return fixed, forbidden


def _flat(rows: list[list[int]]) -> tuple[np.ndarray, np.ndarray]:
    starts = np.cumsum([0, *map(len, rows)]).astype(np.int32)
    return starts, np.array([item for row in rows for item in row], np.int32)


def _or_minus_one(values: list[int | None]) -> np.ndarray:
    return np.array([-1 if value is None else value for value in values], np.int32)


Profile = tuple[tuple[int, ...], tuple[tuple[int, int], ...]]
"""The rates of a person's week, and absences."""


def _profile(person: Person) -> Profile:
    days = range(max(len(person.week), 1))
    return tuple(person.day_rate(day) for day in days), person.absences


def _rates(instance: Instance, profiles: list[Profile]) -> tuple[np.ndarray, int]:
    """Returns rates until they are the same each week, and the ticks of a week."""
    ends = [end for _, absences in profiles for _, end in absences]
    days = instance.days
    # Without a week's pattern only absences vary, up to the last of them: one column repeats then.
    if days is None or all(len(set(week)) == 1 for week, _ in profiles):
        period = 1
        weekdays = np.zeros(max([0, *ends]) + 1, np.int64)
    else:
        # Weeks are alike in ticks only after the last holiday, which has none.
        ends += [days.end_tick(datetime.date.fromisoformat(date)) for date in days.holidays]
        period = len(days.weekdays) * days.ticks_per_day
        # A whole week behind the last exception, and a day more, as that may be within a day.
        ticks = range(0, max([0, *ends]) + period + days.ticks_per_day, days.ticks_per_day)
        weekdays = np.repeat([days.weekday_index(tick) for tick in ticks], days.ticks_per_day)
    rates = np.zeros((len(profiles), len(weekdays)), np.int16)
    for row, (week, absences) in zip(rates, profiles, strict=True):
        row[:] = np.array(week)[weekdays % len(week)]
        for first, end in absences:
            row[first:end] = 0
    return rates, period
