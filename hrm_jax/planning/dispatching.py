"""Planning by priority rules, once and with random restarts.

Both take `problem.Problem`'s tables; what they cost is `objectives`' weighted sum.
"""

import numpy as np

from hrm_jax.core.config import configclass
from hrm_jax.planning.infeasible import why_no_plan
from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.objectives import MAKESPAN, Weights
from hrm_jax.planning.plan import Budget, Plan
from hrm_jax.planning.problem import Problem
from hrm_jax.planning.rules import RULES
from hrm_jax.planning.run import Run, best_found


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
        best = min(plans, key=problem.cost)
        least = problem.least_cost
        return problem.plan(best, self.name, bound=float(least), proven=problem.cost(best) <= least)


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
