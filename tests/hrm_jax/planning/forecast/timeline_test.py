"""Times of completion against closed forms."""

import numpy as np
import pytest

from hrm_jax.planning.forecast import timeline, timeline_report
from hrm_jax.planning.forecast.distributions import Distributions
from hrm_jax.planning.forecast.timeline import ListSchedule, draw_durations, simulate


def _even(tasks, values=100):
    """Tasks of durations spread evenly over 0 to 1."""
    return Distributions((np.arange(values) + 0.5) / values, np.full((tasks, values), 1 / values))


def _drawn(tasks, samples=20000, ranks=()):
    past = np.array(ranks, float).reshape(-1, 2)
    return draw_durations(_even(tasks), past, samples, np.random.default_rng(0))


def test_one_person_adds_durations():
    schedule = ListSchedule([[]] * 12, [[0]] * 12, np.zeros(1))
    found = simulate(_drawn(12), schedule)
    # Twelve even durations sum to nearly a normal variable of mean 6 and deviation 1.
    assert found.percentile(50) == pytest.approx(6, abs=0.03)
    assert found.percentile(85) == pytest.approx(6 + 1.036, abs=0.03)
    assert found.percentile(95) == pytest.approx(6 + 1.645, abs=0.04)


def test_tasks_side_by_side_end_with_the_longest():
    schedule = ListSchedule([[]] * 4, [[0], [1], [2], [3]], np.zeros(4))
    found = simulate(_drawn(4), schedule)
    for percent in (50, 85, 95):  # the largest of n even variables is below x with x^n
        expected = (percent / 100) ** (1 / 4)
        assert found.percentile(percent) == pytest.approx(expected, abs=0.012)
    assert found.in_time(0, 0.25) == pytest.approx(0.25, abs=0.012)


def test_a_task_waits_for_those_before_it_and_for_its_person():
    durations = np.array([[2.0, 3.0, 1.0, 4.0]])
    schedule = ListSchedule([[], [], [0, 1], []], [[0], [1], [0], [0, 1]], np.array([0.0, 1.0]))
    np.testing.assert_array_equal(schedule(durations), [[2, 4, 5, 8]])


def test_the_task_with_the_most_doubt_moves_the_end_most():
    durations = _drawn(3) * np.array([1.0, 5.0, 1.0])
    schedule = ListSchedule([[], [], []], [[0], [0], [1]], np.zeros(2))
    movers = simulate(durations, schedule).movers()
    assert movers.argmax() == 1
    assert movers[1] > 1
    assert abs(movers[2]) < 0.05


def test_past_errors_move_and_widen_the_sum():
    low = simulate(_drawn(20), ListSchedule([[]] * 20, [[0]] * 20, np.zeros(1)))
    # Everything took longer than nine of ten that were thought possible.
    high = _drawn(20, 500, [[0.9, 1.0]] * 60).sum(1)
    assert high.mean() == pytest.approx(20 * 0.95, abs=0.1)
    # Half of the past was all too low, half all too high: errors that go together do not cancel.
    together = _drawn(20, 2000, [[0, 0.1]] * 100 + [[0.9, 1.0]] * 100).sum(1)
    assert together.std() > 4 * low.whole.std()


def test_chance_repeats_with_its_seed_and_a_short_past_begins_again():
    first, second = (_drawn(30, 50, [[0.2, 0.4], [0.6, 0.8]]) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert ((first > 0.19) & (first < 0.81)).all()


def test_backlogs_by_past_velocity():
    rng = np.random.default_rng(0)
    np.testing.assert_array_equal(timeline.sprints_until(10, np.array([5.0]), 4, rng), [2] * 4)
    assert np.isinf(timeline.sprints_until(10, np.array([0.0]), 4, rng)).all()
    found = timeline.sprints_until(1, np.array([0.0, 1.0]), 20000, rng)
    assert np.mean(found == 1) == pytest.approx(0.5, abs=0.02)  # a geometric variable
    assert found.mean() == pytest.approx(2, abs=0.05)


def test_shares_that_held():
    held = timeline_report.summary([[True, True, True], [False, True, True]])
    assert held == timeline_report.Held(2, (0.5, 1.0, 1.0))
