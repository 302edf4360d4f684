"""Why a plan is as it is: for each assignment a reason, and what is risky in the whole."""

import dataclasses
from collections.abc import Mapping

from hrm_jax.planning.forecast.timeline import Timeline
from hrm_jax.planning.foreseeing import foresee
from hrm_jax.planning.instance import FULL, Instance, Need, Person, Task, people_by_id, tasks_by_id
from hrm_jax.planning.plan import Assignment, Plan
from hrm_jax.planning.replaying import links

_MOST_OTHERS = 20
"""People who are tried in another's place."""


@dataclasses.dataclass(frozen=True)
class NextBest:
    """Who could take a person's place on a task.

    Attributes:
      person: who.
      instead: whose place.
      ticks: how much later the task would end: when the person is free, and at the team's pace.
    """

    person: str
    instead: str
    ticks: int


@dataclasses.dataclass(frozen=True)
class Reason:
    """Why a task is done by whom, and when.

    Attributes:
      covers: which need each of its people serves.
      others: who else could do it, apart from its people.
      waits_for: what it starts right behind: tasks it comes after, or earlier work of its people;
        empty where it starts as early as it may.
      slack: ticks that it may end later without moving the end of the plan or a due date, with
        all people and orders kept.
      next_best: who could take a person's place at the least cost; None where nobody could.
    """

    task: str
    covers: Mapping[str, str]
    others: tuple[str, ...]
    waits_for: tuple[str, ...]
    slack: int
    next_best: NextBest | None

    @property
    def critical(self) -> bool:
        """Whether any delay moves the plan's end or a due date."""
        return self.slack == 0

    def text(self) -> str:
        """Returns the reason in a sentence or two."""
        serves = ", ".join(f"{person} for {need}" for person, need in self.covers.items())
        parts = [f"given to {serves}" if serves else "needs nobody"]
        if self.covers:
            others = ", ".join(self.others[:3]) + (", ..." if len(self.others) > 3 else "")
            parts.append(f"{others} could too" if self.others else "nobody else could")
        if self.waits_for:
            parts.append(f"waits for {', '.join(self.waits_for)}")
        parts.append(
            f"slack {self.slack} ticks" if self.slack else "critical: a delay moves the end"
        )
        if self.next_best:
            best = self.next_best
            place = f" in place of {best.instead}" if len(self.covers) > 1 else ""
            change = f"{best.ticks} ticks later" if best.ticks > 0 else "no later"
            if 0 < self.slack < best.ticks:
                change += f", {best.ticks - self.slack} more than its slack"
            parts.append(f"with {best.person}{place} it would end {change}")
        return "; ".join(parts)


@dataclasses.dataclass(frozen=True)
class Risk:
    """Something that may go wrong with a plan."""

    kind: str
    text: str


def explain(instance: Instance, plan: Plan) -> dict[str, Reason]:
    """Returns a reason for each assignment of a plan that the checker accepts."""
    tasks = tasks_by_id(instance)
    # Once for all tasks: each call hashes the instance, which took a minute for 5,000 tasks.
    people = people_by_id(instance)
    behind = links(instance, plan)
    slack = _slack(instance, plan, behind)
    planned = plan.by_task()
    work = _work_of(plan)
    reasons = {}
    for task, one in planned.items():
        # Of all that it comes after, those that end when it starts are what holds it back.
        waits = [other for other in behind[task] if planned[other].end == one.start]
        others = _others(instance, tasks[task], one)
        reasons[task] = Reason(
            task=task,
            covers=_covers(tasks[task], [people[person] for person in one.people]),
            others=tuple(person.id for person in others),
            waits_for=tuple(waits),
            slack=slack[task],
            next_best=_next_best(instance, people, work, tasks[task], one, others),
        )
    return reasons


def find_risks(instance: Instance, plan: Plan, made: Timeline | None = None) -> list[Risk]:
    """Returns what is risky: skills of one person alone, and what ends late, surely or likely.

    Args:
      instance: the problem.
      plan: one that the checker accepts.
      made: the plan's forecast; that of its estimates' ranges if None.
    """
    risks = []
    needs = {need for task in instance.tasks for need in task.needs if need.skills}
    # By skills alone, as needs of one and of two people ask for the same people.
    for skills in sorted({need.skills for need in needs}):
        able = [person.id for person in instance.people if person.has(Need(skills))]
        if len(able) == 1:
            asking = [t.id for t in instance.tasks if any(n.skills == skills for n in t.needs)]
            more = f" and {len(asking) - 1} more need" if len(asking) > 1 else " needs"
            text = f"only {able[0]} has {'+'.join(skills)}, which {asking[0]}{more}"
            risks.append(Risk("single person", text))
    tasks = tasks_by_id(instance)
    for one in plan.assignments:
        due = tasks[one.task].due
        if due is not None and one.end > due:
            risks.append(Risk("late", f"{one.task} ends {one.end - due} ticks after it is due"))
    risks += _doubtful(instance, plan, made or foresee(instance, plan))
    guessed = [task.id for task in instance.tasks if task.estimated]
    if guessed:
        count = (
            "1 estimate is a guess"
            if len(guessed) == 1
            else f"{len(guessed)} estimates are guesses"
        )
        text = f"{count}: {', '.join(guessed[:5])}"
        risks.append(Risk("estimates", text + (", ..." if len(guessed) > 5 else "")))
    return risks


