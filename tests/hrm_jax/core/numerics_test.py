"""Stablemax scores."""

import jax
import jax.numpy as jnp
import numpy as np

from hrm_jax.core.numerics import stablemax_scores

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
