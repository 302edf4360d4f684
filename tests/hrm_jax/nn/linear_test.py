"""Linear layers and the truncated normal."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hrm_jax.nn.linear import Linear, truncated_normal

SAMPLES = 200_000


@pytest.fixture(scope="module")
def samples() -> np.ndarray:
    return np.asarray(truncated_normal(jax.random.key(0), (SAMPLES,), 0.5), np.float64)


def test_samples_have_the_asked_deviation(samples):
    """The sampling error of a deviation is about std / sqrt(2 n); 5 of these are allowed."""
    error = 5 * 0.5 / np.sqrt(2 * SAMPLES)
    np.testing.assert_allclose(samples.std(), 0.5, atol=error)
    np.testing.assert_allclose(samples.mean(), 0, atol=5 * 0.5 / np.sqrt(SAMPLES))


def test_samples_are_cut_at_two_deviations_of_the_uncut_normal(samples):
    """Cutting at 2 shrinks the deviation to 0.8796, which the scale makes up for."""
    cut = 2 * 0.5 / 0.8796256610342398
    assert np.abs(samples).max() <= cut * (1 + 1e-6)
    assert np.abs(samples).max() > 0.99 * cut


def test_kernel_has_the_deviation_of_its_inputs():
    kernel = Linear(400, 100, axes=(None, None), rngs=nnx.Rngs(0)).kernel[...]
    assert kernel.shape == (400, 100)
    assert kernel.dtype == jnp.float32
    np.testing.assert_allclose(np.std(kernel), 400**-0.5, rtol=5 / np.sqrt(2 * kernel.size))


def test_applies_over_the_last_axis_in_the_dtype_of_the_input():
    layer = Linear(4, 3, axes=(None, None), rngs=nnx.Rngs(0))
    x = jnp.asarray(np.random.default_rng(0).standard_normal((2, 5, 4)), jnp.float32)
    expected = np.einsum("btd,df->btf", x, layer.kernel[...])
    np.testing.assert_allclose(layer(x), expected, rtol=1e-5, atol=1e-6)
    assert layer(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16


def test_axes_are_kept_for_sharding():
    layer = Linear(4, 3, axes=("embed", "mlp"), rngs=nnx.Rngs(0))
    assert layer.kernel.get_metadata()["axes"] == ("embed", "mlp")


def test_a_bias_is_added_in_the_dtype_of_the_input_and_split_as_the_outputs_are():
    layer = Linear(4, 3, axes=("embed", "mlp"), use_bias=True, rngs=nnx.Rngs(0))
    np.testing.assert_array_equal(layer.bias[...], np.zeros(3))
    assert layer.bias.get_metadata()["axes"] == ("mlp",)
    x = jnp.ones((2, 4))
    before = layer(x)
    layer.bias[...] = jnp.asarray([1.0, 2.0, 3.0])
    np.testing.assert_allclose(layer(x) - before, [[1, 2, 3]] * 2, atol=1e-6)
    assert layer(x.astype(jnp.bfloat16)).dtype == jnp.bfloat16
