import pytest

from experiments.assignments.supposing import changed, late_tasks
from hrm_jax.core.errors import UserError
from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.workdays import Workdays
from tests.hrm_jax.planning.drawn import plan_of

NEED = (Need(("a",)),)
TASKS = (
    Task("x", 4, NEED),
    Task("y:1", 4, NEED, after=("x",), due=8),
    Task("z", 4, NEED, after=("y:1", "x"), forbidden=("bob",)),
)
INSTANCE = Instance(TASKS, (Person("ann", ("a",)), Person("bob", ("a",))), Workdays("2026-01-05"))


def test_what_comes_after_a_task_left_out_waits_for_what_that_waited_for():
    left = changed(INSTANCE, without_task=["y:1"])
    assert [(task.id, task.after) for task in left.tasks] == [("x", ()), ("z", ("x",))]


def test_dates_and_people():
    later = changed(INSTANCE, due=["y:1:2026-01-06", "z:@40"])
    assert [task.due for task in later.tasks] == [None, 16, 40]
    other = changed(INSTANCE, with_person="a; C++", without_person="bob")
    assert [(person.id, person.skills) for person in other.people] == [
        ("ann", ("a",)),
        ("one more", ("a", "C++")),
    ]
    assert other.tasks[2].forbidden == ()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({}, "expected a change"),
        ({"without_task": ["w"]}, "without_task: .*got 'w'; one of x, y:1, z"),
        ({"without_person": "eve"}, "got 'eve'; one of ann, bob"),
        ({"due": ["x"]}, "expected ID:DATE"),
        ({"due": ["x:6.1.2026"]}, "--due: due: expected a date.*2026-01-30"),
        ({"due": ["w:2026-01-06"]}, "due: .*got 'w'"),
    ],
)
def test_what_cannot_be_changed_is_told(change, message):
    with pytest.raises(UserError, match=message):
        changed(INSTANCE, **change)


def test_late_tasks():
    plan = plan_of(("x", 0, 4, ["ann"]), ("y:1", 5, 9, ["ann"]), ("z", 9, 13, ["ann"]))
    assert late_tasks(INSTANCE, plan) == {"y:1"}
