"""Token embeddings and the puzzle prefix."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hrm_jax.nn.embedding import Embedding, look_up, puzzle_prefix


def test_table_has_deviation_one_over_root_of_the_features_or_as_given():
    table = np.asarray(Embedding(300, 64, rngs=nnx.Rngs(0)).table[...])
    np.testing.assert_allclose(table.std(), 1 / 8, rtol=5 / np.sqrt(2 * table.size))
    given = np.asarray(Embedding(300, 64, std=0.02, rngs=nnx.Rngs(0)).table[...])
    np.testing.assert_allclose(given, 0.16 * table, rtol=1e-5)


def test_looks_tokens_up_in_the_asked_dtype():
    embedding = Embedding(7, 4, rngs=nnx.Rngs(0))
    tokens = jnp.array([[0, 6, 3]])
    table = np.asarray(embedding.table[...])
    np.testing.assert_array_equal(embedding(tokens, jnp.dtype("float32"))[0], table[[0, 6, 3]])
    assert embedding(tokens, jnp.dtype("bfloat16")).dtype == jnp.bfloat16


@pytest.mark.parametrize("platform", ["cpu", "gpu"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_gradient_is_summed_in_float32_on_every_platform(monkeypatch, platform, dtype):
    """Of 4,000 tokens of 3 kinds, against NumPy: a bfloat16 sum would be off by a tenth."""
    monkeypatch.setattr(jax, "default_backend", lambda: platform)
    rng = np.random.default_rng(0)
    table = jnp.asarray(rng.standard_normal((3, 8)), jnp.float32)
    tokens = jnp.asarray(rng.integers(0, 3, (40, 100)), jnp.int32)
    cotangent = jnp.asarray(1 + 0.1 * rng.standard_normal((40, 100, 8)), dtype)
    rows, pullback = jax.vjp(lambda table: look_up(table, tokens, jnp.dtype(dtype)), table)
    (found,) = pullback(cotangent)
    np.testing.assert_array_equal(rows, table.astype(dtype)[tokens])
    expected = np.zeros((3, 8))
    np.add.at(expected, np.asarray(tokens), np.asarray(cotangent, np.float64))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, expected, rtol=2e-6)


def test_prefix_fills_tokens_in_order_and_pads_with_zeros():
    rows = jnp.arange(1, 11, dtype=jnp.float32).reshape(2, 5)
    expected = [[[1, 2, 3, 4], [5, 0, 0, 0]], [[6, 7, 8, 9], [10, 0, 0, 0]]]
    np.testing.assert_array_equal(puzzle_prefix(rows, 2, 4), expected)


def test_prefix_may_be_longer_than_the_row_needs():
    np.testing.assert_array_equal(puzzle_prefix(jnp.ones((1, 2)), 3, 2), [[[1, 1], [0, 0], [0, 0]]])


def test_prefix_may_be_full():
    np.testing.assert_array_equal(puzzle_prefix(jnp.ones((1, 4)), 2, 2), np.ones((1, 2, 2)))
