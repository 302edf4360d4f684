"""The block of decoders against its equations in NumPy float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hrm_jax.nn.decoder_block import DecoderBlock, DecoderBlockConfig

B = 2
T = 5
D = 8
N = 4
M = 2
K = 6
F = 12
TOLERANCE = 1e-5


def make_block(**fields) -> DecoderBlock:
    """A block whose scales and biases are random as well."""
    config = DecoderBlockConfig(D, N, M, K, F, norm_eps=1e-6, **fields)
    block = DecoderBlock(config, rngs=nnx.Rngs(0))
    graphdef, params = nnx.split(block)
    leaves, tree = jax.tree.flatten(params)
    keys = jax.random.split(jax.random.key(1), len(leaves))
    noisy = [x + 0.3 * jax.random.normal(k, x.shape) for x, k in zip(leaves, keys, strict=True)]
    return nnx.merge(graphdef, jax.tree.unflatten(tree, noisy))


def wide(variable: nnx.Param) -> np.ndarray:
    return np.asarray(variable[...], np.float64)


def normed(norm, x: np.ndarray) -> np.ndarray:
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * wide(norm.scale)


def linear(layer, x: np.ndarray) -> np.ndarray:
    return x @ wide(layer.kernel) + (wide(layer.bias) if layer.use_bias else 0)


def shift(query, key, value, memory):
    """A stand-in for attention that shows each operand's place, and remembers."""
    key, value = (jnp.repeat(x, N // M, axis=2) for x in (key, value))
    return jnp.roll(value, 1, axis=1) * query + 2 * key, 1 if memory is None else memory + 1


@pytest.mark.parametrize(
    "fields", [{}, {"qkv_bias": True, "out_bias": True, "mlp_bias": True}, {"qk_norm": True}]
)
def test_block_equals_its_equations(fields):
    block = make_block(**fields)
    x = np.random.default_rng(1).standard_normal((B, T, D))
    found, memory = block(jnp.asarray(x, jnp.float32), shift, 4)
    attn = block.self_attn
    qkv = linear(attn.qkv_proj, normed(block.input_layernorm, x))
    query, key, value = (
        part.reshape(B, T, -1, K) for part in np.split(qkv, [N * K, (N + M) * K], axis=-1)
    )
    if "qk_norm" in fields:
        query = normed(attn.q_norm, query)
        key = normed(attn.k_norm, key)
    key, value = (np.repeat(part, N // M, axis=2) for part in (key, value))
    mixed = np.roll(value, 1, axis=1) * query + 2 * key
    expected = x + linear(attn.o_proj, mixed.reshape(B, T, -1))
    hidden = normed(block.post_attention_layernorm, expected)
    gate, up = np.split(linear(block.mlp.gate_up_proj, hidden), 2, -1)
    expected = expected + linear(block.mlp.down_proj, gate / (1 + np.exp(-gate)) * up)
    np.testing.assert_allclose(found, expected, rtol=0, atol=TOLERANCE * np.abs(expected).max())
    assert memory == 5


def test_bfloat16_stays_bfloat16():
    found, _ = make_block()(jnp.ones((B, T, D), jnp.bfloat16), shift)
    assert found.dtype == jnp.bfloat16
