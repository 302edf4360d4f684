"""The exact planner: OR-Tools CP-SAT (extra `planning`), with a bound, at any time.

It begins with restarts for a tenth of its time, whose plan is the solver's hint and upper bound,
and they go on beside the solver: they take its plans, and its bound proves theirs. Each plan of
the solver goes through schedule generation with its order and teams, and is checked, so what is
returned keeps all rules, also where calendars make the model a relaxation (`exact_model`).
"""

import dataclasses
import functools
import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from ortools.sat.python import cp_model

from hrm_jax.core.machine import cores
from hrm_jax.planning.dispatching import Restarts
from hrm_jax.planning.exact_model import Last, Model, build_model
from hrm_jax.planning.instance import Instance
from hrm_jax.planning.objectives import MAKESPAN, Weights
from hrm_jax.planning.plan import Budget, Plan, prepare
from hrm_jax.planning.problem import Arrays, Problem
from hrm_jax.planning.run import Run, Searching, best_found, run_search
from hrm_jax.planning.staffing import FOREVER, team_end

_FIRST_SHARE = 0.1
_MOST_FIRST_SECONDS = 2.0
_FIRST_ITERATIONS = 200
_MOST_FIRST_ITERATIONS_A_TASK = 1000
"""Of restarts: enough for a few tasks, whose optimum CP-SAT then proves at once."""
_SOLVER_SHARE = 0.4
_FAR = 1.05
"""A solver that by this share of the time has neither found the best plan nor a bound so near to it
ends, and leaves its time to the search: what CP-SAT proves in ten seconds it mostly proves in
three, and it proves nothing of an instance whose bound is far."""
_DETERMINISTIC = 0.01
"""CP-SAT's unit of deterministic time that counts as an iteration."""

_INTERLEAVED_BATCH = 1

_MOST_TASKS = 400
_MOST_TABLE_ENTRIES = 4_000_000
"""Ends of tasks by start and calendar, which are computed one by one."""


@dataclasses.dataclass(frozen=True)
class Exact:
    """CP-SAT's plan, proven where there is time enough.

    Attributes:
      weights: the objective's.
      workers: CP-SAT's threads. Below eight it lacks part of its strategies, which costs more than
        threads that share a core.
      beside: the planner whose search comes first and goes on beside the solver; its own weights
        play no part.
    """

    weights: Weights = MAKESPAN
    workers: int = 8
    beside: Searching = dataclasses.field(default_factory=Restarts)
    name: str = "exact"

    def plan(
        self, instance: Instance, budget: Budget, seed: int = 0, last: Plan | None = None
    ) -> Plan:
        """Returns the best plan found, with the bound; a budget of iterations repeats it.

        An instance whose model would be too large gets the plan of the search, which says so.

        Raises:
          NoPlanError: there is no plan.
        """
        problem = Problem(instance, self.weights, last)
        if problem.unchanged is not None:
            return problem.unchanged
        if is_large(problem):
            return best_found(self.beside, problem, budget, seed)
        threads = cores() if budget.iterations is None else 1
        run = run_search(self.beside, problem, first_budget(budget, problem), seed, threads)
        run.budget = budget
        # The solver has threads of its own, from now on.
        run.threads = 1
        if not run.proven:
            self._improve(run)
        return run.plan(self.name)

    def prepare(self, instance: Instance) -> None:
        """Compiles what the search beside needs for an instance."""
        prepare(self.beside, instance)

    def _improve(self, run: Run) -> None:
        """Solves, and searches at the same time, from the best plan of a run on."""
        problem = run.problem
        last = Last(*problem.last_arrays) if problem.last else None
        horizon = _horizon(problem, run.best, run.found)
        model = build_model(
            problem.tables, self.weights, horizon, problem.instance.now, last, run.found
        )
        _hint(model, run.best)
        solver = self._solver(run)

        def solve():
            status = solver.solve(model.cp, _Watcher(run, model))
            # The bound by which it ended is not told to `best_bound_callback`.
            _raise_bound(run, solver.best_objective_bound)
            return status

        with ThreadPoolExecutor(max_workers=1) as thread:
            solving = thread.submit(solve)
            try:
                # Whoever searches beside the solver has its plans at no time that could be
                # repeated.
                if run.budget.iterations is None:
                    self._search(run, solver)
                    solver.stop_search()
                status = solving.result()
            finally:
                solver.stop_search()
        # The first plan is a solution, so this is a defect of the model and no property of the
        # instance.
        if status == cp_model.INFEASIBLE:
            raise AssertionError("the model refuses a plan that the checker accepts")
        run.take_offers()

    def _search(self, run: Run, solver: cp_model.CpSolver) -> None:
        """Searches beside a solver, and from some time on in its place if it seems of no use."""
        budget = run.budget
        assert budget.seconds is not None, "without iterations there are seconds"
        run.budget = Budget(seconds=max(run.seconds, _SOLVER_SHARE * budget.seconds))
        self.beside.search(run)
        run.budget = budget
        if not run.offered and run.found > _FAR * run.bound:
            solver.stop_search()
            run.threads = cores()
        self.beside.search(run)

    def _solver(self, run: Run) -> cp_model.CpSolver:
        solver = cp_model.CpSolver()
        solver.parameters.num_workers = self.workers
        solver.parameters.random_seed = run.seed % 2**31
        if run.budget.iterations is not None:
            # Deterministic time counts the solver's work, whatever the machine's speed.
            solver.parameters.max_deterministic_time = run.budget.iterations * _DETERMINISTIC
            # Threads that take turns by deterministic time give the same plan every time.
            solver.parameters.interleave_search = True
            solver.parameters.interleave_batch_size = _INTERLEAVED_BATCH
        if run.budget.seconds is not None:
            left = run.budget.seconds - run.seconds
            solver.parameters.max_time_in_seconds = max(left, 0.01)
        solver.best_bound_callback = functools.partial(_raise_bound, run)
        return solver


