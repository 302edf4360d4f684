"""Planning by priority rules, once and with random restarts.

Both take `problem.Problem`'s tables; what they cost is `objectives`' weighted sum.
"""

import time
from collections.abc import Callable

import numpy as np

from hrm_jax.core.config import configclass
from hrm_jax.planning.infeasible import why_no_plan
from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.objectives import MAKESPAN, Weights
from hrm_jax.planning.plan import Budget, Plan
from hrm_jax.planning.problem import Arrays, Problem
from hrm_jax.planning.rules import RULES

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
        # Due dates, or the longest chain of work.
        rule = RULES.index("due" if self.weights.tardiness > self.weights.makespan else "tail")
        costs = np.broadcast_to(problem.scarcity, problem.tables.allowed.shape)
        made = [
            problem.decode(problem.rules[rule], costs, parallel=parallel)
            for parallel in (False, True)
        ]
        # The last plan competes as well: where changes weigh, following it may cost least.
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

    It takes 20 seconds once a machine, where numba keeps it, and a moment after that.
    """
    one = Instance((Task("a", 1, (Need(()),)),), (Person("a"),))
    for planner in (Dispatch(), Restarts()):
        planner.plan(one, Budget(iterations=1))


class Run:
    """A search under way.

    Attributes:
      best: the best plan so far.
      found: what it costs; -1 while there is none.
      done: number of iterations so far.
    """

    def __init__(self, problem: Problem, budget: Budget, seed: int):
        """Starts the clock, and begins with the plan before, as far as it can be followed."""
        self._problem = problem
        self._budget = budget
        self._seed = seed
        self._began = time.monotonic()
        self._chunk = 1
        self.done = 0
        self.best = problem.empty()
        self.found = -1
        start = problem.follow_last()
        if start is not None:
            # Copied into the arrays that compiled code writes the best plan to.
            for mine, given in zip(self.best, start, strict=True):
                mine[:] = given
            self.found = problem.cost(self.best)

    @property
    def over(self) -> bool:
        """Whether the budget is used up."""
        iterations = self._budget.iterations
        seconds = self._budget.seconds
        late = seconds is not None and time.monotonic() - self._began >= seconds
        return late or (iterations is not None and self.done >= iterations)

    def restart(self, until: int | None = None) -> None:
        """Disturbs rules and the best plan, up to a number of iterations or the budget's end."""
        self.repeat(
            # Iterations are numbered through: equal seeds try equal plans however chunks fall.
            lambda count: self._problem.search(self.best, self.found, self.done, count, self._seed),
            until,
        )

    def repeat(self, tries: Callable[[int], int], until: int | None = None) -> None:
        """Runs iterations in chunks, between which the clock is read.

        Args:
          tries: `(count) -> cost of the best plan` after so many more iterations.
          until: number of iterations at which to stop; None for the budget's end.
        """
        ends = [end for end in (until, self._budget.iterations) if end is not None]
        until = min(ends, default=2**60)
        while self.done < until and not self.over:
            count = min(self._chunk, until - self.done)
            before = time.monotonic()
            self.found = tries(count)
            self.done += count
            # Chunks grow until reading the clock costs nothing beside them, and shrink where plans
            # take long, so that a budget of seconds is not overrun by much.
            if time.monotonic() - before < _CHUNK_SECONDS:
                self._chunk *= 2
            elif self._chunk > 1:
                self._chunk //= 2


def restarts(problem: Problem, budget: Budget, seed: int = 0) -> Arrays | None:
    """Returns the best plan of a search within a budget, or None if there is none.

    A budget of iterations gives the same plan every time; the clock is read only between some.
    """
    if not problem.instance.tasks:
        return problem.empty()
    run = Run(problem, budget, seed)
    run.restart()
    return run.best if run.found >= 0 else None