def _doubtful(instance: Instance, plan: Plan, made: Timeline | None) -> list[Risk]:
    """Returns the due dates that the plan meets and the forecast's P85 does not."""
    risks = []
    planned = plan.by_task()
    for place, task in enumerate(instance.tasks):
        # What is late in the plan itself is a risk of its own, told above.
        if made is None or task.due is None or planned[task.id].end > task.due:
            continue
        late = made.percentile(85, [place]) - task.due
        if late > 0:
            share = made.in_time(place, task.due)
            told = f"{task.id} is in time in {share:.0%} of simulations"
            risks.append(Risk("due below P85", f"{told}: P85 is {late:.0f} ticks late"))
    return risks


def _slack(instance: Instance, plan: Plan, behind: Mapping[str, list[str]]) -> dict[str, int]:
    planned = plan.by_task()
    last = max((one.end for one in plan.assignments), default=0)
    latest = {}
    for task in instance.tasks:
        # A due date that is missed already limits nothing: its task would have negative slack.
        on_time = task.due is not None and task.due >= planned[task.id].end
        latest[task.id] = min(last, task.due) if on_time and task.due is not None else last
    # Behind in time first: a task's limit is known before those of the tasks that it waits for.
    order = sorted(plan.assignments, key=lambda one: (one.start, one.end), reverse=True)
    for one in order:
        for other in behind[one.task]:
            # If this task may slip by so much, those before it may end as much later than it starts
            # now.
            room = latest[one.task] - one.end
            latest[other] = min(latest[other], one.start + room)
    return {one.task: latest[one.task] - one.end for one in plan.assignments}


def _others(instance: Instance, task: Task, one: Assignment) -> list[Person]:
    return [
        person
        for person in instance.people
        if person.id not in one.people
        and person.id not in task.forbidden
        and any(person.has(need) for need in task.needs)
    ]


def _covers(task: Task, team: list[Person]) -> dict[str, str]:
    """Returns which need each member serves, moving members where that seats all."""
    places = [need for need in task.needs for _ in range(need.count)]
    holder: dict[int, Person] = {}

    # Kuhn's augmenting paths, as in the checker.
    def seat(person: Person, tried: set[int]) -> bool:
        for place, need in enumerate(places):
            if place not in tried and person.has(need):
                tried.add(place)
                if place not in holder or seat(holder[place], tried):
                    holder[place] = person
                    return True
        return False

    for person in team:
        seat(person, set())
    return {
        person.id: "+".join(places[place].skills) or "anybody"
        for place, person in sorted(holder.items())
    }


def _work_of(plan: Plan) -> dict[str, list[Assignment]]:
    """Returns what each person does, in the order of starts."""
    work: dict[str, list[Assignment]] = {}
    for one in sorted(plan.assignments, key=lambda one: one.start):
        for person in one.people:
            work.setdefault(person, []).append(one)
    return work


def _next_best(
    instance: Instance,
    people: Mapping[str, Person],
    work: Mapping[str, list[Assignment]],
    task: Task,
    one: Assignment,
    others: list[Person],
) -> NextBest | None:
    """Returns who could take one person's place so that the task ends soonest, or None."""
    # Nobody can be exchanged on what has begun, and nobody is on a milestone.
    if task.started is not None or task.duration == 0:
        return None
    best: NextBest | None = None
    for person in others[:_MOST_OTHERS]:
        # The first time from the planned start on at which the person has room for the task's
        # planned length between their own tasks.
        free = one.start
        for other in work.get(person.id, []):
            if other.end > free and other.start < free + (one.end - one.start):
                free = other.end
        for member in one.people:
            # Who is named for the task cannot be replaced.
            if member in task.people:
                continue
            team = [people[kept] for kept in one.people if kept != member] + [person]
            if len(_covers(task, team)) < task.team_size:
                continue
            end = _end_together(instance, task, team, free)
            if end is not None and (best is None or end - one.end < best.ticks):
                best = NextBest(person.id, member, end - one.end)
    return best


def _end_together(instance: Instance, task: Task, team: list[Person], start: int) -> int | None:
    left = FULL * task.duration
    tick = start
    while left > 0:
        left -= min(instance.rate(person, tick) for person in team)
        tick += 1
        # At the lowest rate, 1 percent, a task takes a hundred times its length: this team never
        # ends.
        if tick - start > 100 * (task.duration + 100):
            return None
    return tick
