"""A search under way takes others' plans, keeps all threads busy, and ends in time."""

import numpy as np
import pytest

from hrm_jax.planning.checker import check_plan
from hrm_jax.planning.dispatching import Restarts
from hrm_jax.planning.generator import make_problem
from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.objectives import Weights
from hrm_jax.planning.plan import Budget
from hrm_jax.planning.problem import Problem
from hrm_jax.planning.run import Run, run_search

PEOPLE = tuple(Person(f"p{i}", ("a",)) for i in range(2))
TASKS = tuple(Task(f"t{i}", 3, (Need(("a",)),)) for i in range(3))


@pytest.fixture
def problem():
    return Problem(Instance(TASKS, PEOPLE), Weights())


def one_by_one(problem):
    plan = problem.empty()
    plan.start[:] = [0, 3, 6]
    plan.end[:] = [3, 6, 9]
    plan.team[:, 0] = 0
    return plan


def test_better_plans_of_others_are_taken_and_a_bound_ends_it(problem):
    run = Run(problem, Budget(seconds=60), seed=0)
    better = problem.decode(np.zeros(3), np.zeros((3, 2)))
    for plan, cost in [(one_by_one(problem), 9), (better, 6), (one_by_one(problem), 6)]:
        run.offer(plan)
        run.take_offers()
        assert run.found == cost == problem.cost(run.best)
    assert run.offered
    assert not run.over
    run.bound = 6
    assert run.proven
    run.restart()  # for no time, then
    assert run.done == 0


def test_of_nothing_to_do_the_empty_plan_is_proven():
    empty = Problem(Instance((), PEOPLE), Weights())
    run = Run(empty, Budget(iterations=40), seed=0)
    assert (run.found, run.proven, run.over) == (0, True, True)


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_each_iteration_runs_once(problem, threads):
    run = Run(problem, Budget(seconds=60), seed=0, threads=threads)
    run.offer(one_by_one(problem))
    tried = []

    def tries(best, found, first, count):
        tried.extend(range(first, first + count))
        return problem.cost(best)

    for until in (1, 5, 40):
        run.repeat(tries, until)
    assert sorted(tried) == list(range(run.done))
    assert run.done == 40


def test_threads_have_plans_of_their_own_and_go_on_from_the_best_at_times(problem):
    run = Run(problem, Budget(seconds=60), seed=0, threads=2)
    run.offer(one_by_one(problem))
    begun = []

    def tries(best, found, first, count):
        begun.append((first, found))
        # Even iterations, those of one thread, find something.
        best.start[2] -= first % 2 == 0 and best.start[2] > 3
        best.end[2] = best.start[2] + 3
        return int(best.end.max())

    for until in (2, 4, 6, 8):
        run.repeat(tries, until)
    # Both go on from the best at iterations 0, 2 and 6.
    assert sorted(begun) == [(0, 9), (1, 9), (2, 8), (3, 8), (4, 7), (5, 8), (6, 6), (7, 6)]
    assert (run.done, run.found, run.best.start[2]) == (8, 6, 3)


@pytest.mark.parametrize("threads", [1, 2])
def test_a_plan_is_offered_until_the_search_finds_a_better_one(problem, threads):
    run = Run(problem, Budget(seconds=60), seed=0, threads=threads)
    run.offer(one_by_one(problem))
    run.repeat(lambda best, found, first, count: found, 2)
    assert run.offered
    run.repeat(lambda best, found, first, count: found - 1, 4)
    assert not run.offered


def test_iterations_bound_a_search_in_one_thread_and_seconds_one_in_all():
    problem = make_problem(2, 20, "skills")
    assert Run(problem, Budget(iterations=9, seconds=60), seed=0).threads == 1
    run = run_search(Restarts(), problem, Budget(seconds=0.2), seed=1, threads=3)
    assert run.done > 3
    assert run.found == problem.cost(run.best)
    assert check_plan(problem.instance, problem.plan(run.best, "restarts")) == ()
