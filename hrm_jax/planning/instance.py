"""The problem: tasks that need people with skills, and people with calendars.

**Time.** An instance counts time in *ticks* of the team's working time, from 0 on: nights, weekends
and the team's holidays have no ticks (`workdays.Workdays` turns ticks into dates). A person works
at a *rate*: `speed` times `capacity` times the share that `week` gives the day, in percent, and 0
while absent. A task of duration d needs 100 * d of work. Its people work together: in each tick
the rate of the slowest of them counts, so that half a day stretches the task, and a day off of
one of them pauses it. Once begun, nothing else pauses it, and its people do nothing else until it
ends. A task that needs nobody passes at rate 100; one of duration 0 (a milestone) takes no time
and nobody.

**Needs.** A need is a number of people who each have *all* of its skills. Every person of a task
serves one of its needs, so a task with two needs takes two people, even where one has both skills.
"""

import functools
import hashlib
from collections.abc import Mapping

from hrm_jax.core.config import check, configclass, field, to_json
from hrm_jax.planning.order import find_cycle
from hrm_jax.planning.workdays import Workdays

FULL = 100
"""The rate of a person of usual speed who works all day, in percent."""


@configclass
class Need:
    """So many people, each with all of some skills; no skills: anybody."""

    skills: tuple[str, ...]
    count: int = field(1, help="how many people", at_least=1)

    def __str__(self) -> str:
        skills = "+".join(self.skills) or "anybody"
        return skills if self.count == 1 else f"{skills}:{self.count}"


@configclass
class Task:
    """Work to be done by people with certain skills, together.

    Attributes:
      people: who must be among those that do it.
      started: the tick at which it began, or is promised to begin; it stays there.
      estimated: whether the duration is a guess made for the user, and so marked.
    """

    id: str
    duration: int = field(help="ticks of work at rate 100", at_least=0)
    needs: tuple[Need, ...] = ()
    after: tuple[str, ...] = ()
    title: str = ""
    low: int | None = field(None, help="ticks if it goes well", at_least=0)
    high: int | None = field(None, help="ticks if it goes badly", at_least=0)
    release: int = field(0, help="the first tick at which it may start", at_least=0)
    due: int | None = field(None, help="the tick at which it should have ended", at_least=0)
    priority: int = field(1, help="weight of its lateness", at_least=0)
    people: tuple[str, ...] = ()
    forbidden: tuple[str, ...] = ()
    started: int | None = field(None, help="the tick at which it has begun", at_least=0)
    estimated: bool = False

    def __post_init__(self):
        check(self.id != "", "id", expected="a name", got="", remedy="give each task its own")
        # A range that is open at one side ends at the estimate itself.
        low = self.duration if self.low is None else self.low
        high = self.duration if self.high is None else self.high
        check(
            low <= self.duration <= high,
            "duration",
            expected=f"a duration from low={low} to high={high}",
            got=self.duration,
            remedy="order the estimate as low, likely, high",
        )
        check(
            self.duration > 0 or not self.needs,
            "needs",
            expected="nobody for a milestone, whose duration is 0",
            got=[str(need) for need in self.needs],
            remedy="give the task a duration, or no skills",
        )
        for name, people in (("people", self.people), ("forbidden", self.forbidden)):
            once = len(set(people)) == len(people)
            check(once, name, expected="nobody twice", got=people, remedy="name each once")
        both = sorted(set(self.people) & set(self.forbidden))
        check(
            not both,
            "forbidden",
            expected="nobody who is to do it",
            got=both,
            remedy="remove the name from people, or from forbidden",
        )
        check(
            len(self.people) <= self.team_size,
            "people",
            expected=f"at most {self.team_size}, as many as the task needs",
            got=self.people,
            remedy="raise the count of a skill, or name fewer",
        )
        check(
            self.started is None or len(self.people) == self.team_size,
            "people",
            expected=f"all {self.team_size} who work on a task that has begun",
            got=self.people,
            remedy="name them all, or leave out when it began",
        )

    @property
    def team_size(self) -> int:
        """How many people it takes."""
        return sum(need.count for need in self.needs)


