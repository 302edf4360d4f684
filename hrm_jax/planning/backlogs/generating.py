"""Backlogs and teams by a seed, from fitted distributions.

A backlog is four sprints of one team. What the files tell: how many issues, members and days a
sprint has, sizes, priorities, how much more is planned than the team usually delivers, and how many
issues another blocks. Drawn are values between the 10th and the 90th percentile, loads between the
20th and the 80th: beyond lie years of days and sixteen-fold plans.

What they do not tell, and classes vary instead: skills. Of a team of `specialists` each person has
one of four skills, of a `mixed` one each has further ones with a chance of 0.4, and `generalists`
have the only skill there is. With `dense` links half of the issues wait for another one of their
sprint or of an earlier one; the list's order knows nothing of that.
"""

import dataclasses

import numpy as np

from hrm_jax.core.config import check
from hrm_jax.planning.backlogs.fitting import SHARES, Fitted
from hrm_jax.planning.instance import Instance, Need, Person, Task

TEAMS = ("generalists", "mixed", "specialists")
LINKS = ("fitted", "dense")
TICKS_A_DAY = 8

_LARGE_SKILLS = 20
"""Skills of a large backlog."""
LEAST_PEOPLE = _LARGE_SKILLS
"""Of a large team: with fewer, nobody would have some of the skills."""

_SPRINTS = 4
_SKILLS = 4
_FURTHER = 0.4
_DENSE = 0.5
_INNER = (0.1, 0.9)
_LOADS = (0.2, 0.8)


@dataclasses.dataclass(frozen=True)
class Kind:
    """A class of backlogs: one of `TEAMS`, and one of `LINKS`."""

    team: str
    links: str

    def __post_init__(self):
        for name, value, known in (("team", self.team, TEAMS), ("links", self.links, LINKS)):
            check(value in known, name, expected=f"one of {known}", got=value, remedy="name one")

    def __str__(self) -> str:
        return f"{self.team}, {self.links} links"


KINDS = tuple(Kind(team, links) for team in TEAMS for links in LINKS)


def draw_backlog(fitted: Fitted, kind: Kind, seed: int) -> Instance:
    """Returns a backlog and its team; ticks are hours, and everybody works all of them.

    Issues stand in the order of their sprints, and each is due at the end of its own.
    """
    rng = np.random.default_rng(seed)
    members = max(round(_draw(fitted.members, rng)), 2)
    days = max(round(_draw(fitted.days, rng)), 1)
    people = _people(kind, members, rng)
    # Only skills that somebody has, so that each task can be done.
    skills = sorted({skill for person in people for skill in person.skills})
    tasks: list[Task] = []
    ranks: list[float] = []
    for sprint in range(_SPRINTS):
        count = max(round(_draw(fitted.issues, rng)), 1)
        sizes = np.array([_draw(fitted.size, rng) for _ in range(count)])
        # Ticks of work of the whole sprint, which its issues share by their sizes.
        work = _draw(fitted.load, rng, _LOADS) * members * days * TICKS_A_DAY
        first = len(tasks)
        # A hidden order within each sprint: links follow it, so they have no cycle, and the list's
        # order does not show them.
        ranks += list(sprint + rng.random(count))
        for size in sizes / sizes.sum():
            number = len(tasks)
            tasks.append(
                Task(
                    f"i{number}",
                    max(round(float(size) * work), 1),
                    (Need((str(rng.choice(skills, p=_popularity(len(skills)))),)),),
                    due=(sprint + 1) * days * TICKS_A_DAY,
                    priority=1 + int(rng.choice(4, p=_shares(fitted.priorities))),
                )
            )
        blocked = fitted.blocked if kind.links == "fitted" else _DENSE
        for number in range(first, len(tasks)):
            # All of the sprint's tasks are there by now: a link may lead to one that stands later
            # in the list.
            earlier = [other for other in range(len(tasks)) if ranks[other] < ranks[number]]
            if earlier and rng.random() < blocked:
                before = (f"i{rng.choice(earlier)}",)
                tasks[number] = dataclasses.replace(tasks[number], after=before)
    return Instance(tuple(tasks), people, name=f"{kind}, seed {seed}")


def draw_large(tasks: int, people: int, seed: int) -> Instance:
    """Returns a backlog of so many tasks for so many people, to see what size takes.

    People have up to three of 20 skills and an absence of 40 ticks; a third work half days.
    """
    rng = np.random.default_rng(seed)
    skills = [f"s{number}" for number in range(_LARGE_SKILLS)]
    team = tuple(
        Person(
            f"p{number}",
            tuple(dict.fromkeys([skills[number % len(skills)], *map(str, rng.choice(skills, 2))])),
            capacity=int(rng.choice([100, 100, 50])),
            absences=((first := int(rng.integers(0, 400)), first + 40),),
        )
        for number in range(people)
    )
    made = []
    for number in range(tasks):
        after = (f"t{rng.integers(max(number - 200, 0), number)}",) if number % 3 == 2 else ()
        need = Need((str(rng.choice(skills)),))
        length = int(rng.integers(2, 17))
        due = int(rng.integers(100, 1500)) if number % 4 == 0 else None
        made.append(
            Task(
                f"t{number}", length, (need,), after, low=length // 2 or 1, high=2 * length, due=due
            )
        )
    return Instance(tuple(made), team, name=f"{tasks} tasks, {people} people")


def _people(kind: Kind, members: int, rng: np.random.Generator) -> tuple[Person, ...]:
    names = ["s0"] if kind.team == "generalists" else [f"s{i}" for i in range(_SKILLS)]
    people = []
    for number in range(members):
        # In turn, so that each skill is there as soon as there are enough people.
        own = names[number % len(names)]
        further = [name for name in names if name != own and rng.random() < _FURTHER]
        more = further if kind.team == "mixed" else []
        people.append(Person(f"p{number}", (own, *more)))
    return tuple(people)


def _popularity(count: int) -> np.ndarray:
    """Returns falling shares: the first skill is asked for most."""
    shares = 1 / np.arange(1, count + 1)
    return shares / shares.sum()


def _shares(given: tuple[float, ...]) -> np.ndarray:
    return np.array(given) / sum(given)


def _draw(
    quantiles: tuple[float, ...],
    rng: np.random.Generator,
    inner: tuple[float, float] = _INNER,
) -> float:
    return float(np.interp(rng.uniform(*inner), SHARES, quantiles))
