"""Root-mean-square normalisation."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.nn.norm import RMSNorm, rms_norm

X = np.random.default_rng(0).standard_normal((3, 4, 5)).astype(np.float32)


@pytest.mark.parametrize("axis", [-1, 1])
def test_equals_float64(axis):
    wide = X.astype(np.float64)
    expected = wide / np.sqrt((wide**2).mean(axis, keepdims=True) + 1e-5)
    # A mean of squares, a root and a product: a few half epsilons of float32.
    np.testing.assert_allclose(rms_norm(jnp.asarray(X), eps=1e-5, axis=axis), expected, rtol=1e-6)


def test_result_has_mean_square_one():
    normal = rms_norm(jnp.asarray(X), eps=1e-12)
    np.testing.assert_allclose(np.square(normal).mean(-1), np.ones((3, 4)), rtol=1e-6)


def test_epsilon_keeps_zeros_finite_in_value_and_gradient():
    zeros = jnp.zeros((1, 4))
    np.testing.assert_array_equal(rms_norm(zeros, eps=1e-5), zeros)
    gradient = jax.grad(lambda x: rms_norm(x, eps=1e-5)[0, 0])(zeros)
    np.testing.assert_allclose(gradient[0], [1e-5**-0.5, 0, 0, 0], rtol=1e-6)


def test_bfloat16_is_computed_in_float32_and_rounded_once():
    narrow = jnp.asarray(X, jnp.bfloat16)
    found = rms_norm(narrow, eps=1e-5)
    assert found.dtype == jnp.bfloat16
    expected = rms_norm(narrow.astype(jnp.float32), eps=1e-5).astype(jnp.bfloat16)
    np.testing.assert_array_equal(found, expected)
    large = jnp.full((1, 4), 1e30, jnp.bfloat16) * jnp.bfloat16(1e-20)  # its square needs float32
    np.testing.assert_array_equal(rms_norm(large, eps=1e-5), jnp.ones((1, 4), jnp.bfloat16))


def test_a_learned_scale_starts_at_one_and_multiplies_the_normalised():
    norm = RMSNorm(5, eps=1e-5)
    normal = rms_norm(jnp.asarray(X), eps=1e-5)
    np.testing.assert_array_equal(norm(jnp.asarray(X)), normal)
    scale = np.linspace(-1, 2, 5, dtype=np.float32)
    norm.scale[...] = jnp.asarray(scale)
    np.testing.assert_array_equal(norm(jnp.asarray(X)), np.asarray(normal) * scale)
    assert norm(jnp.asarray(X, jnp.bfloat16)).dtype == jnp.bfloat16
