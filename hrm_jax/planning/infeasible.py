"""Why an instance has no plan: a smallest set of what it asks for that cannot be had together.

There is a plan exactly if each task can be staffed and what has begun does not contradict itself:
all else can be done one after another. So what conflicts is looked for in each task by itself,
and in pairs of begun tasks. A smallest set is found by leaving out one demand after another as
long as the rest still conflicts (a deletion filter).
"""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np

from hrm_jax.planning.errors import NoPlanError
from hrm_jax.planning.instance import Instance, Need, Person, Task, people_by_id, tasks_by_id
from hrm_jax.planning.staffing import team_end
from hrm_jax.planning.tables import tables_of


@dataclasses.dataclass(frozen=True)
class Demand:
    """One thing that an instance asks for.

    Attributes:
      text: the demand, as a message says it.
      kind: `need`, `fixed`, `forbidden`, `calendar`.
      value: the need or the person's id.
    """

    text: str
    kind: str
    value: object


def find_conflict(instance: Instance) -> tuple[Demand, ...] | None:
    """Returns a smallest set of demands that conflict, or None where each task can be done."""
    for task in instance.tasks:
        demands = list(_demands(task, instance))
        if not _can_do(instance, task, demands):
            kept = _smallest(demands, lambda some, task=task: not _can_do(instance, task, some))
            return tuple(kept)
    return _begun_conflict(instance)


def why_no_plan(instance: Instance) -> NoPlanError:
    """Returns the error that says what conflicts, and who comes nearest to what is asked for."""
    conflict = find_conflict(instance)
    if conflict is None:
        return NoPlanError(
            "no plan was found, although each task can be done by itself: give more time, or "
            "another --planner"
        )
    text = "; ".join(demand.text for demand in conflict)
    return NoPlanError(f"there is no plan, as these conflict: {text}{_nearest(instance, conflict)}")


def _demands(task: Task, instance: Instance) -> Iterator[Demand]:
    for need in task.needs:
        yield Demand(f"{task.id} needs {need}", "need", need)
    for person in task.people:
        yield Demand(f"{task.id} is to be done by {person}", "fixed", person)
    for person in task.forbidden:
        yield Demand(f"{task.id} may not be done by {person}", "forbidden", person)
    # At constant rates everybody works in every tick, so that calendars cannot conflict.
    if task.needs and not tables_of(instance).constant:
        yield Demand(f"the people of {task.id} have to work at one time", "calendar", task.id)


def _can_do(instance: Instance, task: Task, demands: Sequence[Demand]) -> bool:
    """Returns whether somebody can do a task of which only some demands are made."""
    needs = [demand.value for demand in demands if demand.kind == "need"]
    banned = {demand.value for demand in demands if demand.kind == "forbidden"}
    fixed = {demand.value for demand in demands if demand.kind == "fixed"}
    together = any(demand.kind == "calendar" for demand in demands)
    places = [need for need in needs if isinstance(need, Need) for _ in range(need.count)]
    people = [person for person in instance.people if person.id not in banned]
    # Those who have to do the task are seated first; a later one may move them, not unseat them.
    people.sort(key=lambda person: person.id not in fixed)
    if any(person not in {p.id for p in people} for person in fixed):
        return False
    seated: dict[int, Person] = {}
    for person in people:
        taken = _seat(person, places, seated, set())
        if person.id in fixed and not taken and needs:
            return False
    if len(seated) < len(places):
        return False
    return not together or _work_together(instance, places, people, fixed)


def _seat(person: Person, places: list[Need], seated: dict[int, Person], tried: set[int]) -> bool:
    for place, need in enumerate(places):
        if place not in tried and person.has(need):
            tried.add(place)
            if place not in seated or _seat(seated[place], places, seated, tried):
                seated[place] = person
                return True
    return False


def _work_together(
    instance: Instance, places: list[Need], people: list[Person], fixed: set[object]
) -> bool:
    """Returns whether a team can be seated of people who work in some tick after all absences."""
    tables = tables_of(instance)
    number = {person.id: index for index, person in enumerate(instance.people)}
    # Of the week that repeats for ever: absences pass, and a plan may wait for that.
    week = tables.rates[:, -tables.period :]
    for tick in range(tables.period):
        working = [p for p in people if week[tables.profile[number[p.id]], tick] > 0]
        seated: dict[int, Person] = {}
        taken = {person.id for person in working if _seat(person, places, seated, set())}
        # Where no need is asked for, nobody has a place, whoever is to do it.
        if len(seated) == len(places) and (not places or fixed <= taken):
            return True
    return False


def _smallest(demands: list[Demand], conflict: Callable[[list[Demand]], bool]) -> list[Demand]:
    kept = list(demands)
    # One pass is enough: what is needed for the conflict stays needed when others are left out.
    for demand in demands:
        rest = [other for other in kept if other is not demand]
        if conflict(rest):
            kept = rest
    return kept


def _begun_conflict(instance: Instance) -> tuple[Demand, ...] | None:
    """Returns begun tasks that contradict each other: one person in two, or one before another."""
    tables = tables_of(instance)
    number = {person.id: index for index, person in enumerate(instance.people)}
    # Times of what has begun are given, so only pairs of such tasks can contradict each other.
    spans = {}
    for index, task in enumerate(instance.tasks):
        if task.started is not None:
            team = np.array([number[person] for person in task.people] or [0], np.int32)
            end = team_end(tables, tables.work[index], task.started, team, len(task.people))
            spans[task.id] = (task.started, int(end))
    tasks = tasks_by_id(instance)
    for one, (start, end) in spans.items():
        for other, (other_start, other_end) in spans.items():
            shared = set(tasks[one].people) & set(tasks[other].people)
            # Each pair once for people, but in both orders for dependencies.
            overlap = one < other and max(start, other_start) < min(end, other_end)
            if overlap and shared:
                person = min(shared)
                return (
                    Demand(f"{one} runs from tick {start} to {end} with {person}", "begun", one),
                    Demand(
                        f"{other} runs from tick {other_start} to {other_end} with {person}",
                        "begun",
                        other,
                    ),
                )
            if other in tasks[one].after and other_end > start:
                return (
                    Demand(f"{one} has begun at tick {start}", "begun", one),
                    Demand(f"{one} comes after {other}, which ends at {other_end}", "begun", other),
                )
    return None


def _nearest(instance: Instance, conflict: Sequence[Demand]) -> str:
    """Returns who comes nearest to a need of the conflict that too few people serve."""
    for demand in conflict:
        need = demand.value
        if not isinstance(need, Need):
            continue
        serving = [person.id for person in people_by_id(instance).values() if person.has(need)]
        if len(serving) >= need.count:
            continue
        others = [person for person in instance.people if person.id not in serving]
        who = f"only {', '.join(serving)} can" if serving else "nobody can"
        if not others:
            return f". Of {need}, {who}; add a person"
        best = max(others, key=lambda person: len(set(need.skills) & set(person.skills)))
        lacking = "+".join(sorted(set(need.skills) - set(best.skills)))
        has = "+".join(best.skills) or "nothing"
        return (
            f". Of {need}, {who}; {best.id} comes nearest, who has {has} and lacks {lacking}: "
            "add a person with it, or change the task's skills"
        )
    return ". Change one of them"
