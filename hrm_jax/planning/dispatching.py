"""Planning by priority rules, once and with random restarts.

Both take `problem.Problem`'s tables; what they cost is `objectives`' weighted sum.
"""

import queue
import time
from collections.abc import Callable
from typing import Protocol

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


class Run:
    """A search under way.

    Attributes:
      problem: what is planned.
      budget: when the search is over, from its begin; it may be replaced by a larger one.
      seed: of all that is random.
      best: the best plan so far.
      found: what it costs; -1 while there is none.
      done: number of iterations so far.
      bound: no plan costs less; whoever finds that out may raise it, from any thread.
    """

    def __init__(self, problem: Problem, budget: Budget, seed: int):
        """Starts the clock, and begins with the plan before, as far as it can be followed."""
        self.problem = problem
        self.budget = budget
        self.seed = seed
        self.done = 0
        self.best = problem.empty()
        self.found = -1
        self.bound = 0
        self._began = time.monotonic()
        self._chunk = 1
        self._offers: queue.SimpleQueue[Arrays] = queue.SimpleQueue()
        # Of nothing to do, the empty plan is the best.
        start = problem.follow_last() if problem.instance.tasks else self.best
        if start is not None:
            self.offer(start)
            self.take_offers()

    @property
    def seconds(self) -> float:
        """The time since it began."""
        return time.monotonic() - self._began

    @property
    def over(self) -> bool:
        """Whether the budget is used up, or no plan can be better than the best."""
        iterations = self.budget.iterations
        seconds = self.budget.seconds
        late = seconds is not None and self.seconds >= seconds
        return late or self.proven or (iterations is not None and self.done >= iterations)

    @property
    def proven(self) -> bool:
        """Whether no plan costs less than the best."""
        return 0 <= self.found <= self.bound

    def offer(self, plan: Arrays) -> None:
        """Gives a plan made elsewhere, from any thread; the search takes it if it is better."""
        self._offers.put(plan)

    def take_offers(self) -> None:
        """Takes the best of the plans given since."""
        while not self._offers.empty():
            plan = self._offers.get()
            cost = self.problem.cost(plan)
            if self.found < 0 or cost < self.found:
                # Copied into the arrays that compiled code writes the best plan to.
                for mine, given in zip(self.best, plan, strict=True):
                    mine[:] = given
                self.found = cost

    def restart(self, until: int | None = None) -> None:
        """Disturbs rules and the best plan, up to a number of iterations or the budget's end."""
        self.repeat(
            # Iterations are numbered through: equal seeds try equal plans however chunks fall.
            lambda count: self.problem.search(self.best, self.found, self.done, count, self.seed),
            until,
        )

    def repeat(self, tries: Callable[[int], int], until: int | None = None) -> None:
        """Runs iterations in chunks, between which the clock is read.

        Args:
          tries: `(count) -> cost of the best plan` after so many more iterations.
          until: number of iterations at which to stop; None for the budget's end.
        """
        ends = [end for end in (until, self.budget.iterations) if end is not None]
        until = min(ends, default=2**60)
        while self.done < until and not self.over:
            self.take_offers()
            count = min(self._chunk, until - self.done)
            before = time.monotonic()
            self.found = tries(count)
            self.done += count
            # Chunks grow until reading the clock costs nothing beside them, and shrink where plans
            # take long, so that a budget of seconds is not overrun by much.
            if time.monotonic() - before < _CHUNK_SECONDS:
                self._chunk *= 2 if count == self._chunk else 1
            elif self._chunk > 1:
                self._chunk //= 2


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
        return best_found(self, Problem(instance, self.weights, last), budget, seed)

    def search(self, run: Run) -> None:
        """Looks for better plans until the run is over."""
        run.restart()


def compile_search() -> None:
    """Compiles what makes plans, so that a planner's time begins with planning.

    It takes 20 seconds once a machine, where numba keeps it, and a moment after that.
    """
    one = Instance((Task("a", 1, (Need(()),)),), (Person("a"),))
    for planner in (Dispatch(), Restarts()):
        planner.plan(one, Budget(iterations=1))


class Searching(Protocol):
    """A planner that looks for better plans for as long as it may."""

    @property
    def name(self) -> str:
        """What it is called."""
        ...

    def search(self, run: Run) -> None:
        """Looks for better plans until the run is over."""
        ...


def best_found(planner: Searching, problem: Problem, budget: Budget, seed: int) -> Plan:
    """Returns the best plan that a planner's search finds.

    Raises:
      NoPlanError: none was found.
    """
    if problem.unchanged is not None:
        return problem.unchanged
    return problem.plan(run_search(planner, problem, budget, seed).best, planner.name)


def run_search(planner: Searching, problem: Problem, budget: Budget, seed: int) -> Run:
    """Returns a planner's run, searched until the budget's end, with a plan.

    A budget of iterations gives the same plan every time; the clock is read only between some.

    Raises:
      NoPlanError: no plan was found.
    """
    run = Run(problem, budget, seed)
    planner.search(run)
    if run.found < 0:
        raise why_no_plan(problem.instance)
    return run
