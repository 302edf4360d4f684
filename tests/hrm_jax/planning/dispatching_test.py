import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings

from hrm_jax.planning.checker import check_plan
from hrm_jax.planning.dispatching import Dispatch, Restarts
from hrm_jax.planning.errors import NoPlanError
from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.objectives import Weights, measure
from hrm_jax.planning.plan import Budget
from hrm_jax.planning.problem import Problem
from hrm_jax.planning.tables import tables_of
from hrm_jax.planning.workdays import Workdays
from tests.hrm_jax.planning.drawn import instances

EVERYTHING = Weights(makespan=3, tardiness=2, balance=1, changes=5)
SHORT = Budget(iterations=40)


@settings(max_examples=60, deadline=None)
@given(instances())
def test_no_plan_is_refused_and_its_cost_is_the_objective(instance):
    first = Dispatch(EVERYTHING).plan(instance, SHORT)
    best = Restarts(EVERYTHING).plan(instance, SHORT, seed=3, last=None)
    assert check_plan(instance, first) == check_plan(instance, best) == ()
    problem = Problem(instance, EVERYTHING, first)
    arrays = problem.arrays(best)
    assert arrays is not None
    assert problem.cost(arrays) == measure(instance, best, first).total(EVERYTHING)
    again = problem.plan(arrays, "restarts", bound=best.bound, proven=best.proven)
    assert again == best


@settings(max_examples=20, deadline=None)
@given(instances())
def test_replanning_without_a_change_changes_nothing(instance):
    last = Restarts().plan(instance, SHORT, seed=1)
    for planner in (Dispatch(EVERYTHING), Restarts(EVERYTHING)):
        assert planner.plan(instance, SHORT, seed=7, last=last) == last


@settings(max_examples=30, deadline=None)
@given(instances())
def test_rates_of_the_tables_are_those_of_the_instance(instance):
    tables = tables_of(instance)
    columns = tables.rates.shape[1]
    for number, person in enumerate(instance.people):
        for tick in range(columns + 2 * tables.period):
            later = columns - tables.period + (tick - columns) % tables.period
            column = tick if tick < columns else later
            assert tables.rates[tables.profile[number], column] == instance.rate(person, tick)


def test_iterations_repeat_a_plan_and_more_of_them_are_no_worse():
    people = tuple(Person(f"p{i}", ("a", "b")[: 1 + i % 2]) for i in range(4))
    tasks = tuple(
        Task(f"t{i}", 1 + i * 7 % 5, (Need(("a",)), Need(("b",)))[: 1 + i % 2]) for i in range(12)
    )
    instance = Instance(tasks, people)
    once, again, longer = (
        Restarts().plan(instance, Budget(iterations=count), seed=5) for count in (50, 50, 400)
    )
    assert once == again
    first = Dispatch().plan(instance, SHORT)
    spans = [measure(instance, plan).makespan for plan in (longer, once, first)]
    assert spans == sorted(spans)


def test_tasks_wait_for_work_that_takes_nobody_however_long_it_is():
    tasks = (Task("paint dries", 9), Task("hang", 1, (Need(("a",)),), after=("paint dries",)))
    problem = Problem(Instance(tasks, (Person("x", ("a",)),)), Weights())
    for parallel in (False, True):
        made = problem.decode(np.zeros(2), np.zeros((2, 1)), parallel=parallel)
        assert made is not None
        assert made.start.tolist() == [0, 9]


def test_few_changes_when_somebody_falls_ill():
    people = tuple(Person(f"p{i}", ("a",)) for i in range(3))
    instance = Instance(tuple(Task(f"t{i}", 4, (Need(("a",)),)) for i in range(9)), people)
    last = Restarts().plan(instance, SHORT)
    ill = dataclasses.replace(people[0], absences=((0, 4),))
    changed = dataclasses.replace(instance, people=(ill, *people[1:]))
    weights = Weights(makespan=1, changes=4)
    plan = Restarts(weights).plan(changed, Budget(iterations=300), last=last)
    assert check_plan(changed, plan) == ()
    assert 0 < measure(changed, plan, last).changes <= 6


@pytest.mark.parametrize("planner", [Dispatch(), Restarts()])
def test_an_unmeetable_skill_names_the_task_and_who_comes_nearest(planner):
    people = (Person("ann", ("a",)), Person("bob", ("a", "b")))
    instance = Instance(
        (Task("fine", 1, (Need(("a",)),)), Task("hard", 1, (Need(("b", "c")),))), people
    )
    with pytest.raises(NoPlanError, match=r"hard needs b.c.*bob comes nearest.*lacks c"):
        planner.plan(instance, SHORT)


@pytest.mark.parametrize("planner", [Dispatch(), Restarts()])
def test_who_has_to_do_what_they_cannot_is_named(planner):
    people = (Person("ann", ("a",), absences=((0, 2),)), Person("bob", ("b",)))
    task = Task("t", 1, (Need(("b",)),), people=("ann",))
    with pytest.raises(NoPlanError, match="these conflict: t needs b; t is to be done by ann"):
        planner.plan(Instance((task,), people), SHORT)


def test_a_smallest_conflict_leaves_out_what_does_not_matter():
    people = (Person("ann", ("a",)), Person("bob", ("a",)), Person("cat", ("b",)))
    task = Task("t", 1, (Need(("a",)), Need(("b",))), people=("ann",), forbidden=("cat", "bob"))
    with pytest.raises(NoPlanError) as raised:
        Dispatch().plan(Instance((task,), people), SHORT)
    assert "t needs b; t may not be done by cat" in str(raised.value)
    assert "bob" not in str(raised.value)


def test_people_who_never_work_together_conflict():
    people = (
        Person("ann", ("a",), week=(100, 0, 0, 0, 0)),
        Person("bob", ("b",), week=(0, 100, 100, 100, 100)),
    )
    task = Task("t", 1, (Need(("a",)), Need(("b",))))
    instance = Instance((task,), people, Workdays(start="2026-01-05"))
    with pytest.raises(NoPlanError, match="the people of t have to work at one time"):
        Restarts().plan(instance, SHORT)


def test_begun_tasks_that_contradict_each_other_are_named():
    people = (Person("ann", ("a",)),)
    tasks = tuple(
        Task(name, 4, (Need(("a",)),), people=("ann",), started=start)
        for name, start in (("x", 0), ("y", 2))
    )
    with pytest.raises(NoPlanError, match="x runs from tick 0 to 4 with ann; y runs from tick 2"):
        Dispatch().plan(Instance(tasks, people), SHORT)


def test_priorities_and_costs_decide():
    people = (Person("ann", ("a",)), Person("bob", ("a",)))
    instance = Instance((Task("x", 2, (Need(("a",)),)), Task("y", 2, (Need(("a",)),))), people[:1])
    problem = Problem(instance, Weights())
    late = problem.decode(np.array([0, 1]), np.zeros((2, 1)))
    assert late is not None
    assert late.start.tolist() == [2, 0]
    problem = Problem(dataclasses.replace(instance, people=people), Weights())
    chosen = problem.decode(np.array([1, 0]), np.array([[1.0, 0.0], [0.0, 1.0]]))
    assert chosen is not None
    assert chosen.team[:, 0].tolist() == [1, 0]
