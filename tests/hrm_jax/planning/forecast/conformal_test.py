"""Conformal intervals: guarantees on made data, and levels in time order."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.planning.forecast.conformal import (
    LEVELS,
    AdaptiveLevel,
    intervals_in_order,
    likeliest,
    nested_intervals,
    split_level,
)


def _families(rng, count, spread=1.0):
    """Intervals of one and the same model, which knows nothing of single outcomes."""
    family = nested_intervals(rng.normal(0, spread, 200) + 10, np.ones(200), 1.0)
    return [family] * count


def test_split_level_covers_what_it_says_on_exchangeable_scores():
    rng = np.random.default_rng(0)
    scores = rng.exponential(size=(4000, 31))
    inside = [scores[row, 0] <= split_level(scores[row, 1:], 0.85) for row in range(len(scores))]
    # With 30 past scores the level is the 27th: 27 / 31 of new ones lie below it.
    assert np.mean(inside) == pytest.approx(27 / 31, abs=0.02)


def test_split_level_needs_enough_scores():
    assert split_level(np.arange(5.0), 0.85) == np.inf
    assert split_level(np.arange(6.0), 0.85) == 5
    assert split_level(np.array([3.0, 1.0, 2.0]), 0.5) == 2


@pytest.mark.parametrize("spread", [0.2, 1.0, 2.0])
def test_a_model_that_is_wrong_is_corrected(spread):
    rng = np.random.default_rng(1)
    outcomes, count = rng.normal(10, 1, 1200), 1200
    order = np.arange(count)
    found = intervals_in_order(
        _families(rng, count, spread), outcomes, order, order, coverage=0.85, rate=0.0
    )
    # Levels are steps, so somewhat more than wished may lie inside.
    assert 0.82 <= found.inside[200:].mean() <= 0.92


def test_the_adaptive_level_follows_a_drift_that_breaks_the_fixed_one():
    rng = np.random.default_rng(2)
    count = 1500
    outcomes = rng.normal(10, np.linspace(0.5, 2, count))
    families, order = _families(rng, count), np.arange(count)

    def coverage(rate):
        found = intervals_in_order(families, outcomes, order, order, coverage=0.85, rate=rate)
        return found.inside[300:].mean()

    assert coverage(0.0) < 0.80
    assert coverage(0.05) == pytest.approx(0.85, abs=0.03)


def test_intervals_use_no_outcome_before_it_is_known():
    rng = np.random.default_rng(3)
    outcomes, order = rng.normal(10, 1, 100), np.arange(100)
    families = _families(rng, 100)

    def lows(values, known):
        return intervals_in_order(families, values, order, known, coverage=0.85, rate=0.1).low

    changed = outcomes.copy()
    changed[60:] = rng.permutation(changed[60:]) + 100
    np.testing.assert_array_equal(lows(outcomes, order)[:61], lows(changed, order)[:61])
    assert not np.array_equal(lows(outcomes, order)[61:], lows(changed, order)[61:])
    np.testing.assert_array_equal(lows(outcomes, order + 20)[:81], lows(changed, order + 20)[:81])
    assert np.isnan(lows(outcomes, order + 20)[:27]).all()


def test_without_enough_outcomes_there_is_no_interval():
    order = np.arange(3)
    found = intervals_in_order(
        _families(np.random.default_rng(0), 3), np.ones(3), order, order, coverage=0.85, rate=0
    )
    assert np.isnan(found.low).all()
    assert found.level == np.inf
    assert not found.inside.any()


def test_the_level_stays_within_bounds():
    level = AdaptiveLevel.start(0.85, 0.5)
    for _ in range(20):
        level = level.after(False)
    assert level.current == pytest.approx(0.97)
    for _ in range(50):
        level = level.after(True)
    assert level.current == pytest.approx(0.55)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-20, 20), st.integers(1, 9)), min_size=1, max_size=30),
    st.integers(-40, 40),
    st.floats(0.5, 4),
)
def test_intervals_are_nested_and_hold_what_scores_say(pairs, outcome, scale):
    values, weights = np.array(pairs, float).T
    family = nested_intervals(values, weights, scale)
    low, high = family.ends.T
    assert (np.diff(low) <= 0).all()
    assert (np.diff(high) >= 0).all()
    for (start, stop), level in zip(family.ends, LEVELS, strict=True):
        inside = (values >= start) & (values <= stop)
        assert weights[inside].sum() >= level * weights.sum() - 1e-6
    score = family.score(outcome)
    start, stop = family.at(score)
    assert start - 1e-6 <= outcome <= stop + 1e-6
    # What the level before reaches does not hold the outcome.
    if score > LEVELS[0]:
        before = (
            max(level for level in LEVELS if level + 1e-9 < score) if score < 1 else score - 0.01
        )
        start, stop = family.at(before)
        assert not start < outcome < stop


def test_the_first_interval_is_the_shortest():
    family = nested_intervals(np.array([0.0, 5, 6, 7, 30]), np.ones(5), 1.0)
    place = int(np.argmin(np.abs(LEVELS - 0.6)))
    assert tuple(family.ends[place]) == (5, 7)


def test_the_likeliest_value_has_the_most_weight_near_it():
    values, weights = np.array([0.0, 9, 10, 11, 30]), np.array([0.3, 0.2, 0.1, 0.2, 0.2])
    assert likeliest(values, weights, 1.0) == 10
    assert likeliest(values, weights, 0.1) == 0
