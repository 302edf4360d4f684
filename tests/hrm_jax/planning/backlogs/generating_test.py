import dataclasses

import numpy as np
import pytest

from hrm_jax.core.errors import UserError
from hrm_jax.planning.backlogs import fitting
from hrm_jax.planning.backlogs.comparing import compare, first_come
from hrm_jax.planning.backlogs.generating import KINDS, Kind, draw_backlog, draw_large
from hrm_jax.planning.checker import check_plan
from hrm_jax.planning.dispatching import Restarts
from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.objectives import Weights, measure
from hrm_jax.planning.plan import Budget
from tests.hrm_jax.planning.forecast.made import write_sprints


def test_numbers_are_fitted_to_files(tmp_path):
    (tmp_path / "sprints").mkdir()
    (tmp_path / "story_points").mkdir()
    write_sprints(tmp_path / "sprints")
    for path in (tmp_path / "sprints").iterdir():
        assert path.suffix == ".csv"
    rows = [f"A-{i},t,d,{1 + i % 3}" for i in range(30)]
    (tmp_path / "story_points" / "p.csv").write_text(
        "\n".join(["issuekey,title,description,storypoint", *rows]) + "\n"
    )
    found = fitting.fit(tmp_path)
    assert (found.size[0], found.size[10], found.size[-1]) == (0.5, 1.0, 1.5)
    assert found.days == (10.0,) * 21
    assert found.members == (4.0,) * 21
    assert found.blocked == 0
    assert found.priorities == (0, 1, 0, 0)
    assert np.median(found.load) > 1  # half of what is planned there is not delivered


def test_drawn_backlogs_repeat_and_are_of_their_kind():
    numbers = fitting.fitted()
    for kind in KINDS:
        instance = draw_backlog(numbers, kind, 7)
        assert instance == draw_backlog(numbers, kind, 7)
        assert instance != draw_backlog(numbers, kind, 8)
        skills = {skill for person in instance.people for skill in person.skills}
        assert all(set(task.needs[0].skills) <= skills for task in instance.tasks)
        assert {len(p.skills) for p in instance.people} == {1} or kind.team == "mixed"
        assert (len(skills) == 1) == (kind.team == "generalists")
        assert [task.due for task in instance.tasks] == sorted(t.due or 0 for t in instance.tasks)
    dense = draw_backlog(numbers, Kind("mixed", "dense"), 3)
    assert 0.2 < np.mean([bool(task.after) for task in dense.tasks]) < 0.8
    with pytest.raises(UserError, match="expected one of"):
        Kind("giants", "dense")


def test_the_default_takes_the_first_task_of_the_list_that_may_start():
    people = (Person("ann", ("a",)), Person("bob", ("a", "b")))
    a, b = (Need(("a",)),), (Need(("b",)),)
    tasks = (Task("x", 3, a, after=("z",)), Task("y", 4, a), Task("z", 2, a), Task("w", 1, b))
    instance = Instance(tasks, people)
    plan = first_come(instance)
    starts = {one.task: (one.start, one.people) for one in plan.assignments}
    assert starts == {
        "x": (2, ("bob",)),
        "y": (0, ("ann",)),
        "z": (0, ("bob",)),
        "w": (5, ("bob",)),
    }
    assert check_plan(instance, plan) == ()


def test_a_comparison_says_what_is_gained():
    instance = draw_backlog(fitting.fitted(), Kind("mixed", "dense"), 1)
    planner = Restarts(Weights(makespan=1, tardiness=1))
    found = compare(instance, planner, Budget(iterations=100), seed=0)
    plan = planner.plan(instance, Budget(iterations=100), 0)
    assert found.completion == measure(instance, plan).makespan
    assert found.least <= found.completion
    assert found.shorter <= found.room
    assert found.came is not None
    late = dataclasses.replace(found, lateness=30, usual_lateness=40)
    assert late.less_late == pytest.approx(0.25)
    assert dataclasses.replace(late, usual_lateness=0).less_late is None


def test_a_large_backlog_has_the_size_asked_for():
    instance = draw_large(60, 10, 0)
    assert (len(instance.tasks), len(instance.people)) == (60, 10)
    assert instance == draw_large(60, 10, 0)
