"""The model's plan, from which the exact planner goes on: as its hint and upper bound."""

import dataclasses
import time

from hrm_jax.planning.exact import Exact, first_budget, is_large
from hrm_jax.planning.hrm import Hrm
from hrm_jax.planning.infeasible import why_no_plan
from hrm_jax.planning.instance import Instance
from hrm_jax.planning.plan import Budget, Plan
from hrm_jax.planning.problem import Problem


@dataclasses.dataclass(frozen=True)
class HrmExact:
    """First `hrm`, for as long as `exact` would search by restarts, then `exact`."""

    hrm: Hrm
    exact: Exact
    name: str = "hrm+exact"

    def plan(
        self, instance: Instance, budget: Budget, seed: int = 0, last: Plan | None = None
    ) -> Plan:
        """Returns the best plan found, with the bound; a budget of iterations repeats it.

        An instance that is too large for the exact planner gets the plan of `hrm`, which says so.

        Raises:
          NoPlanError: there is no plan.
        """
        began = time.monotonic()
        problem = Problem(instance, self.hrm.weights, last)
        if problem.unchanged is not None:
            return problem.unchanged
        large = is_large(problem)
        first = self.hrm.search(problem, budget if large else first_budget(budget, problem), seed)
        if first is None:
            raise why_no_plan(instance)
        if large:
            return problem.plan(first, self.hrm.name)
        # The time of the first search counts, as `began` says.
        plan = self.exact.improve(problem, first, budget, seed, began)
        return dataclasses.replace(plan, planner=self.name)

    def prepare(self, instance: Instance) -> None:
        """Compiles what the instance needs."""
        self.hrm.prepare(instance)
