"""Instances to learn from, made from a seed: none of them is a published benchmark.

Three kinds, like those that planners are measured on and used for:

- *skills*: people with some of a few skills, tasks that ask for several people of several skills;
- *resources*: a few kinds of people, many of each, of which tasks take some;
- *backlog*: a team with calendars and speeds, small tasks mostly for one person, due dates.
"""

from typing import Literal, get_args

import numpy as np

from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.objectives import Weights
from hrm_jax.planning.problem import Problem
from hrm_jax.planning.workdays import Workdays

Kind = Literal["skills", "resources", "backlog"]
KINDS: tuple[Kind, ...] = get_args(Kind)


def make_problem(seed: int, most_tasks: int, kind: Kind | None = None) -> Problem:
    """Returns a problem with its objective; the same arguments give the same one.

    Args:
      seed: of all randomness.
      most_tasks: the largest number of tasks.
      kind: by default, one drawn: half of the problems are of skills.
    """
    random = np.random.default_rng([seed, most_tasks])
    drawn = random.choice(len(KINDS), p=(0.5, 0.3, 0.2))
    kind = kind or KINDS[int(drawn)]
    tasks = int(random.integers(min(12, most_tasks), most_tasks + 1))
    make = {"skills": _skills, "resources": _resources, "backlog": _backlog}[kind]
    weights = Weights(makespan=1, tardiness=1 if kind == "backlog" else 0)
    return Problem(make(random, tasks), weights)


def _skills(random: np.random.Generator, tasks: int) -> Instance:
    skills = [f"s{index}" for index in range(random.integers(3, 10))]
    people = int(random.integers(4, 24))
    most = int(random.integers(1, min(len(skills), 4) + 1))
    team = []
    for index in range(people):
        own = random.choice(len(skills), size=random.integers(1, most + 1), replace=False)
        # The first people see to it that every skill is there.
        own = {index % len(skills), *own.tolist()} if index < len(skills) else set(own.tolist())
        team.append(Person(f"p{index}", tuple(skills[skill] for skill in sorted(own))))
    held = np.array([[skill in person.skills for skill in skills] for person in team])
    known = [skill for skill in range(len(skills)) if held[:, skill].any()]
    longest = int(random.choice([4, 10, 20]))
    # Needs are made of a team that is drawn first, so that each task can be done.
    most_people = int(random.integers(1, max(people // 2, 1) + 1))
    links = _precedence(random, tasks)
    made = []
    for index in range(tasks):
        members = random.choice(people, size=random.integers(1, most_people + 1), replace=False)
        made.append(
            Task(
                f"t{index}",
                int(random.integers(1, longest + 1)),
                _needs_of_team(random, held[members], skills, known),
                tuple(f"t{other}" for other in links[index]),
            )
        )
    return Instance(tuple(made), tuple(team))


def _needs_of_team(
    random: np.random.Generator, held: np.ndarray, skills: list[str], known: list[int]
) -> tuple[Need, ...]:
    """Returns needs that these people can serve, with one skill for each of them."""
    # Few different skills a task, as teams of many people share them.
    wanted = set(random.choice(known, size=min(len(known), 3), replace=False).tolist())
    counts: dict[int, int] = {}
    for own in held:
        choices = np.nonzero(own)[0].tolist()
        liked = [skill for skill in choices if skill in wanted] or choices
        skill = int(random.choice(liked))
        counts[skill] = counts.get(skill, 0) + 1
    return tuple(Need((skills[skill],), count) for skill, count in sorted(counts.items()))


def _resources(random: np.random.Generator, tasks: int) -> Instance:
    kinds = int(random.integers(2, 5))
    # Of most kinds a few tasks at once use up what there is, as in the hard published instances.
    strength = random.uniform(0.1, 0.7)
    used = random.uniform(0.25, 1.0)
    largest = int(random.integers(3, 11))
    asked = np.where(
        random.random((tasks, kinds)) < used, random.integers(1, largest + 1, (tasks, kinds)), 0
    )
    # A task that asks for nothing would need nobody: it gets one unit of some kind.
    without = asked.sum(axis=1) == 0
    asked[without, random.integers(0, kinds, without.sum())] = 1
    least = asked.max(axis=0)
    # At least what the largest request of a kind asks for, so that there is a plan.
    capacity = np.maximum(least + (strength * 2 * largest * random.random(kinds)).astype(int), 1)
    people = tuple(
        Person(f"r{kind}.{unit}", (f"r{kind}",))
        for kind in range(kinds)
        for unit in range(int(capacity[kind]))
    )
    links = _precedence(random, tasks)
    made = []
    for index in range(tasks):
        needs = tuple(Need((f"r{k}",), int(q)) for k, q in enumerate(asked[index]) if q)
        after = tuple(f"t{other}" for other in links[index])
        made.append(Task(f"t{index}", int(random.integers(1, 11)), needs, after))
    return Instance(tuple(made), people)


def _backlog(random: np.random.Generator, tasks: int) -> Instance:
    days = Workdays(start="2026-01-05")
    skills = [f"s{index}" for index in range(random.integers(2, 7))]
    people = []
    for index in range(int(random.integers(2, 11))):
        own = random.choice(len(skills), size=random.integers(1, min(len(skills), 3) + 1))
        first = int(random.integers(0, 200))
        away = ((first, first + 8 * int(random.integers(1, 6))),) if random.random() < 0.3 else ()
        people.append(
            Person(
                f"p{index}",
                tuple(skills[skill] for skill in sorted({index % len(skills), *own.tolist()})),
                speed=int(random.choice([100, 100, 100, 80, 120])),
                capacity=int(random.choice([100, 100, 100, 50, 80])),
                absences=away,
            )
        )
    held = np.array([[skill in person.skills for skill in skills] for person in people])
    known = [skill for skill in range(len(skills)) if held[:, skill].any()]
    links = _precedence(random, tasks, density=0.5)
    # Roughly the length of the plan: some 12 ticks of work for each task, shared out.
    total = tasks * 12 / len(people)
    made = []
    for index in range(tasks):
        two = random.random() < 0.1
        members = random.choice(len(people), size=min(1 + two, len(people)), replace=False)
        due = int(random.uniform(0.2, 1.5) * total) + 8 if random.random() < 0.5 else None
        made.append(
            Task(
                f"t{index}",
                # Long tails, as estimates of issues have.
                int(np.clip(np.round(random.lognormal(2.0, 0.8)), 1, 80)),
                _needs_of_team(random, held[members], skills, known),
                tuple(f"t{other}" for other in links[index]),
                due=due,
                priority=int(random.integers(1, 4)),
            )
        )
    return Instance(tuple(made), tuple(people), days=days)


def _precedence(
    random: np.random.Generator, tasks: int, density: float | None = None
) -> list[list[int]]:
    """Returns what comes directly before each task: none, one, or a few not far back."""
    mean = random.uniform(0.5, 2.2) if density is None else density
    reach = max(3, int(tasks * random.uniform(0.1, 0.8)))
    links = []
    for index in range(tasks):
        # Only earlier tasks, so that there is no cycle.
        first = max(0, index - reach)
        count = min(int(random.poisson(mean)), index - first, 4)
        chosen = random.choice(np.arange(first, index), size=count, replace=False)
        links.append(sorted(chosen.tolist()))
    return links
