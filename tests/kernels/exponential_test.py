"""Powers of two."""

import jax
import numpy as np

from hrm_kernels.exponential import exp2

EPSILON = np.finfo(np.float32).eps


def test_powers_are_within_two_epsilons_over_the_whole_range():
    x = np.linspace(-126, 126.9, 1_000_003).astype(np.float32)
    exact = 2.0 ** x.astype(np.float64)
    assert np.abs(jax.jit(exp2)(x) / exact - 1).max() <= 2 * EPSILON


def test_powers_of_integers_are_exact():
    x = np.arange(-126, 127).astype(np.float32)
    np.testing.assert_array_equal(jax.jit(exp2)(x), np.exp2(x))


def test_what_float32_cannot_hold_is_zero_and_nan_stays():
    payload = np.uint32(0x7FC00001).view(np.float32)  # whose lowest bit must not reach the sign
    x = np.array([-np.inf, -1e30, -127, -126.001, np.nan, -np.nan, payload], np.float32)
    np.testing.assert_array_equal(jax.jit(exp2)(x), [0, 0, 0, 0, np.nan, np.nan, np.nan])
