import threading
import time
import types

import pytest
from hypothesis import given, settings

pytest.importorskip("ortools")

from ortools.sat.python import cp_model

from hrm_jax.planning.checker import check_plan
from hrm_jax.planning.dispatching import Restarts
from hrm_jax.planning.exact import Exact, first_budget
from hrm_jax.planning.generator import make_problem
from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.objectives import Weights, measure
from hrm_jax.planning.plan import Budget
from hrm_jax.planning.problem import Problem
from hrm_jax.planning.run import run_search
from tests.hrm_jax.planning.drawn import best_makespan, instances


@settings(max_examples=25, deadline=None)
@given(instances(calendars=False, most_tasks=4))
def test_it_reaches_and_proves_the_optimum_of_enumeration(instance):
    plan = Exact(workers=1).plan(instance, Budget(seconds=20))
    assert plan.proven
    assert measure(instance, plan).makespan == best_makespan(instance) == plan.bound


@settings(max_examples=15, deadline=None)
@given(instances())
def test_no_plan_is_refused_or_cheaper_than_the_bound(instance):
    weights = Weights(makespan=2, tardiness=1, balance=1)
    plan = Exact(weights, workers=1).plan(instance, Budget(seconds=0.5))
    other = Restarts(weights).plan(instance, Budget(iterations=200), seed=2)
    assert check_plan(instance, plan) == ()
    assert plan.bound is not None
    assert plan.bound <= measure(instance, plan).total(weights)
    assert plan.bound <= measure(instance, other).total(weights)
    if plan.proven:
        assert measure(instance, plan).total(weights) == plan.bound
    again = Exact(weights, workers=1).plan(instance, Budget(seconds=1), last=plan)
    assert again == plan


class Waiting:
    """Searches for ten tries, and then waits for what others find."""

    name = "waiting"

    def search(self, run):
        run.restart(10)
        while not run.over:
            time.sleep(0.01)
            run.take_offers()


class Interrupted:
    """Finds a plan, and is stopped by the user once the solver is at work."""

    name = "interrupted"

    def search(self, run):
        if run.done:
            raise KeyboardInterrupt
        run.restart(1)


def test_the_search_takes_the_solvers_plans_and_its_bound_ends_both():
    # Ten tries do not solve it.
    problem = make_problem(4, 25, "resources")
    plan = Exact(problem.weights, beside=Waiting()).plan(problem.instance, Budget(seconds=60))
    assert plan.proven
    arrays = problem.arrays(plan)
    assert arrays is not None
    assert problem.cost(arrays) == plan.bound
    assert plan.bound < run_search(Restarts(), problem, Budget(iterations=10), 0).found


def test_an_interrupt_stops_the_solver(monkeypatch):
    stop = cp_model.CpSolver.stop_search
    stopped = []

    def noted(solver):
        stopped.append(solver)
        stop(solver)

    monkeypatch.setattr(cp_model.CpSolver, "stop_search", noted)
    problem = make_problem(4, 25, "resources")
    with pytest.raises(KeyboardInterrupt):
        Exact(beside=Interrupted()).plan(problem.instance, Budget(seconds=60))
    assert stopped


class Unable:
    """A solver that finds no plan, only a bound, and works until it is stopped."""

    def __init__(self, bound):
        self.parameters = types.SimpleNamespace()
        self.best_objective_bound = bound
        self.best_bound_callback = None
        self.stopped = threading.Event()

    def solve(self, model, callback):
        del model, callback
        self.best_bound_callback(self.best_objective_bound)
        self.stopped.wait(60)
        return cp_model.FEASIBLE

    def stop_search(self):
        self.stopped.set()


class Watching:
    """Searches for ten tries; then notes whether the solver works, and waits for the budget."""

    name = "watching"

    def __init__(self, solver):
        self.solver = solver
        self.noted = []

    def search(self, run):
        run.restart(10)
        self.noted.append((self.solver.stopped.is_set(), run.threads))
        while not run.over:
            time.sleep(0.01)


# Two of the three tasks follow each other, so a plan takes 40 ticks; chains and loads prove 30.
@pytest.mark.parametrize(("bound", "stops"), [(37, True), (39, False)])
def test_a_solver_far_from_a_proof_leaves_its_time_to_the_search(monkeypatch, bound, stops):
    solver = Unable(bound)
    monkeypatch.setattr(cp_model, "CpSolver", lambda: solver)
    monkeypatch.setattr("hrm_jax.planning.exact.cores", lambda: 3)
    instance = Instance(
        tuple(Task(f"t{i}", 20, (Need(("a",)),)) for i in range(3)),
        (Person("x", ("a",)), Person("y", ("a",))),
    )
    beside = Watching(solver)
    plan = Exact(beside=beside).plan(instance, Budget(seconds=0.5))
    assert (plan.bound, plan.proven) == (bound, False)
    # The first plan with all cores; beside the solver; and on, with all cores where it has ended.
    assert beside.noted == [(False, 3), (False, 1), (stops, 3 if stops else 1)]


def test_restarts_begin_for_a_tenth_of_the_time_or_a_thousand_tries_a_task():
    tasks = tuple(Task(name, 1, (Need(("a",)),)) for name in ("x", "y"))
    problem = Problem(Instance(tasks, (Person("ann", ("a",)),)), Weights())
    assert first_budget(Budget(seconds=5), problem) == Budget(seconds=0.5, iterations=2000)
    assert first_budget(Budget(seconds=60), problem) == Budget(seconds=2.0, iterations=2000)
    # What iterations bound is repeated exactly, whatever else bounds it.
    assert first_budget(Budget(iterations=9), problem) == Budget(iterations=200)
    assert first_budget(Budget(seconds=5, iterations=9), problem) == Budget(0.5, 200)


def test_what_is_too_large_for_the_model_is_planned_by_restarts():
    tasks = tuple(Task(f"t{i}", 1, (Need(("a",)),)) for i in range(401))
    instance = Instance(tasks, (Person("ann", ("a",)), Person("bob", ("a",))))
    plan = Exact().plan(instance, Budget(iterations=5))
    assert (plan.planner, plan.bound, plan.proven) == ("restarts", 201, True)
    assert measure(instance, plan).makespan == 201
