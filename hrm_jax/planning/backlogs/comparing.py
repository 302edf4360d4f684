"""A planner against what teams do by default: first come, first served, next free person.

Whenever people are free, they take the first task of the list that may start and that they have the
skills for; of several free people the first of the team's list takes it.
"""

import dataclasses

import numpy as np

from hrm_jax.planning.bounds import least_end
from hrm_jax.planning.infeasible import why_no_plan
from hrm_jax.planning.instance import Instance
from hrm_jax.planning.objectives import MAKESPAN, measure
from hrm_jax.planning.plan import Budget, Plan, Planner
from hrm_jax.planning.problem import Problem
from hrm_jax.planning.replaying import Replay
from hrm_jax.planning.tables import tables_of

OTHERWISE = 0.5
"""Deviation of the logarithm of durations that come otherwise; no file tells it."""

_DRAWS = 5


def first_come(instance: Instance) -> Plan:
    """Returns the plan of the default.

    Raises:
      NoPlanError: a task finds no place.
    """
    problem = Problem(instance, MAKESPAN)
    tasks, people = problem.tables.allowed.shape
    # Parallel generation with the list's order as priority and the team's as cost is the default.
    order = -np.arange(tasks, dtype=np.float32)
    costs = np.tile(np.arange(people, dtype=np.float32), (tasks, 1))
    arrays = problem.decode(order, costs, parallel=True)
    if arrays is None:
        raise why_no_plan(instance)
    return problem.plan(arrays, "first come")


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What a planner reached on an instance, and the default: completion and weighted lateness.

    Attributes:
      least: no plan is done before this tick.
      came: means over durations that came otherwise: the default decided as it went, the plan kept
        people and orders; the same four numbers.
    """

    completion: float
    usual_completion: float
    lateness: float
    usual_lateness: float
    least: float = 0.0
    came: "Comparison | None" = None

    @property
    def shorter(self) -> float:
        """Share by which the completion is shorter than the default's."""
        return 1 - self.completion / max(self.usual_completion, 1)

    @property
    def room(self) -> float:
        """Share by which the completion could be shorter at the most."""
        return 1 - self.least / max(self.usual_completion, 1)

    @property
    def less_late(self) -> float | None:
        """Share by which the lateness is less; None where the default is in time."""
        return 1 - self.lateness / self.usual_lateness if self.usual_lateness else None


def compare(instance: Instance, planner: Planner, budget: Budget, seed: int) -> Comparison:
    """Returns a planner beside the default, with durations as estimated and as they came.

    Raises:
      NoPlanError: there is no plan.
    """
    plan = planner.plan(instance, budget, seed)
    ours, usual = measure(instance, plan), measure(instance, first_come(instance))
    return Comparison(
        ours.makespan,
        usual.makespan,
        ours.tardiness,
        usual.tardiness,
        least_end(tables_of(instance)),
        _came(instance, plan, np.random.default_rng(seed)),
    )


def _came(instance: Instance, plan: Plan, rng: np.random.Generator) -> Comparison:
    usual = np.array([task.duration for task in instance.tasks])
    rows = []
    for _ in range(_DRAWS):
        # The median of the factors is 1: half of the draws are longer than estimated.
        factors = np.exp(OTHERWISE * rng.standard_normal(len(usual)))
        durations = np.where(usual > 0, np.maximum(np.rint(usual * factors), 1), 0)
        tasks = tuple(
            dataclasses.replace(task, duration=int(length), low=None, high=None)
            for task, length in zip(instance.tasks, durations, strict=True)
        )
        came = dataclasses.replace(instance, tasks=tasks)
        # The plan keeps its people and orders, whatever comes; the default decides anew each time.
        starts, ends = Replay(instance, plan).times(durations[None])
        times = zip(plan.assignments, starts[0], ends[0], strict=True)
        worked = dataclasses.replace(
            plan,
            assignments=tuple(
                dataclasses.replace(one, start=int(start), end=int(end))
                for one, start, end in times
            ),
        )
        ours, default = measure(came, worked), measure(came, first_come(came))
        rows.append((ours.makespan, default.makespan, ours.tardiness, default.tardiness))
    completion, usual_completion, lateness, usual_lateness = map(float, np.mean(rows, axis=0))
    return Comparison(completion, usual_completion, lateness, usual_lateness)