def _raise_bound(run: Run, bound: float) -> None:
    """Tells a run the solver's bound."""
    # Costs are whole, so a bound rounds up; what it lies above a whole number by is rounding.
    run.bound = max(run.bound, math.ceil(bound - 1e-6))


class _Watcher(cp_model.CpSolverSolutionCallback):
    """Makes plans of each solution, and offers them to a run."""

    def __init__(self, run: Run, model: Model):
        super().__init__()
        self._run = run
        self._model = model

    def on_solution_callback(self) -> None:
        """Offers the solution's plans."""
        # Two plans come of each solution, as the solver's own starts may waste room, and may be
        # refused where calendars make the model a relaxation.
        starts = np.array([self.value(start) for start in self._model.start], np.int32)
        for arrays in _plans(self._run.problem, self._model, starts, self.value):
            self._run.offer(arrays)


def _plans(problem: Problem, model: Model, starts: np.ndarray, value) -> list[Arrays]:
    """Returns plans of a solution: as it stands, and placed as early as its order allows."""
    tables = problem.tables
    stands = problem.empty()
    stands.start[:] = starts
    free_from = np.zeros(len(tables.profile), np.int64)
    valid = True
    # At one start milestones first, as others may wait for them to end.
    order = sorted(range(len(starts)), key=lambda task: (starts[task], tables.work[task] > 0))
    for task in order:
        team: list[int] = []
        # The model says how many of a group do a task; who they are is settled here, in order of
        # time.
        for group, count in model.team_of(task, value).items():
            # Those who are free latest, so that others stay free longer.
            able = sorted(model.groups[group], key=lambda person: free_from[person])
            free = [person for person in able if free_from[person] <= starts[task]]
            valid &= len(free) >= count
            team += (free[-count:] if len(free) >= count else able[:count]) if count else []
        stands.team[task, : len(team)] = team
        end = team_end(
            tables, int(tables.work[task]), int(starts[task]), stands.team[task], len(team)
        )
        stands.end[task] = end
        free_from[team] = np.maximum(free_from[team], end)
        ready = max((int(stands.end[other]) for other in tables.tasks_before(task)), default=0)
        valid &= ready <= starts[task] and end < FOREVER
    chosen = np.zeros(tables.allowed.shape, bool)
    for task, members in enumerate(stands.team):
        chosen[task, members[members >= 0]] = True
    costs = np.where(chosen, 0.0, 1e6) + problem.scarcity[None, :]
    earlier = problem.decode(-starts.astype(np.float32), costs)
    return [*([stands] if valid else []), *([earlier] if earlier is not None else [])]


def _hint(model: Model, arrays: Arrays) -> None:
    for task, start in enumerate(arrays.start.tolist()):
        model.cp.add_hint(model.start[task], start)
        team = set(arrays.team[task].tolist())
        for group, ones in model.counts[task].items():
            count = len(team & set(model.groups[group]))
            for position, one in enumerate(ones):
                if not isinstance(one, int):
                    model.cp.add_hint(one, int(position < count))


def _horizon(problem: Problem, first: Arrays, cost: int) -> int:
    """Returns a tick by which some optimal plan has ended."""
    weights, tables = problem.weights, problem.tables
    # A plan that ends later costs more than the first one by the makespan alone.
    if weights.makespan:
        return max(int(first.end.max(initial=0)), problem.instance.now + cost // weights.makespan)
    # All one after another, each at the pace of its slowest, after the last date of all.
    rates = tables.rates[:, -tables.period :]
    weakest = rates.sum(axis=1).min(initial=100 * tables.period) if len(rates) else 100
    chain = int(tables.work.sum()) * tables.period // max(int(weakest), 1)
    last = max([int(tables.earliest.max(initial=0)), tables.rates.shape[1], int(first.end.max())])
    return last + chain + tables.period * (len(tables.work) + 1)


def is_large(problem: Problem) -> bool:
    """Returns whether building the model would take longer than it is likely to help."""
    tables = problem.tables
    tasks = len(tables.work)
    if tables.constant:
        return tasks > _MOST_TASKS
    ticks = int(tables.work.sum()) // 100 + tables.rates.shape[1]
    return tasks > _MOST_TASKS or tasks * len(tables.rates) * ticks > _MOST_TABLE_ENTRIES


def first_budget(budget: Budget, problem: Problem) -> Budget:
    """Returns what of a budget goes to restarts, or to what stands in their place."""
    if budget.seconds is None:
        # A budget of iterations is repeatable: restarts must not read the clock then.
        return Budget(iterations=_FIRST_ITERATIONS)
    seconds = min(budget.seconds * _FIRST_SHARE, _MOST_FIRST_SECONDS)
    most = _MOST_FIRST_ITERATIONS_A_TASK * max(len(problem.instance.tasks), 1)
    return Budget(seconds=seconds, iterations=_FIRST_ITERATIONS if budget.iterations else most)
