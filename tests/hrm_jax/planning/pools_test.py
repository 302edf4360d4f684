"""People as pools, against generation person by person and against counts in each tick."""

import dataclasses

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from hrm_jax.planning.checker import check_plan
from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.objectives import Weights
from hrm_jax.planning.plan import Budget
from hrm_jax.planning.pools import decode_pools, pool_sizes
from hrm_jax.planning.problem import Problem
from hrm_jax.planning.run import Run
from hrm_jax.planning.tables import tables_of

SKILLS = ("a", "b", "c")


@st.composite
def pooled(draw):
    """Instances of people who have one skill each, with priorities."""
    sizes = draw(st.lists(st.integers(1, 4), min_size=3, max_size=3))
    speed = draw(st.sampled_from([100, 50]))
    people = [
        Person(f"{skill}{number}", (skill,), speed=speed)
        for skill, size in zip(SKILLS, sizes, strict=True)
        for number in range(size)
    ]
    tasks = []
    for index in range(draw(st.integers(1, 9))):
        duration = draw(st.integers(0, 4))
        counts = [draw(st.integers(0, size)) if duration else 0 for size in sizes]
        needs = [Need((s,), c) for s, c in zip(SKILLS, counts, strict=True) if c]
        earlier = [task.id for task in tasks]
        after = draw(st.lists(st.sampled_from(earlier), max_size=2, unique=True)) if earlier else []
        release = draw(st.integers(0, 3))
        tasks.append(Task(f"t{index}", duration, tuple(needs), tuple(after), release=release))
    # Where nobody is needed for anything there are no pools.
    assume(any(task.needs for task in tasks))
    order = draw(st.permutations(range(len(tasks))))
    return Instance(tuple(tasks), tuple(draw(st.permutations(people)))), order


def pools_of(instance):
    tables = tables_of(instance)
    return tables._replace(pools=pool_sizes(tables))


def decoded(instance, order, *, parallel):
    problem = Problem(instance, Weights())
    arrays = problem.empty()
    priorities = np.array(order, np.float32)
    assert decode_pools(pools_of(instance), priorities, parallel, *arrays)
    # It is checked there.
    problem.plan(arrays, "pools")
    return arrays


@settings(max_examples=100, deadline=None)
@given(pooled())
def test_parallel_generation_starts_tasks_as_it_does_person_by_person(drawn):
    instance, order = drawn
    one_by_one = Problem(instance, Weights())
    costs = np.zeros(one_by_one.tables.allowed.shape, np.float32)
    expected = one_by_one.decode(np.array(order, np.float32), costs, parallel=True)
    assert expected is not None
    found = decoded(instance, order, parallel=True)
    assert found.start.tolist() == expected.start.tolist()
    assert found.end.tolist() == expected.end.tolist()


@settings(max_examples=100, deadline=None)
@given(pooled())
def test_serial_generation_starts_each_task_when_enough_are_free_in_all_its_ticks(drawn):
    instance, order = drawn
    found = decoded(instance, order, parallel=False)
    size = {skill: sum(skill in p.skills for p in instance.people) for skill in SKILLS}
    pace = instance.people[0].speed / 100
    used = {}
    ends = {}
    left = dict(enumerate(instance.tasks))
    while left:
        ready = [n for n, task in left.items() if all(other in ends for other in task.after)]
        number = max(ready, key=lambda n: order[n])
        task = left.pop(number)
        length = int(task.duration / (pace if task.needs else 1))
        start = max([task.release, *(ends[other] for other in task.after)])

        def fits(start, task=task, length=length):
            return all(
                used.get((need.skills[0], tick), 0) + need.count <= size[need.skills[0]]
                for need in task.needs
                for tick in range(start, start + length)
            )

        while not fits(start):
            start += 1
        for need in task.needs:
            for tick in range(start, start + length):
                key = need.skills[0], tick
                used[key] = used.get(key, 0) + need.count
        ends[task.id] = start + length
        assert (found.start[number], found.end[number]) == (start, start + length)


def test_whoever_has_been_free_for_longest_is_named():
    tasks = [Task(f"t{n}", 1, (Need(("a",)),), after=(f"t{n - 1}",) if n else ()) for n in range(4)]
    people = tuple(Person(name, ("a",)) for name in "xyz")
    found = decoded(Instance(tuple(tasks), people), range(4), parallel=False)
    assert found.team[:, 0].tolist() == [0, 1, 2, 0]


def test_units_are_not_tied_to_what_they_did_before():
    # One of two is free at every tick, though neither is for two ticks on end, as units were given
    # out: x to the first and y to the second task.
    A = (Need(("a",)),)
    tasks = (Task("0", 1, A), Task("1", 1, A, release=1), Task("2", 2, A))
    people = (Person("x", ("a",)), Person("y", ("a",)))
    found = decoded(Instance(tasks, people), [3, 2, 1], parallel=False)
    assert found.start.tolist() == [0, 1, 0]
    assert found.team[:2, 0].tolist() != found.team[2:, 0].tolist()


def test_where_people_are_told_apart_there_are_no_pools():
    a = (Need(("a",)),)
    people = (Person("x", ("a",)), Person("y", ("a",)), Person("z", ("b",)))
    one = Instance((Task("t", 2, a), Task("u", 0)), people)
    assert pool_sizes(tables_of(one)).tolist() == [2]
    task = one.tasks[0]
    others = {
        "a task asks for somebody": {"tasks": (dataclasses.replace(task, people=("x",)),)},
        "a task forbids somebody": {"tasks": (dataclasses.replace(task, forbidden=("x",)),)},
        "a task has begun": {
            "tasks": (dataclasses.replace(task, people=("x",), started=0),),
            "now": 1,
        },
        "somebody serves two needs": {
            "tasks": (task, Task("u", 1, (Need(("b",)),))),
            "people": (*people, Person("w", ("a", "b"))),
        },
        "somebody is slower": {"people": (people[0], Person("y", ("a",), speed=50))},
        "somebody is absent": {"people": (people[0], Person("y", ("a",), absences=((0, 1),)))},
        "nobody serves anything": {"people": people[2:]},
    }
    for why, change in others.items():
        assert pool_sizes(tables_of(dataclasses.replace(one, **change))).size == 0, why
    # What the objective tells apart, neither.
    assert Problem(one, Weights()).counted.pools.tolist() == [2]
    assert Problem(one, Weights(tardiness=3)).counted.pools.tolist() == [2]
    assert Problem(one, Weights(balance=1)).counted.pools.size == 0
    assert Problem(one, Weights(changes=1)).counted.pools.size == 0


def test_a_need_beyond_its_pool_finds_no_place():
    instance = Instance((Task("t", 1, (Need(("a",), 2),)),), (Person("x", ("a",)),))
    arrays = Problem(instance, Weights()).empty()
    for parallel in (False, True):
        assert not decode_pools(pools_of(instance), np.zeros(1, np.float32), parallel, *arrays)


@settings(max_examples=20, deadline=None)
@given(pooled())
def test_a_search_of_pools_is_no_worse_than_its_first_plans(drawn):
    instance, _ = drawn
    problem = Problem(instance, Weights())
    run = Run(problem, Budget(iterations=30), seed=1)
    run.restart(1)
    first = run.found
    run.restart()
    assert check_plan(instance, run.plan("search")) == ()
    assert problem.least_cost <= run.found <= first
