"""Small instances for property tests, and the rules again, in another way than the checker's."""

import itertools

from hypothesis import strategies as st

from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.plan import Assignment, Plan
from hrm_jax.planning.workdays import Workdays

SKILLS = ("a", "b", "c")
DAYS = Workdays(start="2026-01-05", ticks_per_day=2, holidays=("2026-01-07",))


@st.composite
def people(draw, *, calendars):
    count = draw(st.integers(2, 4))
    made = []
    for index in range(count):
        skills = draw(st.lists(st.sampled_from(SKILLS), min_size=1, max_size=3, unique=True))
        more = {}
        if calendars:
            first = draw(st.integers(0, 6))
            more = {
                "speed": draw(st.sampled_from([100, 100, 50, 150])),
                "capacity": draw(st.sampled_from([100, 60])),
                "week": draw(
                    st.sampled_from([(), (100, 100, 100, 100, 50), (100, 0, 100, 100, 100)])
                ),
                "absences": draw(st.sampled_from([(), ((first, first + 2),)])),
            }
        made.append(Person(f"p{index}", tuple(skills), **more))
    return tuple(made)


def _needs(draw, team):
    """Draws needs that a team of the people can serve: members, each for a skill of theirs."""
    members = draw(
        st.lists(st.sampled_from(team), min_size=1, max_size=2, unique_by=lambda p: p.id)
    )
    chosen = [draw(st.sampled_from(person.skills)) for person in members]
    return tuple(Need((skill,), chosen.count(skill)) for skill in sorted(set(chosen)))


@st.composite
def instances(draw, *, calendars=True, most_tasks=5):
    team = draw(people(calendars=calendars))
    tasks = []
    for index in range(draw(st.integers(1, most_tasks))):
        earlier = [task.id for task in tasks]
        after = draw(st.lists(st.sampled_from(earlier), max_size=2, unique=True)) if earlier else []
        more = {}
        if calendars:
            more = {
                "release": draw(st.integers(0, 4)),
                "due": draw(st.sampled_from([None, 3, 8])),
                "priority": draw(st.integers(0, 3)),
            }
        duration = draw(st.integers(0, 3))
        needs = _needs(draw, team) if duration else ()
        tasks.append(Task(f"t{index}", duration, needs, tuple(after), **more))
    return Instance(tuple(tasks), team, days=DAYS if calendars else None)


def breaks_no_rule(instance, plan):
    """Returns whether a plan keeps all rules, tick by tick and by trying all seatings."""
    given = {one.task: one for one in plan.assignments}
    if sorted(given) != sorted(task.id for task in instance.tasks):
        return False
    if len(given) != len(plan.assignments):
        return False
    team = {person.id: person for person in instance.people}
    occupied = set()
    for task in instance.tasks:
        one = given[task.id]
        if any(person not in team for person in one.people) or not _seated(task, one, team):
            return False
        if any(given[other].end > one.start for other in task.after):
            return False
        if set(task.people) - set(one.people) or set(task.forbidden) & set(one.people):
            return False
        if not _worked(instance, task, one, [team[person] for person in one.people]):
            return False
        for slot in itertools.product(one.people, range(one.start, one.end)):
            if slot in occupied:
                return False
            occupied.add(slot)
    return True


def _seated(task, one, team):
    places = [need for need in task.needs for _ in range(need.count)]
    return len(places) == len(one.people) == len(set(one.people)) and any(
        all(
            set(need.skills) <= set(team[person].skills)
            for need, person in zip(places, order, strict=True)
        )
        for order in itertools.permutations(one.people)
    )


def _rate(instance, person, tick):
    if any(tick in range(*absence) for absence in person.absences):
        return 0
    share = 100
    if person.week:
        weekday = instance.days.moment(tick).weekday()
        share = person.week[instance.days.weekdays.index(weekday)]
    rate = person.speed * person.capacity * share // 10000
    return max(rate, 1) if share else 0


def _worked(instance, task, one, team):
    if task.started is None and one.start < max(task.release, instance.now):
        return False
    if task.started is not None and one.start != task.started:
        return False
    rates = [
        min([_rate(instance, person, tick) for person in team] or [100])
        for tick in range(one.start, one.end)
    ]
    if task.duration == 0:
        return one.start == one.end
    enough = sum(rates) >= 100 * task.duration
    return (
        enough
        and sum(rates[:-1]) < 100 * task.duration
        and (rates[0] > 0 or task.started is not None)
    )


def best_makespan(instance):
    """Returns the least makespan, by placing tasks in all orders with all teams; rates are 100."""
    best = [sum(task.duration for task in instance.tasks)]
    tasks = {task.id: task for task in instance.tasks}

    def place(ends, busy):
        if len(ends) == len(tasks):
            best[0] = min(best[0], max(ends.values(), default=0))
            return
        for task in tasks.values():
            if task.id in ends or any(other not in ends for other in task.after):
                continue
            ready = max((ends[other] for other in task.after), default=0)
            for team in itertools.combinations(instance.people, task.team_size):
                one = Assignment(task.id, 0, 0, tuple(person.id for person in team))
                if not _seated(task, one, {person.id: person for person in instance.people}):
                    continue
                start = max([ready, *(busy.get(person.id, 0) for person in team)])
                end = start + task.duration
                if end < best[0] or len(ends) == 0:
                    later = {person.id: end for person in team}
                    place({**ends, task.id: end}, {**busy, **later})

    place({}, {})
    return best[0]


def plan_of(*rows):
    return Plan(
        tuple(Assignment(task, start, end, tuple(people)) for task, start, end, people in rows)
    )
