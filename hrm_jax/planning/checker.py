"""Whether a plan keeps all rules. No planner's word is taken for it.

Nothing here is shared with what makes plans: it reads the instance and the plan alone, tick by
tick.
"""

import collections
from collections.abc import Iterator, Mapping
from typing import Literal

from hrm_jax.core.config import configclass
from hrm_jax.planning.instance import (
    FULL,
    Instance,
    Need,
    Person,
    Task,
    people_by_id,
    tasks_by_id,
)
from hrm_jax.planning.plan import Assignment, Plan

Rule = Literal[
    "unknown task",
    "task twice",
    "task missing",
    "unknown person",
    "person twice",
    "skills",
    "busy",
    "precedence",
    "calendar",
    "too early",
    "fixed people",
    "forbidden people",
    "has begun",
]


@configclass
class Violation:
    """A rule that a plan breaks.

    Attributes:
      tasks: the tasks concerned.
      people: the people concerned.
      message: what was expected and what came, in a sentence.
    """

    rule: Rule
    tasks: tuple[str, ...]
    people: tuple[str, ...]
    message: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.message}"


def check_plan(instance: Instance, plan: Plan) -> tuple[Violation, ...]:
    """Returns every rule that the plan breaks; empty for a plan that can be worked."""
    known, violations = _known(instance, plan)
    tasks = tasks_by_id(instance)
    people = people_by_id(instance)
    for assignment in known:
        task = tasks[assignment.task]
        team = [people[person] for person in assignment.people]
        violations += _people_violations(task, assignment, team)
        violations += _time_violations(instance, task, assignment, team)
    violations += _precedence_violations(tasks, known)
    violations += _busy_violations(known)
    return tuple(violations)


def _known(instance: Instance, plan: Plan) -> tuple[list[Assignment], list[Violation]]:
    """Returns assignments of known tasks to known people, and what is wrong with the others."""
    tasks = tasks_by_id(instance)
    people = people_by_id(instance)
    known: dict[str, Assignment] = {}
    named: set[str] = set()
    violations = []

    def refuse(rule: Rule, task: str, persons: tuple[str, ...], message: str) -> None:
        violations.append(Violation(rule, (task,), persons, message))

    for assignment in plan.assignments:
        task = assignment.task
        strangers = tuple(person for person in assignment.people if person not in people)
        counts = collections.Counter(assignment.people)
        twice = tuple(person for person, count in counts.items() if count > 1)
        if task not in tasks:
            refuse("unknown task", task, (), f"the instance has no task {task}")
        elif task in named:
            refuse("task twice", task, (), f"{task} is assigned more than once")
        elif strangers:
            names = ", ".join(strangers)
            refuse(
                "unknown person", task, strangers, f"{task} is given to {names}, not in the team"
            )
        elif twice:
            refuse("person twice", task, twice, f"{task} names {', '.join(twice)} twice")
        else:
            known[task] = assignment
        # Also where it was refused: a task with a wrong assignment is not missing besides.
        named.add(task)
    for task in tasks:
        if task not in named:
            refuse("task missing", task, (), f"{task} is not assigned")
    return list(known.values()), violations


def _people_violations(
    task: Task, assignment: Assignment, team: list[Person]
) -> Iterator[Violation]:
    uncovered = _uncovered(task, team)
    # Neither more nor fewer people, and each need served.
    if len(team) != task.team_size or uncovered:
        needs = ", ".join(map(str, task.needs)) or "nobody"
        came = ", ".join(f"{person.id} ({'+'.join(person.skills)})" for person in team) or "nobody"
        message = f"{task.id} needs {needs}, got {came}"
        yield Violation("skills", (task.id,), assignment.people, message)
    absent = tuple(person for person in task.people if person not in assignment.people)
    if absent:
        message = f"{task.id} is to be done by {', '.join(absent)}"
        yield Violation("fixed people", (task.id,), absent, message)
    banned = tuple(person for person in assignment.people if person in task.forbidden)
    if banned:
        message = f"{task.id} may not be done by {', '.join(banned)}"
        yield Violation("forbidden people", (task.id,), banned, message)


