"""What stands in the place of arrays: whole values, and products of rows in several formats."""

import jax.numpy as jnp
import numpy as np
import pytest

import hrm_kernels
from hrm_jax.nn.quantized import ExactScale, QuantizedWeights

MATRIX = np.random.default_rng(0).standard_normal((48, 64)).astype(np.float32)


def test_elements_are_not_read_one_by_one():
    weights = QuantizedWeights((hrm_kernels.quantize(np.eye(32, dtype=np.float32), 8),))
    assert weights[...] is weights
    with pytest.raises(TypeError, match="no elements"):
        weights[0]
    with pytest.raises(TypeError, match="no elements"):
        ExactScale(jnp.ones(3))[0]
    two = QuantizedWeights(weights.parts * 2)
    assert two.product(jnp.ones((2, 1, 32))).shape == (2, 1, 64)
    with pytest.raises(ValueError, match="in one format, got 2"):
        two.look_up(jnp.asarray([0]))


def test_rows_in_several_formats_are_one_matrix():
    parts = hrm_kernels.quantize(MATRIX[:16], 4), hrm_kernels.quantize(MATRIX[16:], 8)
    x = jnp.asarray(MATRIX[:3])
    whole = np.concatenate([hrm_kernels.dequantize(part) for part in parts])
    found = QuantizedWeights(parts).product(x)
    np.testing.assert_allclose(found, np.asarray(x) @ whole.T, atol=0.3)
    looked_up = QuantizedWeights(parts[1:]).look_up(jnp.asarray([3, 0]))
    np.testing.assert_array_equal(looked_up, whole[[19, 16]])


def test_a_scale_norms():
    found = ExactScale(jnp.full(64, 2.0)).norm(jnp.asarray(MATRIX), 1e-6)
    sizes = np.sqrt((np.asarray(found) ** 2).mean(-1))
    np.testing.assert_allclose(sizes, 2, rtol=1e-5)
