"""Plans worked again: the checker accepts what comes of any durations."""

import dataclasses

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.planning.checker import check_plan
from hrm_jax.planning.dispatching import Restarts
from hrm_jax.planning.instance import Instance, Need, Person, Task
from hrm_jax.planning.plan import Budget
from hrm_jax.planning.replaying import Pace, Replay
from tests.hrm_jax.planning.drawn import instances, plan_of


@settings(max_examples=60, deadline=None)
@given(instances(), st.data())
def test_a_replay_with_other_durations_keeps_all_rules(instance, data):
    plan = Restarts().plan(instance, Budget(iterations=10))
    replay = Replay(instance, plan)
    usual = np.array([[task.duration for task in instance.tasks]], float)
    planned = [one.end for one in plan.assignments]
    assert (replay(usual)[0] <= planned).all()
    work = usual[0] > 0
    lengths = data.draw(st.lists(st.integers(1, 9), min_size=len(work), max_size=len(work)))
    durations = np.where(work, lengths, 0)
    (starts,), (ends,) = replay.times(durations[None])
    tasks = tuple(
        dataclasses.replace(task, duration=int(length), low=None, high=None)
        for task, length in zip(instance.tasks, durations, strict=True)
    )
    came = dataclasses.replace(instance, tasks=tasks)
    rows = zip(plan.assignments, starts, ends, strict=True)
    again = plan_of(*((one.task, int(start), int(end), one.people) for one, start, end in rows))
    assert check_plan(came, again) == ()


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.integers(0, 3), min_size=1, max_size=8),
    st.integers(1, 8),
    st.integers(0, 30),
    st.integers(1, 30),
)
def test_paces_are_sums_tick_by_tick(rates, period, tick, work):
    period = min(period, len(rates))
    rates[-1] = max(rates[-1], 1)
    pace = Pace.of(np.array(rates), period)

    def rate(at):
        return rates[at if at < len(rates) else at - period * -(-(at - len(rates) + 1) // period)]

    done = [sum(map(rate, range(at))) for at in range(tick + 200)]
    assert pace.done_by(np.array([tick])) == done[tick]
    assert pace.reached(np.array([work])) == next(t for t, sums in enumerate(done) if sums >= work)
    first = next(t for t in range(tick, tick + 200) if rate(t))
    assert pace.first_at_work(np.array([tick])) == first


def test_a_team_that_never_works_never_ends():
    assert Pace.of(np.array([1, 0]), 1).reached(np.array([1, 2])).tolist() == [1, 2**40]


def test_what_has_begun_stays_and_people_keep_their_orders():
    people = (Person("ann", ("a",)), Person("bob", ("a",)))
    needs = (Need(("a",)),)
    tasks = (
        Task("x", 4, needs, people=("ann",), started=2),
        Task("y", 2, needs),
        Task("z", 1, needs, release=9),
    )
    instance = Instance(tasks, people)
    plan = plan_of(("x", 2, 6, ["ann"]), ("y", 6, 8, ["ann"]), ("z", 9, 10, ["bob"]))
    starts, ends = Replay(instance, plan).times(np.array([[1.0, 2, 1], [6, 3, 2]]))
    assert starts.tolist() == [[2, 3, 9], [2, 8, 9]]
    assert ends.tolist() == [[3, 5, 10], [8, 11, 11]]
