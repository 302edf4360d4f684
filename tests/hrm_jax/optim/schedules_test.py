"""Learning rates at the points that define them."""

import numpy as np
import pytest

from hrm_jax.optim.schedules import warmup_cosine


@pytest.mark.parametrize(
    ("updates_done", "rate"),
    [
        (0, 0.2),  # the first update is step 1 of 10
        (4, 1.0),
        (9, 2.0),  # the peak
        (59, 2 * (0.1 + 0.9 * 0.5)),  # half-way down
        (34, 2 * (0.1 + 0.9 * (1 + np.sqrt(0.5)) / 2)),  # a quarter down
        (109, 0.2),  # the end
        (1000, 0.2),  # and ever after
    ],
)
def test_warm_up_then_cosine(updates_done, rate):
    schedule = warmup_cosine(2.0, warmup_steps=10, total_steps=110, min_ratio=0.1)
    np.testing.assert_allclose(schedule(updates_done), rate, rtol=1e-6)


def test_ratio_one_is_constant_after_the_warm_up():
    schedule = warmup_cosine(1e-4, warmup_steps=2, total_steps=100, min_ratio=1.0)
    np.testing.assert_allclose(schedule(0), 0.5e-4, rtol=1e-6)
    np.testing.assert_allclose([schedule(n) for n in (1, 50, 99, 500)], 1e-4, rtol=1e-6)


def test_without_warm_up_it_starts_near_the_peak_and_falls():
    schedule = warmup_cosine(1.0, warmup_steps=0, total_steps=100, min_ratio=0.0)
    rates = schedule(np.arange(100))
    np.testing.assert_allclose(rates[0], (1 + np.cos(np.pi / 100)) / 2, rtol=1e-6)
    assert (np.diff(rates) < 0).all()
    np.testing.assert_allclose(rates[-1], 0, atol=1e-7)


def test_a_run_may_end_with_its_warm_up():
    schedule = warmup_cosine(1.0, warmup_steps=4, total_steps=4, min_ratio=0.5)
    np.testing.assert_allclose(schedule(np.arange(4)), [0.25, 0.5, 0.75, 1.0], rtol=1e-6)


@pytest.mark.parametrize(
    ("peak", "warmup_steps", "total_steps", "min_ratio"),
    [(-1, 0, 1, 1), (1, -1, 1, 1), (1, 2, 1, 1), (1, 0, 1, -0.1), (1, 0, 1, 1.1)],
)
def test_impossible_numbers_are_refused(peak, warmup_steps, total_steps, min_ratio):
    with pytest.raises(ValueError, match="warmup_cosine expects"):
        warmup_cosine(peak, warmup_steps=warmup_steps, total_steps=total_steps, min_ratio=min_ratio)
