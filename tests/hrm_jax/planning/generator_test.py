"""Generated problems: the same from the same seed, plannable, of the kinds that are promised."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.planning.checker import check_plan
from hrm_jax.planning.dispatching import Dispatch
from hrm_jax.planning.generator import KINDS, make_problem
from hrm_jax.planning.plan import Budget


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(KINDS))
def test_every_problem_has_a_plan(seed, kind):
    instance = make_problem(seed, 20, kind).instance
    assert 12 <= len(instance.tasks) <= 20
    assert not check_plan(instance, Dispatch().plan(instance, Budget(iterations=1)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_one_problem(kind):
    assert make_problem(3, 30, kind) == make_problem(3, 30, kind)
    assert make_problem(3, 30, kind).instance != make_problem(4, 30, kind).instance


def test_kinds_differ_in_what_they_have():
    skills, resources, backlog = (make_problem(5, 40, kind) for kind in KINDS)
    assert skills.instance.days is None
    assert any(len(person.skills) > 1 for person in skills.instance.people)
    assert all(len(person.skills) == 1 for person in resources.instance.people)
    assert any(need.count > 1 for task in resources.instance.tasks for need in task.needs)
    assert backlog.instance.days is not None
    assert backlog.weights.tardiness == 1
    assert any(task.due is not None for task in backlog.instance.tasks)
