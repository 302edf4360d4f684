"""Rotary positions against complex numbers."""

import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.nn.rope import RopeScaling, rope_table, rotate_at
from hrm_kernels.operands import rotate

RNG = np.random.default_rng(0)


def rotated(x: np.ndarray, theta: float) -> np.ndarray:
    """Each pair (x[i], x[i + K/2]) as a complex number, turned by its position; float64."""
    _, length, _, head_size = x.shape
    half = head_size // 2
    pairs = x[..., :half] + 1j * x[..., half:]
    frequency = theta ** (-np.arange(half) / half)
    turns = np.exp(1j * np.arange(length)[:, None] * frequency)
    pairs = pairs * turns[None, :, None, :]
    return np.concatenate([pairs.real, pairs.imag], -1)


@pytest.mark.parametrize("head_size", [2, 16, 64])
def test_is_a_rotation_of_complex_pairs(head_size):
    x = RNG.standard_normal((2, 97, 3, head_size)).astype(np.float32)
    found = rotate(jnp.asarray(x), rope_table(97, head_size, 1e4))
    # Angles up to 96 radians are rounded in float32, to 96 * 6e-8.
    np.testing.assert_allclose(found, rotated(x.astype(np.float64), 1e4), rtol=0, atol=4e-5)


def test_position_zero_stays():
    x = jnp.asarray(RNG.standard_normal((1, 1, 2, 8)), jnp.float32)
    np.testing.assert_array_equal(rotate(x, rope_table(1, 8, 1e4)), x)


def test_scores_depend_on_the_distance_alone():
    query, key = RNG.standard_normal((2, 8))
    length = 12
    turned_query, turned_key = (
        np.asarray(
            rotate(
                jnp.broadcast_to(jnp.asarray(x, jnp.float32)[None, None, None], (1, length, 1, 8)),
                rope_table(length, 8, 1e4),
            )
        )[0, :, 0]
        for x in (query, key)
    )
    scores = turned_query @ turned_key.T
    for distance in range(-length + 1, length):
        diagonal = np.diagonal(scores, distance)
        np.testing.assert_allclose(diagonal, np.full_like(diagonal, diagonal[0]), atol=1e-5)
    assert np.ptp(scores) > 0.1  # and they do depend on it


def test_keeps_the_dtype_and_is_rounded_once():
    x = jnp.asarray(RNG.standard_normal((1, 5, 1, 8)), jnp.bfloat16)
    table = rope_table(5, 8, 1e4)
    expected = rotate(x.astype(jnp.float32), table).astype(jnp.bfloat16)
    np.testing.assert_array_equal(rotate(x, table), expected)


def test_table_is_float32():
    table = rope_table(3, 4, 1e4)
    assert table.cos.dtype == table.sin.dtype == np.float32
    assert table.cos.shape == table.sin.shape == (3, 4)


def test_rotation_at_any_position_is_that_of_the_whole():
    x = jnp.asarray(RNG.standard_normal((2, 9, 3, 8)), jnp.float32)
    table = rope_table(9, 8, 1e4)
    whole = rotate(x, table)
    positions = jnp.asarray([[4, 5], [0, 8]])
    rows = jnp.arange(2)[:, None]
    np.testing.assert_array_equal(
        rotate_at(x[rows, positions], table, positions), whole[rows, positions]
    )


def test_rotation_beyond_the_table_takes_its_last_row():
    x = jnp.asarray(RNG.standard_normal((1, 1, 2, 8)), jnp.float32)
    table = rope_table(3, 8, 1e4)
    beyond, last = (rotate_at(x, table, jnp.asarray([[position]])) for position in (7, 2))
    np.testing.assert_array_equal(beyond, last)


def test_rotation_keeps_the_dtype():
    x = jnp.ones((1, 1, 2, 8), jnp.bfloat16)
    assert rotate_at(x, rope_table(3, 8, 1e4), jnp.zeros((1, 1), jnp.int32)).dtype == jnp.bfloat16


def test_linear_scaling_slows_positions_down():
    half = rope_table(5, 8, 1e4, RopeScaling("linear", 2.0))
    whole = rope_table(5, 8, 1e4)
    np.testing.assert_allclose(half.cos[::2], whole.cos[:3], rtol=0, atol=1e-6)


def test_llama3_scaling_keeps_fast_turns_and_slows_slow_ones():
    scaling = RopeScaling("llama3", 8.0, low_turns=1.0, high_turns=4.0, original_length=100)
    turns = np.asarray([50.0, 4.0, 2.5, 1.0, 0.01])
    found = scaling.divisors(turns * 2 * np.pi / 100)
    np.testing.assert_allclose(found, [1, 1, 1 / (0.5 + 0.5 / 8), 8, 8])
