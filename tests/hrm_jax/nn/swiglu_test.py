"""The gated feed-forward layer."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hrm_jax.nn.swiglu import SwiGLU, swiglu_width


@pytest.mark.parametrize(
    ("features", "expansion", "width"),
    [
        (512, 4.0, 1536),  # 1365.3, the published models
        (97, 4.0, 512),  # 258.7, the token MLP of TRM on Sudoku
        (384, 1.0, 256),  # 256 exactly
        (385, 1.0, 512),  # 256.7 is rounded to 257 first
        (32, 1.0, 256),
    ],
)
def test_width(features, expansion, width):
    assert swiglu_width(features, expansion) == width


def test_width_of_narrow_layers():
    assert swiglu_width(32, 3.0, multiple=16) == 64
    assert swiglu_width(33, 3.0, multiple=16) == 80


def test_gate_comes_before_up():
    layer = SwiGLU(4, 256, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).standard_normal((2, 3, 4))
    gate_up = x @ np.asarray(layer.gate_up_proj.kernel[...], np.float64)
    assert gate_up.shape == (2, 3, 512)
    gate = gate_up[..., :256]
    up = gate_up[..., 256:]
    hidden = gate / (1 + np.exp(-gate)) * up
    expected = hidden @ np.asarray(layer.down_proj.kernel[...], np.float64)
    # Sums of 256 float32 products.
    found = nnx.jit(layer)(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5)


def _equation(x, gate_up, down):
    gate, up = jnp.split(x @ gate_up, 2, axis=-1)
    return (jax.nn.silu(gate) * up) @ down


@pytest.mark.thorough(every=3)
@pytest.mark.parametrize(
    ("dtype", "relative"),
    # Sums of some hundred products, and some roundings to the dtype in a row.
    [("float32", 2e-6), ("bfloat16", 2**-6)],
)
@pytest.mark.parametrize(("features", "width"), [(4, 8), (24, 16), (40, 256)])
def test_values_and_gradients_are_those_of_the_equation(features, width, dtype, relative):
    layer = SwiGLU(features, width, rngs=nnx.Rngs(1))
    graphdef, params = nnx.split(layer)
    rng = np.random.default_rng(2)
    x, cotangent = (jnp.asarray(rng.standard_normal((2, 5, 3, features)), dtype) for _ in range(2))
    kernels = layer.gate_up_proj.kernel[...], layer.down_proj.kernel[...]
    # Of the same rounded inputs, computed in float32.
    exact = [z.astype(dtype).astype(jnp.float32) for z in (x, *kernels)]

    value, ours = jax.vjp(lambda params, x: nnx.merge(graphdef, params)(x), params, x)
    wanted, expected = jax.vjp(_equation, *exact)
    d_params, d_x = ours(cotangent)
    found = value, d_x, *(d_params[name]["kernel"][...] for name in ("gate_up_proj", "down_proj"))
    assert value.dtype == d_x.dtype == x.dtype
    for own, other in zip(found, (wanted, *expected(cotangent.astype(jnp.float32))), strict=True):
        difference = np.asarray(own, np.float32) - np.asarray(other)
        assert np.abs(difference).max() <= relative * np.abs(other).max()


@pytest.mark.parametrize("tokens", [1023, 1024])
def test_many_tokens_and_few_take_the_same_value(tokens):
    layer = SwiGLU(8, 16, rngs=nnx.Rngs(1))
    x = jnp.asarray(np.random.default_rng(2).standard_normal((tokens, 8)), jnp.float32)
    kernels = layer.gate_up_proj.kernel[...], layer.down_proj.kernel[...]
    np.testing.assert_allclose(layer(x), _equation(x, *kernels), rtol=0, atol=2e-6)


@pytest.mark.parametrize(
    ("shape", "products"), [((2, 512, 8), 3), ((1, 1023, 8), 2), ((1023, 1, 8), 2)]
)
def test_the_tokens_of_all_axes_decide_whether_the_wide_product_is_parted(shape, products):
    layer = SwiGLU(8, 16, rngs=nnx.Rngs(1))
    program = str(jax.make_jaxpr(layer)(jnp.zeros(shape)))
    assert program.count("dot_general[") == products


def test_biases_are_added_where_they_belong():
    layer = SwiGLU(4, 8, use_bias=True, rngs=nnx.Rngs(0))
    rng = np.random.default_rng(3)
    for projection in (layer.gate_up_proj, layer.down_proj):
        projection.bias[...] = jnp.asarray(rng.standard_normal(projection.bias.shape), jnp.float32)
    x = rng.standard_normal((3, 4))
    up, down = (
        tuple(np.asarray(value[...], np.float64) for value in (p.kernel, p.bias))
        for p in (layer.gate_up_proj, layer.down_proj)
    )
    gate, wide = np.split(x @ up[0] + up[1], 2, axis=-1)
    expected = (gate / (1 + np.exp(-gate)) * wide) @ down[0] + down[1]
    np.testing.assert_allclose(layer(jnp.asarray(x, jnp.float32)), expected, rtol=0, atol=1e-5)
