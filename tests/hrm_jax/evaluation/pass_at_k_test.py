"""pass@k against its definition, and its interval against known spreads."""

import fractions
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.evaluation.pass_at_k import estimate, pass_at_k


@st.composite
def counts(draw):
    samples = draw(st.integers(1, 200))
    k = draw(st.integers(1, samples))
    right = draw(st.lists(st.integers(0, samples), min_size=1, max_size=5))
    return samples, np.array(right), k


@given(counts())
def test_it_is_the_published_estimator(case):
    samples, right, k = case
    exact = [
        1 - fractions.Fraction(math.comb(samples - int(c), k), math.comb(samples, k)) for c in right
    ]
    np.testing.assert_allclose(pass_at_k(samples, right, k), [float(p) for p in exact], atol=1e-12)


@pytest.mark.parametrize(("samples", "right", "k"), [(5, 2, 1), (5, 2, 3), (6, 1, 4), (4, 4, 2)])
def test_it_is_the_share_of_choices_that_hold_a_right_one(samples, right, k):
    passed = [True] * right + [False] * (samples - right)
    choices = list(itertools.combinations(passed, k))
    share = sum(any(choice) for choice in choices) / len(choices)
    assert pass_at_k(samples, np.array([right]), k)[0] == pytest.approx(share, abs=1e-12)


def test_one_try_is_the_share_of_right_ones():
    value = estimate(10, np.array([0, 5, 10]), 1)
    assert value.value == pytest.approx(0.5)


def test_the_interval_is_that_of_a_mean():
    right = np.array([0, 1] * 200)  # standard error of the mean: 0.5 / 20
    value = estimate(1, right, 1, seed=3)
    assert value.low == pytest.approx(0.5 - 1.96 * 0.025, abs=0.006)
    assert value.high == pytest.approx(0.5 + 1.96 * 0.025, abs=0.006)


def test_the_interval_depends_on_the_seed_alone():
    right = np.arange(11)
    assert estimate(10, right, 3, seed=1) == estimate(10, right, 3, seed=1)
    assert estimate(10, right, 3, seed=1) != estimate(10, right, 3, seed=2)


def test_problems_that_agree_leave_no_interval():
    value = estimate(4, np.array([4, 4, 4]), 2)
    assert (value.low, value.value, value.high) == (1.0, 1.0, 1.0)


@pytest.mark.parametrize("k", [0, 4])
def test_k_is_at_most_the_samples(k):
    with pytest.raises(ValueError, match=f"k: expected 1 to 3, the samples of a problem, got {k}"):
        pass_at_k(3, np.array([1]), k)


@pytest.mark.parametrize("wrong", [-1, 4])
def test_counts_are_at_most_the_samples(wrong):
    with pytest.raises(ValueError, match=f"expected counts from 0 to 3, got {wrong}"):
        pass_at_k(3, np.array([1, wrong]), 1)


def test_no_problems_have_no_mean():
    with pytest.raises(ValueError, match="at least one problem"):
        estimate(3, np.array([], int), 1)
