"""The planning problem as a model of OR-Tools CP-SAT.

People whom nothing tells apart are one *group*; of a group a task takes a number, as intervals that
never exceed its size can always be handed out to its members. Who serves which need is not modelled
either: a team can be seated if and only if, for each set of the task's needs, enough of its members
serve one of them (Hall's theorem).

What makes the model strong: for sets of needs, of all tasks together, a cumulative constraint
over all who serve any of them, which sees overload before anybody is chosen; tasks that can never
overlap by these are kept apart in pairs and cliques; and a plan to begin with, as hint and upper
bound.

Calendars: a person alone would end a task that starts at t at E(t), a table; a task ends no
earlier than any of its people would alone. That is exact for one person and for people with one
calendar. For others it is a relaxation: its bound holds, and a plan is made of its starts and
teams by schedule generation.
"""

import dataclasses
import itertools
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from ortools.sat.python import cp_model

from hrm_jax.planning.bounds import need_sets
from hrm_jax.planning.objectives import Weights
from hrm_jax.planning.staffing import FOREVER, team_end
from hrm_jax.planning.tables import Tables, group_people

_ALL_SUBSETS = 6
"""Needs of a task up to which Hall's condition is stated for each set of them; above, seats are
variables."""


@dataclasses.dataclass(frozen=True)
class Last:
    """The last plan in numbers; starts are -1 for tasks that it does not have."""

    start: np.ndarray
    team: np.ndarray


@dataclasses.dataclass(frozen=True)
class Model:
    """A model and its variables.

    Attributes:
      groups: people, by number, of each group.
      counts: for each task, how many people of each group that may do it: a variable or a number.
    """

    cp: cp_model.CpModel
    groups: list[list[int]]
    start: list[cp_model.IntVar]
    end: list[Any]
    counts: list[dict[int, list[cp_model.IntVar | int]]]

    def team_of(self, task: int, value) -> dict[int, int]:
        """Returns how many people of each group do a task; `value` evaluates a variable."""
        return {
            group: sum(one if isinstance(one, int) else int(value(one)) for one in ones)
            for group, ones in self.counts[task].items()
        }


def build_model(
    tables: Tables,
    weights: Weights,
    horizon: int,
    now: int,
    last: Last | None,
    cost_limit: int | None,
) -> Model:
    """Returns the model.

    Args:
      tables: the instance.
      weights: the objective's.
      horizon: a tick by which some optimal plan has ended.
      now: the tick from which the makespan counts.
      last: the plan that changes are counted from.
      cost_limit: plans that cost more are not looked for.
    """
    cp = cp_model.CpModel()
    # Loads and changes are of persons, which then cannot be counted in groups.
    distinct = weights.balance > 0 or (weights.changes > 0 and last is not None)
    groups = group_people(tables, distinct)
    counts = [_team(cp, tables, groups, task) for task in range(len(tables.work))]
    start, end, size = _times(cp, tables, groups, counts, horizon)
    _one_thing_at_a_time(cp, groups, counts, start, end, size)
    intervals = [
        cp.new_interval_var(start[i], size[i], end[i], f"task{i}") for i in range(len(start))
    ]
    sets = need_sets(tables, largest=3)
    # Implied by what is said of groups, but seen before the solver has chosen anybody.
    for capacity, demands in sets:
        used = [(intervals[i], int(d)) for i, d in enumerate(demands) if d and tables.work[i]]
        if sum(demand for _, demand in used) > capacity:
            cp.add_cumulative([i for i, _ in used], [d for _, d in used], capacity)
    for clique in cliques(apart(tables, sets)):
        cp.add_no_overlap([intervals[i] for i in clique])
    # The worker that follows it plans as schedule generation does, and proves most of all.
    cp.add_decision_strategy(start, cp_model.CHOOSE_LOWEST_MIN, cp_model.SELECT_MIN_VALUE)
    model = Model(cp, groups, start, end, counts)
    _minimise(model, tables, weights, horizon, now, last, cost_limit)
    return model


def _team(
    cp: cp_model.CpModel, tables: Tables, groups: list[list[int]], task: int
) -> dict[int, list[cp_model.IntVar | int]]:
    """Returns, for each group, literals of whose number is how many of it do the task."""
    needs = tables.needs_of(task)
    if not needs:
        return {}
    # Who serves which of the task's needs; people of a group are alike, so the first stands for
    # all.
    serves = {
        group: [tables.able[people[0], need] for need, _ in needs]
        for group, people in enumerate(groups)
        if tables.allowed[task, people[0]]
    }
    most = {
        group: min(len(groups[group]), sum(q for (_, q), s in zip(needs, own, strict=True) if s))
        for group, own in serves.items()
    }
    hall = list(_hall(needs, serves))
    counts: dict[int, list[cp_model.IntVar | int]] = {}
    for group, own in most.items():
        least = len(groups[group]) if tables.fixed[task, groups[group][0]] else 0
        for members, required in hall:
            if group in members:
                # Hall's condition with all others at their most: so many are needed of this group
                # anyhow.
                least = max(least, required - sum(most[g] for g in members if g != group))
        sure = min(max(least, 0), own)
        free = [cp.new_bool_var(f"do{task},{group},{k}") for k in range(own - sure)]
        # The k-th of a group only with the one before it: people of a group are interchangeable,
        # and without this the solver would try all their orders.
        for earlier, later in itertools.pairwise(free):
            cp.add_implication(later, earlier)
        counts[group] = [*[1] * sure, *free]
    cp.add(sum(sum(ones) for ones in counts.values()) == sum(q for _, q in needs))
    if len(needs) <= _ALL_SUBSETS:
        for members, required in hall:
            if required > 0:
                cp.add(sum(sum(counts[group]) for group in members) >= required)
    else:
        _seats(cp, needs, serves, counts)
    return counts


