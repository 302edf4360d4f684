"""No planner returns a plan that the checker refuses: --plans=10000 for a night's worth."""

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.planning.backlogs.comparing import first_come
from hrm_jax.planning.checker import check_plan
from hrm_jax.planning.dispatching import Dispatch, Restarts
from hrm_jax.planning.errors import NoPlanError
from hrm_jax.planning.infeasible import find_conflict
from hrm_jax.planning.objectives import Weights
from hrm_jax.planning.plan import Budget
from tests.hrm_jax.planning.drawn import breaks_no_rule, instances

WEIGHTS = (Weights(), Weights(makespan=0, tardiness=1), Weights(makespan=2, balance=1, changes=3))
EXACT_OF = 25
"""Of so many instances the exact planner plans one: CP-SAT takes a second to begin."""


@st.composite
def locked(draw):
    """Draws an instance with people who must or may not, some that begin late or have begun."""
    instance = draw(instances(most_tasks=7))
    tasks = list(instance.tasks)
    names = [person.id for person in instance.people]
    for place, task in enumerate(tasks):
        able = [p.id for p in instance.people if any(p.has(need) for need in task.needs)]
        change = {"forbidden": tuple(draw(st.lists(st.sampled_from(names), max_size=1)))}
        able = [name for name in able if name not in change["forbidden"]]
        if able and draw(st.booleans()):
            change["people"] = (draw(st.sampled_from(able)),)
            if task.team_size == 1 and not task.after and draw(st.integers(0, 3)) == 0:
                change["started"] = draw(st.integers(0, 3))
        tasks[place] = dataclasses.replace(task, **change)
    return dataclasses.replace(instance, tasks=tuple(tasks), now=draw(st.integers(0, 3)))


def planned(planner, instance, last=None):
    """Returns a plan, or None where a conflict that can be named forbids one."""
    try:
        return planner.plan(instance, Budget(iterations=8, seconds=2), 1, last)
    except NoPlanError:
        assert find_conflict(instance) is not None
        return None


def test_no_planner_returns_what_the_checker_refuses(request):
    counted = {"plans": 0, "exact": 0}

    @settings(max_examples=request.config.option.plans, deadline=None)
    @given(locked(), st.sampled_from(WEIGHTS), st.integers(1, EXACT_OF))
    def check(instance, weights, turn):
        planners = [Dispatch(weights), Restarts(weights)]
        if turn == EXACT_OF:
            exact = pytest.importorskip("hrm_jax.planning.exact")
            planners.append(exact.Exact(weights, workers=1))
            counted["exact"] += 1
        last = None
        for planner in planners:
            plan = planned(planner, instance, last)
            if plan is not None:
                assert check_plan(instance, plan) == ()
                assert breaks_no_rule(instance, plan)
                counted["plans"] += 1
                last = plan
        if last is not None:
            assert check_plan(instance, first_come(instance)) == ()

    check()
    assert counted["plans"] > request.config.option.plans
