"""Gated blocks and their stack against their equations in NumPy float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hrm_jax.nn.gated_stack import GatedBlockConfig, GatedStack

B = 2
T = 5
D = 8
N = 2
K = 6
F = 12
CONFIG = GatedBlockConfig(features=D, num_heads=N, head_size=K, width=F, norm_eps=1e-6)
TOLERANCE = 1e-5


def wide(variable: nnx.Param) -> np.ndarray:
    return np.asarray(variable[...], np.float64)


def rms(x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def shift(query, key, value, memory):
    """A stand-in for attention that shows each operand's place, and remembers."""
    memory = 1 if memory is None else memory + 1
    return jnp.roll(value, 1, axis=1) * query + 2 * key, memory


def block(layer, x: np.ndarray) -> np.ndarray:
    gqkv = rms(x) @ wide(layer.attn.gqkv_proj.kernel)
    gate, query, key, value = np.split(gqkv, 4, -1)
    mixed = np.roll(value, 1, axis=1) * query + 2 * key
    x = x + (sigmoid(gate) * mixed) @ wide(layer.attn.o_proj.kernel)
    gate, up = np.split(rms(x) @ wide(layer.mlp.gate_up_proj.kernel), 2, -1)
    return x + (gate * sigmoid(gate) * up) @ wide(layer.mlp.down_proj.kernel)


@pytest.mark.parametrize("layers", [1, 3])
def test_stack_equals_its_equations(layers):
    stack = GatedStack(CONFIG, layers, rngs=nnx.Rngs(0))
    hidden, injection = np.random.default_rng(1).standard_normal((2, B, T, D))
    found, memory = stack(*(jnp.asarray(x, jnp.float32) for x in (hidden, injection)), shift)
    expected = hidden + injection
    for layer in stack.layers:
        expected = block(layer, expected)
    np.testing.assert_allclose(found, rms(expected), rtol=0, atol=TOLERANCE)
    assert memory == (1,) * layers


def test_attention_sees_heads_side_by_side():
    seen = []

    def attend(query, key, value, memory):
        seen.append((query, key, value))
        return value, memory

    stack = GatedStack(CONFIG, 1, rngs=nnx.Rngs(0))
    x = jax.random.normal(jax.random.key(0), (B, T, D))
    stack(x, jnp.zeros_like(x), attend)
    normed = rms(np.asarray(x, np.float64))
    for place, found in enumerate(seen[0], start=1):
        kernel = wide(stack.layers[0].attn.gqkv_proj.kernel)[:, place * N * K :][:, : N * K]
        assert found.shape == (B, T, N, K)
        np.testing.assert_allclose(found.reshape(B, T, -1), normed @ kernel, atol=TOLERANCE)


def test_each_layer_has_its_own_memory_and_none_may_be_missing():
    stack = GatedStack(CONFIG, 3, rngs=nnx.Rngs(0))
    x = jnp.ones((B, T, D))
    assert stack(x, x, shift, (10, 20, 30))[1] == (11, 21, 31)
    with pytest.raises(ValueError, match="shorter"):
        stack(x, x, shift, (10, 20))


def test_bfloat16_stays_bfloat16():
    stack = GatedStack(CONFIG, 1, rngs=nnx.Rngs(0))
    x = jnp.ones((B, T, D), jnp.bfloat16)
    assert stack(x, x, shift)[0].dtype == jnp.bfloat16
