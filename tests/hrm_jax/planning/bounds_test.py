"""No plan beats the bounds, and where chains or loads decide they are reached."""

import dataclasses

import pytest
from hypothesis import given, settings

from hrm_jax.planning.bounds import heads, least_end, shortest
from hrm_jax.planning.dispatching import Dispatch, Restarts
from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.objectives import Weights, measure
from hrm_jax.planning.plan import Budget
from hrm_jax.planning.problem import Problem
from hrm_jax.planning.tables import tables_of
from tests.hrm_jax.planning.drawn import best_makespan, instances

ANN, BOB = Person("ann", ("a",)), Person("bob", ("a", "b"))
A, B = (Need(("a",)),), (Need(("b",)),)


def bound(*tasks, people=(ANN, BOB), now=0):
    return least_end(tables_of(Instance(tasks, people, now=now)))


@settings(max_examples=100, deadline=None)
@given(instances(calendars=False, most_tasks=4))
def test_the_optimum_of_enumeration_is_not_below(instance):
    assert least_end(tables_of(instance)) <= best_makespan(instance)


@settings(max_examples=50, deadline=None)
@given(instances())
def test_no_plan_costs_less(instance):
    weights = Weights(makespan=2, tardiness=1, balance=1)
    plan = Restarts(weights).plan(instance, Budget(iterations=100))
    assert plan.bound is not None
    assert plan.bound == Problem(instance, weights).least_cost
    cost = measure(instance, plan).total(weights)
    assert plan.bound <= cost
    assert plan.proven == (plan.bound == cost)


def test_a_chain_bounds():
    assert bound(Task("x", 3, A, after=("z",)), Task("z", 2, A), Task("y", 4, A)) == 5
    assert bound(Task("x", 3, A, after=("z",)), Task("z", 2, A, release=4)) == 9
    assert bound(Task("x", 3, A), now=7) == 10


def test_the_work_of_a_skill_bounds():
    # Both serve a, and only one of them b.
    assert bound(*(Task(f"t{i}", 3, A) for i in range(3))) == 5
    assert bound(*(Task(f"t{i}", 3, B) for i in range(3))) == 9


def test_work_is_bound_by_when_it_can_begin_and_what_waits_for_it():
    late = [Task(f"t{i}", 3, B, after=("first",)) for i in range(2)]
    last = Task("last", 4, A, after=("t0", "t1"))
    assert bound(Task("first", 2, A), *late, last) == 2 + 6 + 4


def test_what_one_person_has_to_do_bounds():
    tasks = [Task(f"t{i}", 3, A, people=("ann",)) for i in range(3)]
    assert bound(*tasks) == 9


def test_what_has_begun_goes_on_from_there():
    begun = Task("x", 6, A, people=("ann",), started=2)
    assert bound(begun, Task("y", 1, A, after=("x",)), now=4) == 9


@pytest.mark.parametrize(("speeds", "ticks"), [((200, 200), 2), ((200, 50), 8), ((50, 50), 8)])
def test_a_team_is_as_fast_as_its_slowest(speeds, ticks):
    people = [Person(f"p{i}", ("a",), speed=speed) for i, speed in enumerate(speeds)]
    tables = tables_of(Instance((Task("x", 4, (Need(("a",), 2),)),), tuple(people)))
    assert shortest(tables).tolist() == [ticks]


def test_the_fastest_counts_unless_another_must():
    people = (Person("slow", ("a",), speed=50), Person("fast", ("a",), speed=200))
    task = Task("x", 4, A)
    tables = tables_of(Instance((task, Task("y", 1, A, after=("x",))), people))
    assert shortest(tables).tolist() == [2, 1]
    assert heads(tables, shortest(tables)).tolist() == [0, 2]
    named = dataclasses.replace(task, people=("slow",))
    assert shortest(tables_of(Instance((named,), people))).tolist() == [8]
    barred = dataclasses.replace(task, forbidden=("fast",))
    assert shortest(tables_of(Instance((barred,), people))).tolist() == [8]


def test_lateness_that_no_plan_avoids_is_counted():
    tasks = (Task("x", 3, A, due=1, priority=5), Task("y", 2, A, due=9, after=("x",)))
    instance = Instance(tasks, (ANN,))
    assert Problem(instance, Weights(makespan=1, tardiness=2)).least_cost == 5 + 2 * 5 * 2
    plan = Dispatch(Weights(makespan=1, tardiness=2)).plan(instance, Budget(iterations=1))
    assert plan.proven
    assert plan.bound == 25


def test_a_search_ends_where_its_plan_is_proven():
    instance = Instance((Task("x", 3, A), Task("y", 3, A)), (ANN, BOB))
    plan = Restarts().plan(instance, Budget(seconds=3600))
    assert (plan.bound, plan.proven) == (3, True)