def _uncovered(task: Task, team: list[Person]) -> int:
    """Returns how many places of the task's needs the team leaves empty, each serving one."""
    places: list[Need] = [need for need in task.needs for _ in range(need.count)]
    holder: dict[int, int] = {}  # the person in each place

    # Kuhn's augmenting paths: whoever holds a place moves to another one if that seats both.
    def seat(person: int, tried: set[int]) -> bool:
        for place, need in enumerate(places):
            if place in tried or not team[person].has(need):
                continue
            tried.add(place)
            if place not in holder or seat(holder[place], tried):
                holder[place] = person
                return True
        return False

    return len(places) - sum(seat(person, set()) for person in range(len(team)))


def _time_violations(
    instance: Instance, task: Task, assignment: Assignment, team: list[Person]
) -> Iterator[Violation]:
    # What has begun keeps its start, though that is before `now`.
    start = assignment.start
    if task.started is not None:
        if start != task.started:
            message = f"{task.id} has begun at tick {task.started}, planned at {start}"
            yield Violation("has begun", (task.id,), (), message)
    elif start < max(task.release, instance.now):
        earliest = max(task.release, instance.now)
        message = f"{task.id} may start at tick {earliest}, planned at {start}"
        yield Violation("too early", (task.id,), (), message)
    problem = _work_problem(instance, task, assignment, team)
    if problem:
        yield Violation("calendar", (task.id,), assignment.people, problem)


def _work_problem(
    instance: Instance, task: Task, assignment: Assignment, team: list[Person]
) -> str | None:
    """Returns how start and end differ from the time that the work takes, or None."""
    work = FULL * task.duration
    if work == 0:
        if assignment.start == assignment.end:
            return None
        return f"{task.id} takes no time, planned from {assignment.start} to {assignment.end}"
    done = 0
    # The slowest of the team sets the pace of each tick; a task without people passes at 100.
    for tick in range(assignment.start, assignment.end):
        rate = min((instance.rate(person, tick) for person in team), default=FULL)
        if tick == assignment.start and rate == 0 and task.started is None:
            return f"{task.id} starts at tick {tick}, in which not all of its people work"
        # Before this tick is counted, so that an end of one tick too late is found.
        if done >= work:
            return f"{task.id} is done by tick {tick}, planned until {assignment.end}"
        done += rate
    if done < work:
        return f"{task.id} ends at tick {assignment.end} with {done / work:.0%} of its work done"
    return None


def _precedence_violations(
    tasks: Mapping[str, Task], assignments: list[Assignment]
) -> Iterator[Violation]:
    planned = {assignment.task: assignment for assignment in assignments}
    for assignment in assignments:
        for other in tasks[assignment.task].after:
            # One that is not planned is a violation of its own.
            if other in planned and planned[other].end > assignment.start:
                message = (
                    f"{assignment.task} starts at tick {assignment.start}, "
                    f"{other} before it ends at {planned[other].end}"
                )
                yield Violation("precedence", (other, assignment.task), (), message)


def _busy_violations(assignments: list[Assignment]) -> Iterator[Violation]:
    """Yields where a person has two tasks at a time, by neighbours in the order of starts."""
    of_person: dict[str, list[Assignment]] = collections.defaultdict(list)
    for assignment in assignments:
        # A milestone takes nobody's time.
        if assignment.end > assignment.start:
            for person in assignment.people:
                of_person[person].append(assignment)
    for person, own in of_person.items():
        own.sort(key=lambda assignment: (assignment.start, assignment.end))
        # The one that ends last so far: a long task may overlap several of those behind it.
        latest = own[0]
        for assignment in own[1:]:
            if assignment.start < latest.end:
                message = (
                    f"{person} does {latest.task} until tick {latest.end} "
                    f"and {assignment.task} from {assignment.start}"
                )
                pair = (latest.task, assignment.task)
                yield Violation("busy", pair, (person,), message)
            if assignment.end > latest.end:
                latest = assignment
