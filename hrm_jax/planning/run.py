"""A search for plans under way: its clock, its threads, and the best plan so far."""

import queue
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Protocol

from hrm_jax.core.machine import cores
from hrm_jax.planning.infeasible import why_no_plan
from hrm_jax.planning.plan import Budget, Plan
from hrm_jax.planning.problem import Arrays, Problem

_CHUNK_SECONDS = 0.03
"""How long the compiled search runs before the clock is read."""

_MERGE_EVERY = 1.5
"""Threads go on from the best of all whenever so many times as many iterations are done.

In five seconds on two cores, nine problems each of MSPSP 1b and j120 took 807 and 1198 ticks in
all; merging after each chunk 810 and 1204, at every doubling 808 and 1203, never 810 and 1204 (one
seed, by a script that is not in the repository).
"""


class Tries(Protocol):
    """Runs iterations, in compiled code that lets other threads run."""

    def __call__(self, best: Arrays, found: int, first: int, count: int, /) -> int:
        """Returns what the best plan costs after so many more iterations, -1 for none.

        Args:
          best: the best plan so far, overwritten by a better one.
          found: what it costs, -1 for none.
          first: the number of the first iteration.
          count: how many.
        """
        ...


class Run:
    """A search under way.

    Attributes:
      problem: what is planned.
      budget: when the search is over, from its begin; it may be replaced by a larger one.
      seed: of all that is random.
      best: the best plan so far.
      found: what it costs; -1 while there is none.
      done: number of iterations so far.
      offered: whether the best plan was given, and is not of this search's own tries.
      bound: no plan costs less; whoever finds that out may raise it, from any thread.
      threads: how many chunks of iterations run at the same time.
    """

    def __init__(self, problem: Problem, budget: Budget, seed: int, threads: int | None = None):
        """Starts the clock, and begins with the plan before, as far as it can be followed.

        By default, there is a thread for each core, and one where iterations bound the search: it
        is repeatable then.
        """
        self.problem = problem
        self.budget = budget
        self.seed = seed
        self.done = 0
        self.best = problem.empty()
        self.found = -1
        self.offered = False
        self.bound = problem.least_cost
        self.threads = threads or (1 if budget.iterations is not None else cores())
        self._began = time.monotonic()
        self._chunk = 1
        self._pool: ThreadPoolExecutor | None = None
        self._islands: list[tuple[Arrays, int]] = []
        self._merge_at = 0
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

    def plan(self, planner: str) -> Plan:
        """Returns the best plan, checked, with the bound.

        Raises:
          NoPlanError: it breaks a rule; a defect of what made it.
        """
        bound = float(self.bound)
        return self.problem.plan(self.best, planner, bound=bound, proven=self.proven)

    def offer(self, plan: Arrays) -> None:
        """Gives a plan made elsewhere, from any thread; the search takes it if it is better."""
        self._offers.put(plan)

    def take_offers(self) -> None:
        """Takes the best of the plans given since."""
        while not self._offers.empty():
            plan = self._offers.get()
            cost = self.problem.cost(plan)
            if self.found < 0 or cost < self.found:
                # Copied, as compiled code writes to the best plan's arrays.
                self.best = plan.copied()
                self.found = cost
                self.offered = True

    def restart(self, until: int | None = None) -> None:
        """Disturbs rules and the best plan, up to a number of iterations or the budget's end."""

        # Iterations are numbered through: equal seeds try equal plans however chunks fall.
        def tries(best: Arrays, found: int, first: int, count: int) -> int:
            return self.problem.search(best, found, first, count, self.seed)

        self.repeat(tries, until)

    def repeat(self, tries: Tries, until: int | None = None) -> None:
        """Runs iterations in chunks, between which the clock is read.

        Args:
          tries: what runs them.
          until: number of iterations at which to stop; None for the budget's end.
        """
        ends = [end for end in (until, self.budget.iterations) if end is not None]
        until = min(ends, default=2**60)
        while self.done < until and not self.over:
            self.take_offers()
            threads = min(self.threads, until - self.done)
            count = min(self._chunk, (until - self.done) // threads)
            before = time.monotonic()
            self._try(tries, count, threads)
            # Chunks grow until reading the clock costs nothing beside them, and shrink where plans
            # take long, so that a budget of seconds is not overrun by much.
            if time.monotonic() - before < _CHUNK_SECONDS:
                self._chunk *= 2 if count == self._chunk else 1
            elif self._chunk > 1:
                self._chunk //= 2

    def _try(self, tries: Tries, count: int, threads: int) -> None:
        """Runs so many iterations in each thread."""
        first = self.done
        self.done += count * threads
        if threads == 1:
            reached = tries(self.best, self.found, first, count)
            self.offered &= reached == self.found
            self.found = reached
            return
        if self._pool is None:
            # Its threads end with the run.
            self._pool = ThreadPoolExecutor(self.threads)
        if self.done >= self._merge_at:
            self._merge_at = int(_MERGE_EVERY * self.done) + 1
            # Each thread has a plan of its own until then: from several there are more ways on.
            self._islands = [(self.best.copied(), self.found) for _ in range(self.threads)]
        plans = [plan for plan, _ in self._islands[:threads]]
        found = [cost for _, cost in self._islands[:threads]]
        starts = range(first, self.done, count)
        costs = list(self._pool.map(tries, plans, found, starts, [count] * threads))
        self._islands[:threads] = zip(plans, costs, strict=True)
        for plan, cost in self._islands:
            if cost >= 0 and (self.found < 0 or cost < self.found):
                self.best = plan.copied()
                self.found = cost
                self.offered = False


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
    return run_search(planner, problem, budget, seed).plan(planner.name)


def run_search(
    planner: Searching, problem: Problem, budget: Budget, seed: int, threads: int | None = None
) -> Run:
    """Returns a planner's run, searched until the budget's end, with a plan.

    A budget of iterations gives the same plan every time; the clock is read only between some.
    `threads` are those of `Run`.

    Raises:
      NoPlanError: no plan was found.
    """
    run = Run(problem, budget, seed, threads)
    planner.search(run)
    if run.found < 0:
        raise why_no_plan(problem.instance)
    return run
