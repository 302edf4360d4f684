"""Blocks against their equations in NumPy float64."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hrm_jax.nn.attention import SelfAttention
from hrm_jax.nn.block import Block, BlockConfig, BlockStack
from hrm_jax.nn.swiglu import swiglu_width

B = 2
L = 7
D = 8
N = 2
K = D // N
ATTENTION = BlockConfig(
    features=D,
    num_heads=N,
    expansion=1.0,
    length=L,
    mixing="attention",
    rope_theta=1e4,
    norm_eps=1e-5,
)
MLP = dataclasses.replace(ATTENTION, mixing="mlp")
# States have root mean square 1; a block is some hundred float32 roundings deep.
TOLERANCE = 1e-5


def states(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((B, L, D))


def wide(variable: nnx.Param) -> np.ndarray:
    return np.asarray(variable[...], np.float64)


def rms(x: np.ndarray, axis: int = -1) -> np.ndarray:
    return x / np.sqrt((x**2).mean(axis, keepdims=True) + 1e-5)


def swiglu(layer, x: np.ndarray) -> np.ndarray:
    gate, up = np.split(x @ wide(layer.gate_up_proj.kernel), 2, -1)
    return gate / (1 + np.exp(-gate)) * up @ wide(layer.down_proj.kernel)


def rotate(x: np.ndarray) -> np.ndarray:
    """Positions as complex turns of the pairs (i, i + K/2)."""
    turns = np.exp(1j * np.arange(L)[:, None] * 1e4 ** (-np.arange(K // 2) / (K // 2)))
    pairs = (x[..., : K // 2] + 1j * x[..., K // 2 :]) * turns[None, :, None]
    return np.concatenate([pairs.real, pairs.imag], -1)


def attention(layer: SelfAttention, x: np.ndarray) -> np.ndarray:
    """One head and one query at a time."""
    qkv = (x @ wide(layer.qkv_proj.kernel)).reshape(B, L, 3, N, K)
    query, key, value = (qkv[:, :, i] for i in range(3))
    if layer.rope_theta is not None:
        query = rotate(query)
        key = rotate(key)
    out = np.zeros((B, L, N, K))
    for b, t, n in np.ndindex(B, L, N):
        scores = key[b, :, n] @ query[b, t, n] / np.sqrt(K)
        weights = np.exp(scores) / np.exp(scores).sum()
        out[b, t, n] = weights @ value[b, :, n]
    return out.reshape(B, L, D) @ wide(layer.o_proj.kernel)


def block(layer: Block, x: np.ndarray) -> np.ndarray:
    if layer.config.mixing == "attention":
        x = rms(x + attention(layer.self_attn, x))
    else:
        mixed = rms(x.swapaxes(1, 2) + swiglu(layer.mlp_t, x.swapaxes(1, 2)))
        x = mixed.swapaxes(1, 2)
    return rms(x + swiglu(layer.mlp, x))


@pytest.mark.parametrize("theta", [1e4, None], ids=["rope", "no_positions"])
def test_attention_equals_its_equation(theta):
    layer = SelfAttention(D, N, rope_theta=theta, rngs=nnx.Rngs(0))
    x = states(1)
    found = nnx.jit(layer)(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, attention(layer, x), rtol=0, atol=TOLERANCE)


def test_without_positions_attention_does_not_see_the_order():
    layer = SelfAttention(D, N, rope_theta=None, rngs=nnx.Rngs(0))
    x = jnp.asarray(states(1), jnp.float32)
    order = jnp.array([3, 0, 6, 1, 5, 2, 4])
    np.testing.assert_allclose(layer(x)[:, order], layer(x[:, order]), atol=TOLERANCE)
    rotary = SelfAttention(D, N, rope_theta=1e4, rngs=nnx.Rngs(0))
    assert np.abs(rotary(x)[:, order] - rotary(x[:, order])).max() > 1e-2


@pytest.mark.parametrize("config", [ATTENTION, MLP], ids=["attention", "mlp"])
def test_block_equals_its_equations(config):
    layer = Block(config, rngs=nnx.Rngs(0))
    x = states(1)
    found = nnx.jit(layer)(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, block(layer, x), rtol=0, atol=TOLERANCE)


def test_token_mlp_replaces_attention():
    layer = Block(MLP, rngs=nnx.Rngs(0))
    assert not hasattr(layer, "self_attn")
    assert layer.mlp_t.down_proj.kernel.shape == (256, L)


def test_module_adds_the_injection_once_and_stacks_its_blocks():
    module = BlockStack(ATTENTION, 2, rngs=nnx.Rngs(0))
    hidden = states(1)
    injection = states(2)
    found = nnx.jit(module)(*(jnp.asarray(x, jnp.float32) for x in (hidden, injection)))
    expected = hidden + injection
    for layer in module.layers:
        expected = block(layer, expected)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE)


def test_blocks_of_a_module_differ():
    first, second = BlockStack(ATTENTION, 2, rngs=nnx.Rngs(0)).layers
    for a, b in zip(
        jax.tree.leaves(nnx.state(first)), jax.tree.leaves(nnx.state(second)), strict=True
    ):
        assert (a != b).all()


def test_bfloat16_stays_bfloat16():
    layer = Block(ATTENTION, rngs=nnx.Rngs(0))
    states = jax.ShapeDtypeStruct((1, L, D), jnp.bfloat16)
    assert nnx.eval_shape(layer, states).dtype == jnp.bfloat16


def test_a_width_is_a_multiple_of_256_unless_said_otherwise():
    assert Block(ATTENTION, rngs=nnx.Rngs(0)).mlp.down_proj.kernel.shape == (256, D)
    narrow = dataclasses.replace(ATTENTION, mlp_multiple=3)
    assert Block(narrow, rngs=nnx.Rngs(0)).mlp.down_proj.kernel.shape == (swiglu_width(D, 1, 3), D)