def _hall(needs: list[tuple[int, int]], serves: Mapping[int, list]) -> Iterator[tuple[list, int]]:
    """Yields groups that serve any of some needs, and how many people these ask for."""
    # Of many needs, only small sets bound what is sure: seats then state the condition itself.
    sizes = range(1, len(needs) + 1) if len(needs) <= _ALL_SUBSETS else (1, 2)
    for size in sizes:
        for chosen in itertools.combinations(range(len(needs)), size):
            members = [group for group, own in serves.items() if any(own[c] for c in chosen)]
            yield members, sum(needs[c][1] for c in chosen)


def _seats(cp, needs, serves, counts) -> None:
    """States with a variable for each group and need that the team can be seated."""
    seats = {
        (group, c): cp.new_int_var(0, min(len(counts[group]), needs[c][1]), "")
        for group, own in serves.items()
        for c in range(len(needs))
        if own[c]
    }
    for group in serves:
        cp.add(sum(v for (g, _), v in seats.items() if g == group) == sum(counts[group]))
    for c, (_, required) in enumerate(needs):
        cp.add(sum(v for (_, other), v in seats.items() if other == c) == required)


def _times(cp, tables: Tables, groups, counts, horizon: int):
    """Returns starts, ends and sizes of all tasks, bound by calendars and precedence."""
    start, end, size = [], [], []
    for task in range(len(tables.work)):
        begun = int(tables.started[task])
        first = begun if begun >= 0 else int(tables.earliest[task])
        start.append(cp.new_int_var(first, begun if begun >= 0 else horizon, f"start{task}"))
        # A task has one length if all who may do it would take equally long, and at any start.
        profiles = {int(tables.profile[groups[group][0]]): group for group in counts[task]}
        spans = {_duration(tables, task, groups[group][0]) for group in profiles.values()}
        if not counts[task]:
            spans = {-(-int(tables.work[task]) // 100)}
        if len(spans) == 1 and (tables.constant or not counts[task]):
            size.append(spans.pop())
            end.append(start[-1] + size[-1])
            continue
        # Otherwise its end depends on who does it and when it starts; see `_stretch`.
        size.append(cp.new_int_var(1, horizon, f"size{task}"))
        end.append(cp.new_int_var(first, horizon, f"end{task}"))
        _stretch(cp, tables, groups, counts[task], task, start[-1], end[-1], horizon)
    for task in range(len(tables.work)):
        for other in tables.tasks_before(task):
            cp.add(end[other] <= start[task])
    return start, end, size


def _duration(tables: Tables, task: int, person: int, first: int = 0) -> int:
    team = np.array([person], np.int32)
    return int(team_end(tables, int(tables.work[task]), first, team, 1)) - first


def _stretch(cp, tables: Tables, groups, counts, task: int, start, end, horizon: int) -> None:
    """States that a task ends no earlier than any of its people would alone."""
    of_profile: dict[int, list[int]] = {}
    for group in counts:
        of_profile.setdefault(int(tables.profile[groups[group][0]]), []).append(group)
    for profile, members in of_profile.items():
        person = groups[members[0]][0]
        if tables.constant:
            alone = start + _duration(tables, task, person)
            allowed = None
        else:
            ends = [
                min(tick + _duration(tables, task, person, tick), int(FOREVER))
                for tick in range(horizon + 1)
            ]
            alone = cp.new_int_var(0, max(ends), f"alone{task},{profile}")
            cp.add_element(start, ends, alone)
            # A task starts only while all of its people work, as the checker has it; one that has
            # begun may stand where it is.
            at_work = [tick for tick in range(horizon + 1) if _rate(tables, profile, tick)]
            allowed = cp_model.Domain.from_values(at_work)
        for group in members:
            # The first literal of a group is true if any is, so it alone carries the condition.
            for one in counts[group][:1]:
                given = [] if isinstance(one, int) else [one]
                cp.add(end >= alone).only_enforce_if(given)
                if allowed is not None and tables.started[task] < 0:
                    cp.add_linear_expression_in_domain(start, allowed).only_enforce_if(given)


def _rate(tables: Tables, profile: int, tick: int) -> int:
    columns = tables.rates.shape[1]
    if tick >= columns:
        tick = columns - tables.period + (tick - columns) % tables.period
    return int(tables.rates[profile, tick])


def _one_thing_at_a_time(cp, groups, counts, start, end, size) -> None:
    for group, people in enumerate(groups):
        intervals, demands = [], []
        for task, of_task in enumerate(counts):
            ones = of_task.get(group, [])
            sure = sum(1 for one in ones if isinstance(one, int))
            # Those who do the task in any case are one interval, with their number as its demand.
            if sure:
                intervals.append(cp.new_interval_var(start[task], size[task], end[task], ""))
                demands.append(sure)
            for one in ones[sure:]:
                intervals.append(
                    cp.new_optional_interval_var(start[task], size[task], end[task], one, "")
                )
                demands.append(1)
        if len(people) == 1:
            cp.add_no_overlap(intervals)
        elif sum(demands) > len(people):
            cp.add_cumulative(intervals, demands, len(people))


def apart(tables: Tables, sets: list[tuple[int, np.ndarray]]) -> np.ndarray:
    """Returns bool [tasks, tasks]: pairs without precedence that can never overlap."""
    tasks = len(tables.work)
    together = np.zeros((tasks, tasks), bool)
    for capacity, demands in sets:
        needed = (demands[:, None] > 0) & (demands[None, :] > 0)
        together |= needed & (demands[:, None] + demands[None, :] > capacity)
    # Two tasks that one person has to do cannot overlap either.
    only = tables.fixed.astype(np.int64)
    together |= (only @ only.T) > 0
    np.fill_diagonal(together, False)
    return together


def cliques(edges: np.ndarray) -> list[list[int]]:
    """Returns sets of tasks of which all pairs are edges, that cover all edges; found greedily."""
    left = edges.copy()
    found = []
    while left.any():
        first = int(left.sum(axis=1).argmax())
        clique = [first]
        candidates = edges[first].copy()
        # Grown from the task with most edges left, until no other task has edges to all of them.
        fresh = left[first].copy()
        while candidates.any():
            # New edges first, then those that leave most candidates.
            gain = np.where(candidates, 1 + (edges & candidates).sum(axis=1) + 10_000 * fresh, -1)
            chosen = int(gain.argmax())
            clique.append(chosen)
            candidates &= edges[chosen]
            fresh &= left[chosen]
        left[np.ix_(clique, clique)] = False
        found.append(sorted(clique))
    return found


def _minimise(model: Model, tables: Tables, weights: Weights, horizon, now, last, limit) -> None:
    cp = model.cp
    terms = []
    if weights.makespan:
        makespan = cp.new_int_var(0, horizon, "makespan")
        for task in range(len(model.start)):
            # What others wait for ends before them, so the last tasks of all chains are enough.
            if not tables.tasks_after(task):
                cp.add(makespan >= model.end[task] - now)
        terms.append(weights.makespan * makespan)
    if weights.tardiness:
        for task, due in enumerate(tables.due.tolist()):
            if due >= 0 and tables.priority[task]:
                late = cp.new_int_var(0, horizon, f"late{task}")
                cp.add(late >= model.end[task] - due)
                terms.append(weights.tardiness * int(tables.priority[task]) * late)
    if weights.balance:
        terms.append(weights.balance * _balance(model, horizon))
    if weights.changes and last is not None:
        terms += [weights.changes * change for change in _changes(model, last)]
    if limit is not None:
        cp.add(sum(terms) <= limit)
    cp.minimize(sum(terms))


def _balance(model: Model, horizon: int):
    """Returns a variable: the largest load minus the mean, rounded down; groups are of one."""
    cp = model.cp
    loads = []
    for group in range(len(model.groups)):
        held = []
        for task, counts in enumerate(model.counts):
            for one in counts.get(group, []):
                span = model.end[task] - model.start[task]
                if isinstance(one, int):
                    held.append(span)
                    continue
                part = cp.new_int_var(0, horizon, "")
                # The product of a literal and a length, stated by its two cases.
                cp.add(part == span).only_enforce_if(one)
                cp.add(part == 0).only_enforce_if(~one)
                held.append(part)
        loads.append(sum(held))
    largest = cp.new_int_var(0, horizon, "largest")
    for load in loads:
        cp.add(largest >= load)
    excess = cp.new_int_var(0, horizon, "excess")
    people = max(len(loads), 1)
    # Rounded down as in `objectives`: people * excess is at least the difference less people - 1.
    cp.add(people * excess >= people * largest - sum(loads) - (people - 1))
    return excess


def _changes(model: Model, last: Last) -> Iterator:
    cp = model.cp
    for task, start in enumerate(last.start.tolist()):
        if start < 0:
            continue
        same = cp.new_bool_var(f"same{task}")
        cp.add(model.start[task] == start).only_enforce_if(same)
        yield 1 - same
        for group, ones in model.counts[task].items():
            # Each person is a group here, and only those who are new on the task count.
            if not last.team[task, model.groups[group][0]]:
                yield from ones
