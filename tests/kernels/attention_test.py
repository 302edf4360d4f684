"""Attention against the NumPy float64 reference."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

import kernels
from kernels import reference

# Epsilons of the largest entry. Sums and exponentials are float32, so the half precisions lose no
# more than the rounding of the weights and of the result: measured 0.9; float32 itself: 4.6.
ROUNDINGS = {"float32": 8, "bfloat16": 1.5, "float16": 1.5}
attention = jax.jit(kernels.attention, static_argnames="scale")
LENGTHS = [1, 7, 82, 97, 129]
HEAD_SIZES = [16, 32, 64]


def operands(length: int, head_size: int, dtype: str, keys: int | None = None):
    """Query, key, value and a cotangent: standard normal, rounded to `dtype`."""
    rng = np.random.default_rng(length + head_size)
    query = (2, length, 2, head_size)
    key = (2, keys or length, 2, head_size)
    return tuple(
        jnp.asarray(rng.standard_normal(shape), dtype) for shape in (query, key, key, query)
    )


def assert_rounded(found, expected, dtype: str) -> None:
    tolerance = ROUNDINGS[dtype] * float(jnp.finfo(dtype).eps) * np.abs(expected).max()
    np.testing.assert_allclose(np.asarray(found, np.float64), expected, rtol=0, atol=tolerance)


def float64_gradients(query, key, value, cotangent):
    """The gradients by the textbook's formulas, in NumPy float64."""
    query, key, value, cotangent = (
        np.asarray(x, np.float64) for x in (query, key, value, cotangent)
    )
    scale = query.shape[-1] ** -0.5
    scores = scale * np.einsum("BTNK,BSNK->BNTS", query, key)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    weights_grad = np.einsum("BTNK,BSNK->BNTS", cotangent, value)
    inner = (weights_grad * weights).sum(-1, keepdims=True)
    scores_grad = scale * weights * (weights_grad - inner)
    return (
        np.einsum("BNTS,BSNK->BTNK", scores_grad, key),
        np.einsum("BNTS,BTNK->BSNK", scores_grad, query),
        np.einsum("BNTS,BTNK->BSNK", weights, cotangent),
    )


@pytest.mark.parametrize("dtype", ROUNDINGS)
@pytest.mark.parametrize("length", LENGTHS)
def test_equals_the_reference_at_every_length(length, dtype):
    query, key, value, _ = operands(length, 32, dtype)
    found = attention(query, key, value)
    assert found.dtype == query.dtype
    assert_rounded(found, reference.attention(query, key, value), dtype)


@pytest.mark.parametrize("dtype", ROUNDINGS)
@pytest.mark.parametrize("head_size", HEAD_SIZES)
def test_equals_the_reference_at_every_head_size(head_size, dtype):
    query, key, value, _ = operands(17, head_size, dtype)
    found = attention(query, key, value)
    assert_rounded(found, reference.attention(query, key, value), dtype)


@pytest.mark.parametrize("dtype", ROUNDINGS)
@pytest.mark.parametrize(("length", "head_size"), [(1, 16), (7, 64), (82, 32), (129, 16)])
def test_gradients_equal_float64(length, head_size, dtype):
    *arrays, cotangent = operands(length, head_size, dtype)

    @jax.jit
    def gradients(arrays, cotangent):
        return jax.vjp(kernels.attention, *arrays)[1](cotangent)

    found, expected = gradients(arrays, cotangent), float64_gradients(*arrays, cotangent)
    for ours, theirs in zip(found, expected, strict=True):
        assert ours.dtype == dtype
        assert_rounded(ours, theirs, dtype)


def test_float64_gradients_are_the_slopes_of_the_reference():
    """Central differences along a random direction; their error is of the order of step^2."""
    *arrays, cotangent = (np.asarray(x, np.float64) for x in operands(7, 16, "float32"))
    directions = [np.random.default_rng(i).standard_normal(x.shape) for i, x in enumerate(arrays)]
    step = 1e-5

    def loss(sign):
        moved = (x + sign * step * d for x, d in zip(arrays, directions, strict=True))
        return (reference.attention(*moved) * cotangent).sum()

    slope = (loss(1) - loss(-1)) / (2 * step)
    gradients = float64_gradients(*arrays, cotangent)
    expected = sum((g * d).sum() for g, d in zip(gradients, directions, strict=True))
    np.testing.assert_allclose(slope, expected, rtol=1e-7)


def test_queries_and_keys_may_differ_in_number():
    query, key, value, _ = operands(5, 16, "float32", keys=9)
    assert_rounded(attention(query, key, value), reference.attention(query, key, value), "float32")


def test_scale_replaces_the_default():
    query, key, value, _ = operands(7, 16, "float32")
    found = attention(query, key, value, scale=0.7)
    assert_rounded(found, reference.attention(query, key, value, scale=0.7), "float32")
    default = attention(query, key, value)
    np.testing.assert_array_equal(attention(query, key, value, scale=0.25), default)
    assert np.abs(found - default).max() > 0.01


def test_large_scores_do_not_overflow():
    query, key, value, _ = operands(7, 16, "float32")
    found = attention(1e4 * query, key, value)
    assert_rounded(found, reference.attention(1e4 * query, key, value), "float32")


def test_is_the_same_inside_jit_vmap_and_scan():
    query, key, value, _ = operands(7, 16, "float32")
    expected = jax.jit(kernels.attention)(query, key, value)
    mapped = jax.vmap(kernels.attention)(*(x[:, None] for x in (query, key, value)))[:, 0]
    assert_rounded(mapped, np.asarray(expected, np.float64), "float32")
    _, scanned = jax.lax.scan(
        lambda _, x: (None, attention(*x)), None, [x[None] for x in (query, key, value)]
    )
    assert_rounded(scanned[0], np.asarray(expected, np.float64), "float32")


def test_reference_is_an_average_by_hand():
    """Two keys whose scores differ by log 3 weigh 1/4 and 3/4."""
    query = np.ones((1, 1, 1, 1))
    key = np.array([0.0, np.log(3)]).reshape(1, 2, 1, 1)
    value = np.array([4.0, 8.0]).reshape(1, 2, 1, 1)
    np.testing.assert_allclose(reference.attention(query, key, value)[0, 0, 0, 0], 7, rtol=1e-15)


@pytest.mark.parametrize(
    ("shapes", "message"),
    [
        (((2, 3, 4), (2, 3, 4), (2, 3, 4)), r"expects query \[B, T, N, K\]"),
        (((2, 3, 1, 4), (2, 3, 1, 4), (2, 5, 1, 4)), "equal in B, N and K, and in S"),
        (((1, 3, 1, 4), (2, 3, 1, 4), (2, 3, 1, 4)), "equal in B, N and K, and in S"),
        (((2, 3, 1, 8), (2, 3, 1, 4), (2, 3, 1, 4)), "equal in B, N and K, and in S"),
        (((2, 3, 2, 4), (2, 3, 1, 4), (2, 3, 1, 4)), "equal in B, N and K, and in S"),
    ],
)
def test_shapes_that_do_not_fit_are_refused(shapes, message):
    with pytest.raises(ValueError, match=message):
        attention(*(jnp.zeros(shape) for shape in shapes))


@pytest.mark.parametrize("dtypes", [("float32", "bfloat16", "float32"), ("int32",) * 3])
def test_dtypes_that_do_not_fit_are_refused(dtypes):
    with pytest.raises(ValueError, match=r"one floating dtype .*: cast them first"):
        attention(*(jnp.zeros((1, 2, 1, 4), dtype) for dtype in dtypes))
