import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.planning.checker import check_plan
from hrm_jax.planning.dispatching import Dispatch
from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.plan import Assignment, Budget, Plan
from hrm_jax.planning.workdays import Workdays
from tests.hrm_jax.planning.drawn import breaks_no_rule, instances, plan_of

PEOPLE = (Person("ann", ("a",)), Person("bob", ("a", "b")), Person("cat", ("b",)))
TASKS = (
    Task("one", 2, (Need(("a",)),)),
    Task("two", 3, (Need(("a",)), Need(("b",))), after=("one",)),
    Task("done", 0, after=("two",)),
)
INSTANCE = Instance(TASKS, PEOPLE)
GOOD = (("one", 0, 2, ["ann"]), ("two", 2, 5, ["bob", "cat"]), ("done", 5, 5, []))


def rules(instance, *rows):
    return [violation.rule for violation in check_plan(instance, plan_of(*rows))]


def test_a_plan_that_keeps_all_rules_breaks_none():
    assert rules(INSTANCE, *GOOD) == []


@pytest.mark.parametrize(
    ("change", "rule"),
    [
        ({0: ("one", 0, 2, ["cat"])}, "skills"),
        ({1: ("two", 2, 5, ["ann", "ann"])}, "person twice"),
        ({1: ("two", 2, 5, ["bob"])}, "skills"),
        ({1: ("two", 1, 4, ["bob", "cat"])}, "precedence"),
        ({1: ("two", 2, 4, ["bob", "cat"])}, "calendar"),
        ({1: ("two", 2, 6, ["bob", "cat"])}, "calendar"),
        ({2: ("done", 5, 6, [])}, "calendar"),
        ({0: ("zero", 0, 2, ["ann"])}, "unknown task"),
        ({0: ("one", 0, 2, ["eve"])}, "unknown person"),
        ({2: ("one", 9, 11, ["ann"])}, "task twice"),
    ],
)
def test_each_broken_rule_is_named(change, rule):
    assert rule in rules(INSTANCE, *[change.get(index, row) for index, row in enumerate(GOOD)])


def test_locks_are_kept():
    tasks = (
        Task("x", 1, (Need(("a",)),), people=("bob",), release=3),
        Task("y", 1, (Need(("a",)),), forbidden=("ann",)),
        Task("z", 2, (Need(("b",)),), people=("cat",), started=1),
    )
    instance = Instance(tasks, PEOPLE)
    wrong = (("x", 0, 1, ["ann"]), ("y", 1, 2, ["ann"]), ("z", 0, 2, ["cat"]))
    assert set(rules(instance, *wrong)) == {
        "fixed people",
        "too early",
        "forbidden people",
        "has begun",
    }
    assert not rules(instance, ("x", 3, 4, ["bob"]), ("y", 0, 1, ["bob"]), ("z", 1, 3, ["cat"]))


def test_one_thing_at_a_time_and_the_message_says_which():
    instance = Instance((Task("x", 4, (Need(("a",)),)), Task("y", 1, (Need(("a",)),))), PEOPLE)
    (violation,) = check_plan(instance, plan_of(("x", 0, 4, ["ann"]), ("y", 1, 2, ["ann"])))
    assert str(violation) == "busy: ann does x until tick 4 and y from 1"


def test_what_time_means():
    days = Workdays(start="2026-01-05", ticks_per_day=8)
    half = Person("half", ("a",), capacity=50)
    away = Person("away", ("a",), absences=((2, 6),))
    slow = Person("slow", ("b",), speed=50, absences=((1, 2),))

    def fits(task, start, end, *people):
        instance = Instance((task,), (half, away, slow), days)
        return rules(instance, (task.id, start, end, [person.id for person in people])) == []

    one = Task("t", 4, (Need(("a",)),))
    both = Task("t", 4, (Need(("a",)), Need(("b",))))
    assert fits(one, 0, 8, half)  # part-time stretches
    assert fits(one, 6, 14, half)  # nights have no ticks
    assert fits(one, 0, 8, away)  # two ticks, four off, two ticks
    assert not fits(one, 3, 10, away)  # it cannot start in an absence
    assert fits(one, 6, 10, away)
    # At the pace of the slowest, and only while both work: tick 0, then 6 and the next six.
    assert fits(both, 0, 13, away, slow)
    assert not fits(both, 0, 12, away, slow)


@settings(max_examples=60, deadline=None)
@given(instances(), st.data())
def test_it_agrees_with_rules_written_otherwise_on_disturbed_plans(instance, data):
    plan = Dispatch().plan(instance, Budget(iterations=1))
    assert breaks_no_rule(instance, plan)
    rows = list(plan.assignments)
    for _ in range(data.draw(st.integers(0, 2))):
        index = data.draw(st.integers(0, len(rows) - 1))
        row = rows[index]
        shift = data.draw(st.integers(-2, 2))
        people = row.people
        if data.draw(st.booleans()):
            ids = [person.id for person in instance.people]
            people = tuple(data.draw(st.sampled_from(ids)) for _ in people)
        rows[index] = Assignment(
            row.task, max(row.start + shift, 0), max(row.end + shift, 0), people
        )
    disturbed = dataclasses.replace(plan, assignments=tuple(rows))
    assert (check_plan(instance, disturbed) == ()) == breaks_no_rule(instance, disturbed)


def test_an_empty_plan_misses_everything():
    violations = check_plan(INSTANCE, Plan(()))
    assert [violation.rule for violation in violations] == ["task missing"] * 3
