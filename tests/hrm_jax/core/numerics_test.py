"""Stablemax scores and the arc tangent."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.core.numerics import arctan2_right, stablemax_scores

MAGNITUDES = np.concatenate([[0, 1], np.logspace(-8, 12, 201)]).astype(np.float32)
LOGITS = np.concatenate([MAGNITUDES, -MAGNITUDES])
EPSILON = float(np.finfo(np.float32).eps)


def published_scores(x: np.ndarray) -> np.ndarray:
    """As in the originals, in float64."""
    x = x.astype(np.float64)
    return np.where(x < 0, 1 / (1 - x + 1e-30), x + 1)


def test_equal_the_published_scores():
    """Two operations, each rounded to half an epsilon."""
    np.testing.assert_allclose(stablemax_scores(LOGITS), published_scores(LOGITS), rtol=EPSILON)


def test_are_one_at_zero_and_two_at_one():
    np.testing.assert_array_equal(stablemax_scores(jnp.array([0.0, -0.0, 1.0])), [1, 1, 2])


def test_are_positive_and_never_decrease():
    scores = np.asarray(stablemax_scores(np.sort(LOGITS)))
    assert (scores > 0).all()
    assert (np.diff(scores) >= 0).all()


def test_the_slope_is_right_everywhere_and_one_at_zero():
    slopes = jax.vmap(jax.grad(stablemax_scores))(LOGITS)
    expected = np.where(LOGITS < 0, (1 + np.abs(LOGITS.astype(np.float64))) ** -2, 1)
    np.testing.assert_allclose(slopes, expected, rtol=4 * EPSILON)
    np.testing.assert_array_equal(slopes[LOGITS == 0], 1)


def test_keep_the_dtype():
    assert stablemax_scores(jnp.zeros(2, jnp.bfloat16)).dtype == jnp.bfloat16


def test_arctan2_right_is_within_4_epsilons_of_float64():
    rng = np.random.default_rng(0)
    y = (rng.standard_normal(200_000) * 10.0 ** rng.uniform(-30, 10, 200_000)).astype(np.float32)
    x = np.abs(y * 10.0 ** rng.uniform(-9, 9, y.shape)).astype(np.float32)
    expected = np.arctan2(y.astype(np.float64), x.astype(np.float64))
    error = np.abs(arctan2_right(jnp.asarray(y), jnp.asarray(x)) - expected)
    normal = np.abs(expected) > np.finfo(np.float32).tiny
    assert (error[normal] / np.abs(expected[normal])).max() <= 4 * np.finfo(np.float32).eps


@pytest.mark.parametrize(
    ("y", "x", "expected"),
    [
        (0.0, 0.0, 0.0),
        (0.0, 2.0, 0.0),
        (3.0, 0.0, np.pi / 2),
        (-3.0, 0.0, -np.pi / 2),
        (1.0, 1.0, np.pi / 4),
        (-1.0, 1.0, -np.pi / 4),
    ],
)
def test_arctan2_right_on_the_axes_and_the_diagonal(y, x, expected):
    found = arctan2_right(jnp.float32(y), jnp.float32(x))
    np.testing.assert_allclose(found, expected, rtol=2e-7)
