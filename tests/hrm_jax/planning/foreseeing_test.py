"""Forecasts of plans against closed forms."""

import dataclasses

import numpy as np
import pytest

from hrm_jax.planning.explaining import find_risks
from hrm_jax.planning.foreseeing import foresee, replay
from hrm_jax.planning.instance import Instance, Need, Person, Task
from tests.hrm_jax.planning.drawn import plan_of

NEED = (Need(("a",)),)
ANN = (Person("ann", ("a",)),)


def one_task(**more):
    return Instance((Task("x", 100, NEED, **more),), ANN), plan_of(("x", 0, 100, ["ann"]))


def test_a_range_is_the_tenth_and_the_ninetieth_percentile():
    made = foresee(*one_task(low=50, high=300), samples=20000)
    assert made is not None
    assert made.percentile(10) == pytest.approx(50, rel=0.02)
    assert made.percentile(50) == pytest.approx(100, rel=0.02)
    assert made.percentile(90) == pytest.approx(300, rel=0.03)


def test_a_task_without_a_range_takes_the_usual_one():
    tasks = (Task("x", 100, NEED, low=50, high=300), Task("y", 100, NEED), Task("end", 0))
    instance = Instance(tasks, (*ANN, Person("bob", ("a",))))
    plan = plan_of(("x", 0, 100, ["ann"]), ("y", 0, 100, ["bob"]), ("end", 0, 0, []))
    made = foresee(instance, plan, samples=20000)
    assert made is not None
    assert made.percentile(90, [1]) == pytest.approx(300, rel=0.03)
    assert (made.ends[:, 2] == 0).all()


def test_nothing_is_told_where_nothing_is_known():
    assert foresee(*one_task()) is None
    assert foresee(Instance((), ANN), plan_of()) is None


def test_past_errors_replace_ranges_but_not_those_of_guesses():
    instance, plan = one_task(low=50, high=300)
    made = foresee(instance, plan, np.full(30, 1.5))
    assert made is not None
    assert set(made.whole) == {150.0}
    guessed = dataclasses.replace(instance.tasks[0], estimated=True)
    made = foresee(dataclasses.replace(instance, tasks=(guessed,)), plan, np.full(30, 1.5))
    assert made is not None
    assert len(set(made.whole)) > 100


def test_errors_that_come_in_runs_do_not_cancel():
    tasks = tuple(Task(f"t{i}", 10, NEED) for i in range(20))
    rows = [(f"t{i}", 10 * i, 10 * i + 10, ["ann"]) for i in range(20)]
    instance, plan = Instance(tasks, ANN), plan_of(*rows)
    runs = foresee(instance, plan, np.repeat([0.5, 2.0], 100))
    mixed = foresee(instance, plan, np.tile([0.5, 2.0], 100))
    assert runs is not None
    assert mixed is not None
    assert runs.whole.std() > 3 * mixed.whole.std()


def test_durations_in_days_are_of_the_calendars_ticks():
    instance, plan = one_task()
    assert replay(instance, plan, np.array([[2.0], [0.01]])).whole.tolist() == [16, 1]


def test_a_due_date_below_p85_is_a_risk():
    instance, plan = one_task(low=50, high=300, due=120)
    (risk,) = [risk for risk in find_risks(instance, plan) if risk.kind == "due below P85"]
    made = foresee(instance, plan)
    assert made is not None
    assert made.in_time(0, 120) == pytest.approx(0.584, abs=0.05)
    assert f"in time in {made.in_time(0, 120):.0%} of simulations: P85 is 1" in risk.text
    sure = one_task(low=50, high=300, due=400)
    assert not [risk for risk in find_risks(*sure) if risk.kind == "due below P85"]
    late = one_task(low=50, high=300, due=90)
    assert [risk.kind for risk in find_risks(*late)] == ["single person", "late"]
