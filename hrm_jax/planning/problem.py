"""An instance with its objective, as the compiled search takes it; and plans to and from arrays."""

import dataclasses
import functools
from typing import NamedTuple

import numpy as np

from hrm_jax.planning.bounds import least_cost
from hrm_jax.planning.checker import check_plan
from hrm_jax.planning.decoding import decode
from hrm_jax.planning.errors import NoPlanError
from hrm_jax.planning.instance import Instance
from hrm_jax.planning.objectives import Weights, useful_people
from hrm_jax.planning.plan import Assignment, Plan
from hrm_jax.planning.pools import pool_sizes
from hrm_jax.planning.rules import RULES, rule_priorities, scarcity
from hrm_jax.planning.searching import cost_of, search
from hrm_jax.planning.tables import Tables, tables_of


class Arrays(NamedTuple):
    """A plan in numbers: int32 [tasks], [tasks], and [tasks, largest team] with -1 behind."""

    start: np.ndarray
    end: np.ndarray
    team: np.ndarray

    def copied(self) -> "Arrays":
        """Returns a copy, for compiled code to write to."""
        return Arrays(*(array.copy() for array in self))


@dataclasses.dataclass(frozen=True)
class Problem:
    """An instance, what a plan of it costs, and the plan before."""

    instance: Instance
    weights: Weights
    last: Plan | None = None

    @functools.cached_property
    def tables(self) -> Tables:
        """The instance as arrays."""
        return tables_of(self.instance)

    @functools.cached_property
    def counted(self) -> Tables:
        """The arrays as searches take them: of people whom nothing tells apart, pools."""
        tables = self.tables
        if self.weights.balance or self.weights.changes:
            return tables
        return tables._replace(pools=pool_sizes(tables))

    @functools.cached_property
    def backward(self) -> Tables:
        """`counted` with precedence turned round, without dates, each person at a mean rate."""
        tables = self.counted
        # Calendars count ticks from the front and mean nothing backwards, nor do dates. A single
        # column is a constant rate, of at least 1, as nothing would ever end at 0.
        means = tables.rates.mean(axis=1, keepdims=True)
        return tables._replace(
            before_start=tables.after_start,
            before=tables.after,
            after_start=tables.before_start,
            after=tables.before,
            order=tables.order[::-1].copy(),
            earliest=np.zeros_like(tables.earliest),
            started=np.full_like(tables.started, -1),
            rates=np.maximum(means, 1).astype(np.int16),
            period=1,
        )

    @functools.cached_property
    def rules(self) -> np.ndarray:
        """The priorities of each rule."""
        return rule_priorities(self.tables)

    @functools.cached_property
    def scarcity(self) -> np.ndarray:
        """How costly each person is."""
        return scarcity(self.tables)

    @functools.cached_property
    def objective(self) -> tuple:
        """The arguments of `cost_of` between tables and plan."""
        # Who can do nothing of it would pull the mean load down.
        useful = set(useful_people(self.instance))
        weights = self.weights
        last_start, last_team = self.last_arrays
        return (
            np.array(
                [weights.makespan, weights.tardiness, weights.balance, weights.changes], np.int64
            ),
            np.array([person.id in useful for person in self.instance.people], bool),
            self.instance.now,
            last_start,
            last_team,
        )

    @functools.cached_property
    def least_cost(self) -> int:
        """What no plan costs less than, by chains and loads alone."""
        return least_cost(self.tables, self.weights, self.instance.now)

    @functools.cached_property
    def last_arrays(self) -> tuple[np.ndarray, np.ndarray]:
        """The last plan's starts, -1 where a task is not in it, and bool [tasks, people]."""
        start = np.full(len(self.instance.tasks), -1, np.int32)
        team = np.zeros((len(self.instance.tasks), len(self.instance.people)), bool)
        known = self.last.by_task() if self.last else {}
        number = {person.id: index for index, person in enumerate(self.instance.people)}
        for index, task in enumerate(self.instance.tasks):
            # Who has left the team since has no number, and counts as no change.
            if task.id in known:
                start[index] = known[task.id].start
                team[index, [number[p] for p in known[task.id].people if p in number]] = True
        return start, team

    def empty(self) -> Arrays:
        """Returns arrays for a plan, not yet written."""
        tasks = len(self.instance.tasks)
        width = max(self.tables.team_sizes(), default=0)
        start = np.full(tasks, -1, np.int32)
        return Arrays(start, start.copy(), np.full((tasks, max(width, 1)), -1, np.int32))

    def search(self, best: Arrays, found: int, first: int, iterations: int, seed: int) -> int:
        """Tries so many plans, and writes the best to `best`; returns its cost, -1 for no plan.

        Args:
          best: the best plan so far.
          found: what it costs, -1 while there is none.
          first: number of the first iteration; equal numbers and seeds try the same.
          iterations: how many.
          seed: of all that is random.
        """
        return search(
            self.counted,
            self.backward,
            self.rules,
            self.scarcity,
            self.objective,
            tuple(best),
            found,
            first,
            iterations,
            seed,
        )

    def decode(
        self, priorities: np.ndarray, costs: np.ndarray, *, parallel: bool = False
    ) -> Arrays | None:
        """Returns the plan that schedule generation makes, or None if a task finds no place.

        Args:
          priorities: [tasks], higher comes first.
          costs: [tasks, people], lower is preferred.
          parallel: as in `decoding`.
        """
        arrays = self.empty()
        priorities = np.asarray(priorities, np.float32)
        # The compiled code is specialised to this layout and dtype, and to what is writable.
        costs = np.array(costs, np.float32, order="C")
        return arrays if decode(self.tables, priorities, costs, parallel, *arrays) else None

    def cost(self, arrays: Arrays) -> int:
        """Returns what a plan costs."""
        weights, useful, now, last_start, last_team = self.objective
        before = last_start, last_team
        return int(cost_of(self.tables, weights, useful, now, *before, *arrays))

    def plan(
        self, arrays: Arrays, planner: str, *, bound: float | None = None, proven: bool = False
    ) -> Plan:
        """Returns the plan of arrays, checked.

        Raises:
          NoPlanError: it breaks a rule; a defect of what made it.
        """
        people = self.instance.people
        assignments = tuple(
            Assignment(
                task.id,
                int(start),
                int(end),
                tuple(people[person].id for person in team if person >= 0),
            )
            for task, start, end, team in zip(self.instance.tasks, *arrays, strict=True)
        )
        plan = Plan(assignments, planner, self.instance.digest, bound, proven)
        violations = check_plan(self.instance, plan)
        # Whatever made the plan is not believed: only what the checker accepts leaves here.
        if violations:
            raise NoPlanError(f"{planner} made a plan that breaks a rule: {violations[0]}")
        return plan

    def arrays(self, plan: Plan) -> Arrays | None:
        """Returns the arrays of a plan, or None where it breaks a rule of this instance."""
        if check_plan(self.instance, plan):
            return None
        arrays = self.empty()
        number = {person.id: index for index, person in enumerate(self.instance.people)}
        known = plan.by_task()
        for index, task in enumerate(self.instance.tasks):
            assignment = known[task.id]
            arrays.start[index] = assignment.start
            arrays.end[index] = assignment.end
            arrays.team[index, : len(assignment.people)] = [number[p] for p in assignment.people]
        return arrays

    @functools.cached_property
    def unchanged(self) -> Plan | None:
        """The last plan, where it was made for this very instance and still keeps its rules."""
        last = self.last
        if last is None or last.instance != self.instance.digest:
            return None
        return None if check_plan(self.instance, last) else last

    def follow_last(self) -> Arrays | None:
        """Returns the last plan fitted to the instance: its order and, where possible, teams."""
        if self.last is None:
            return None
        # A plan that still keeps all rules is taken as it is: generating it anew would move its
        # tasks.
        known = self.arrays(self.last)
        if known is not None:
            return known
        start, team = self.last_arrays
        new = start < 0
        latest = start.max(initial=0)
        # Scarcity is from 0 to 1, so whoever had the task comes before all others. The rules are,
        # too: a new task comes behind every one of the last plan.
        costs = self.scarcity[None, :] - 2.0 * team
        behind = self.rules[RULES.index("tail")] - latest - 2
        priorities = np.where(new, behind, -start.astype(np.float32))
        return self.decode(priorities, costs)
