"""Planning by priority rules, once and with random restarts.

Both take `problem.Problem`'s tables; what they cost is `objectives`' weighted sum.
"""

import time

import numpy as np

from hrm_jax.core.config import configclass
from hrm_jax.planning.infeasible import why_no_plan
from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.objectives import MAKESPAN, Weights
from hrm_jax.planning.plan import Budget, Plan
from hrm_jax.planning.problem import Arrays, Problem
from hrm_jax.planning.searching import search

_CHUNK_SECONDS = 0.03
"""How long the compiled search runs before the clock is read."""


@configclass
class Dispatch:
    """What a careful human does: tasks by one rule, each to those whom others need least.

    It takes the better of the plans of serial and of parallel schedule generation, by the rule of
    the longest chain of work behind a task or, where lateness weighs, by due dates.
    """

    weights: Weights = MAKESPAN
    name: str = "dispatch"

    def plan(
        self, instance: Instance, budget: Budget, seed: int = 0, last: Plan | None = None
    ) -> Plan:
        """Returns the plan; nothing is random, and the budget is not used up.

        Raises:
          NoPlanError: a task finds no place.
        """
        del budget, seed
        problem = Problem(instance, self.weights, last)
        if problem.unchanged is not None:
            return problem.unchanged
        rule = 3 if self.weights.tardiness > self.weights.makespan else 0
        costs = np.broadcast_to(problem.scarcity, problem.tables.allowed.shape)
        made = [
            problem.decode(problem.rules[rule], costs, parallel=parallel)
            for parallel in (False, True)
        ]
        made.append(problem.follow_last())
        plans = [arrays for arrays in made if arrays is not None]
        if not plans:
            raise why_no_plan(instance)
        return problem.plan(min(plans, key=problem.cost), self.name)


@configclass
class Restarts:
    """Dispatching many times over, with disturbed rules and around the best plan so far."""

    weights: Weights = MAKESPAN
    name: str = "restarts"

    def plan(
        self, instance: Instance, budget: Budget, seed: int = 0, last: Plan | None = None
    ) -> Plan:
        """Returns the best plan found.

        Raises:
          NoPlanError: none was found.
        """
        problem = Problem(instance, self.weights, last)
        if problem.unchanged is not None:
            return problem.unchanged
        arrays = restarts(problem, budget, seed)
        if arrays is None:
            raise why_no_plan(instance)
        return problem.plan(arrays, self.name)


def compile_search() -> None:
    """Compiles what makes plans, so that a planner's time begins with planning.

    It takes half a minute once a machine, where numba keeps it, and a moment after that.
    """
    one = Instance((Task("a", 1, (Need(()),)),), (Person("a"),))
    for planner in (Dispatch(), Restarts()):
        planner.plan(one, Budget(iterations=1))


def restarts(problem: Problem, budget: Budget, seed: int = 0) -> Arrays | None:
    """Returns the best plan of a search within a budget, or None if there is none.

    A budget of iterations gives the same plan every time; the clock is read only between some.
    """
    began = time.monotonic()
    best = problem.empty()
    if not problem.instance.tasks:
        return best
    found = -1
    start = problem.follow_last()
    if start is not None:
        for mine, given in zip(best, start, strict=True):
            mine[:] = given
        found = problem.cost(best)
    done = 0
    chunk = 1
    most = budget.iterations or 2**60
    while done < most and (budget.seconds is None or time.monotonic() - began < budget.seconds):
        chunk = min(chunk, most - done)
        before = time.monotonic()
        found = search(
            problem.tables,
            problem.backward,
            problem.rules,
            problem.scarcity,
            problem.objective,
            tuple(best),
            found,
            done,
            chunk,
            seed,
        )
        done += chunk
        if time.monotonic() - before < _CHUNK_SECONDS:
            chunk *= 2
        elif chunk > 1:
            chunk //= 2
    return best if found >= 0 else None