@configclass
class Person:
    """Somebody with skills and a calendar.

    Attributes:
      week: percent of each of the team's working days of a week; empty for all of each.
      absences: ranges of ticks, first and one past the last, in which the person does not work.
    """

    id: str
    skills: tuple[str, ...] = ()
    speed: int = field(FULL, help="percent of the usual speed", at_least=1, at_most=1000)
    capacity: int = field(FULL, help="percent of the working time", at_least=1, at_most=FULL)
    week: tuple[int, ...] = field((), help="percent of each day", at_least=0, at_most=FULL)
    absences: tuple[tuple[int, int], ...] = ()
    name: str = ""

    def __post_init__(self):
        check(self.id != "", "id", expected="a name", got="", remedy="give each person one")
        for first, end in self.absences:
            check(
                0 <= first < end,
                "absences",
                expected="the first tick and one past the last",
                got=(first, end),
                remedy="write the earlier date first",
            )
        check(
            not self.week or max(self.week) > 0,
            "week",
            expected="work on some day",
            got=self.week,
            remedy="leave out who never works",
        )

    def day_rate(self, day: int) -> int:
        """Returns the rate on the `day`-th of the team's working days of a week, in percent.

        It is at least 1 where the person works at all.
        """
        share = self.week[day % len(self.week)] if self.week else FULL
        # A small product rounds down to 0, which would be an absence for ever.
        return max(self.speed * self.capacity * share // FULL**2, 1) if share else 0

    def has(self, need: Need) -> bool:
        """Returns whether the person has all skills of the need."""
        return set(need.skills) <= set(self.skills)


@configclass
class Instance:
    """A backlog and a team.

    Attributes:
      days: what ticks mean in dates; None where they are bare numbers, as in benchmarks.
      now: the tick before which nothing may start that has not begun.
    """

    tasks: tuple[Task, ...]
    people: tuple[Person, ...] = ()
    days: Workdays | None = None
    now: int = field(0, help="the first tick that can be planned", at_least=0)
    name: str = ""

    def __post_init__(self):
        _check_names("tasks", [task.id for task in self.tasks])
        _check_names("people", [person.id for person in self.people])
        tasks = {task.id: task for task in self.tasks}
        people = {person.id for person in self.people}
        for task in self.tasks:
            _check_references(task, tasks, people)
        # Behind the references, as `find_cycle` passes over ids that it does not know.
        cycle = find_cycle({task.id: task.after for task in self.tasks})
        check(
            cycle is None,
            "after",
            expected="dependencies without a cycle",
            got=" -> ".join(cycle or ()),
            remedy="remove one of these dependencies",
        )
        # `day_rate` repeats a person's week by its own length, so another one than the team's would
        # drift.
        week = len(self.days.weekdays) if self.days else 0
        for person in self.people:
            check(
                not person.week or len(person.week) == week,
                f"{person.id}.week",
                expected=f"{week} days, as the team's week has"
                if week
                else "none, as ticks are no dates",
                got=person.week,
                remedy="give a percentage for each working day of the team",
            )

    def rate(self, person: Person, tick: int) -> int:
        """Returns the rate at which a person works in a tick, in percent."""
        # Absences are ticks of the team, so they go before whatever the week says.
        if any(first <= tick < end for first, end in person.absences):
            return 0
        return person.day_rate(self.days.weekday_index(tick) if self.days else 0)

    @property
    def digest(self) -> str:
        """A fingerprint of everything in it."""
        return hashlib.sha256(to_json(self).encode()).hexdigest()[:16]


# The key is the whole instance, hashed at each call: loops over tasks fetch the mapping once.
@functools.lru_cache(maxsize=8)
def tasks_by_id(instance: Instance) -> Mapping[str, Task]:
    """Returns the instance's tasks by their ids."""
    return {task.id: task for task in instance.tasks}


@functools.lru_cache(maxsize=8)
def people_by_id(instance: Instance) -> Mapping[str, Person]:
    """Returns the instance's people by their ids."""
    return {person.id: person for person in instance.people}


def _check_names(what: str, names: list[str]) -> None:
    seen: set[str] = set()
    for name in names:
        unseen = name not in seen
        check(
            unseen,
            f"{what}.{name}",
            expected="each id once",
            got=name,
            remedy="rename one of the two",
        )
        seen.add(name)


def _check_references(task: Task, tasks: Mapping[str, Task], people: set[str]) -> None:
    for other in task.after:
        check(
            other in tasks,
            f"{task.id}.after",
            expected="the id of a task",
            got=other,
            remedy="add the task, or remove the dependency",
        )
        check(
            task.started is None or tasks[other].started is not None,
            f"{task.id}.after",
            expected="dependencies that have begun, as the task has",
            got=other,
            remedy="remove the dependency, or leave out when the task began",
        )
    for name, named in (("people", task.people), ("forbidden", task.forbidden)):
        for person in named:
            check(
                person in people,
                f"{task.id}.{name}",
                expected="the id of a person of the team",
                got=person,
                remedy="add the person to the team, or remove the name",
            )
