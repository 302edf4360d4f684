"""Bounds of blocks against a count over the dense mask."""

import jax.numpy as jnp
import numpy as np
import pytest

from hrm_kernels import blocks, cases, reference
from hrm_kernels.mask import KeyRanges, key_ranges

B = 3
SIZES = [(1, 1, 4, 4), (40, 40, 8, 8), (40, 40, 16, 8), (13, 40, 8, 16), (37, 41, 8, 16)]


def work(mask, T: int, S: int, block_q: int, block_k: int) -> np.ndarray:
    """Which pairs of blocks have an allowed pair, [B, Q, J]."""
    pairs = reference.allowed(mask, B, T, S)
    pairs = np.pad(pairs, [(0, 0), (0, -T % block_q), (0, -S % block_k)])
    Q = pairs.shape[1] // block_q
    J = pairs.shape[2] // block_k
    return pairs.reshape(B, Q, block_q, J, block_k).any((2, 4))


def within(first, end, blocks_number: int) -> np.ndarray:
    """Bounds spelt out along a last axis."""
    index = np.arange(blocks_number)
    return (np.asarray(first)[..., None] <= index) & (index < np.asarray(end)[..., None])


@pytest.mark.parametrize("kind", [kind for kind in cases.MASKS if kind != "full"])
@pytest.mark.parametrize(("T", "S", "block_q", "block_k"), SIZES)
def test_bounds_hold_all_work(kind, T, S, block_q, block_k):
    mask = cases.make_mask(kind, np.random.default_rng(T), B, T, S)
    ranges = key_ranges(mask, B, T, S)
    needed = work(mask, T, S, block_q, block_k)
    Q, J = needed.shape[1:]
    keys = within(*blocks.key_block_bounds(ranges, block_q, block_k), J)
    assert not (needed & ~keys).any()
    assert not (needed.any(2) ^ keys.any(2)).any()  # a block of dead queries has empty bounds
    np.testing.assert_array_equal(blocks.needed_blocks(ranges, S, block_q, block_k), keys)
    queries = within(*blocks.query_block_bounds(ranges, S, block_q, block_k), Q)
    assert not (needed.swapaxes(1, 2) & ~queries).any()


@pytest.mark.parametrize("kind", [kind for kind in cases.MASKS if kind != "full"])
@pytest.mark.parametrize(("T", "S", "block_q", "block_k"), SIZES)
def test_whole_blocks_need_no_mask(kind, T, S, block_q, block_k):
    mask = cases.make_mask(kind, np.random.default_rng(T), B, T, S)
    pairs = reference.allowed(mask, B, T, S)
    # Keys that do not exist take no part; queries that do not exist make a block not whole.
    pairs = np.pad(pairs, [(0, 0), (0, -T % block_q), (0, 0)])
    pairs = np.pad(pairs, [(0, 0), (0, 0), (0, -S % block_k)], constant_values=True)
    Q = pairs.shape[1] // block_q
    J = pairs.shape[2] // block_k
    whole = pairs.reshape(B, Q, block_q, J, block_k).all((2, 4)).swapaxes(1, 2)
    ranges = key_ranges(mask, B, T, S)
    first, end = map(np.asarray, blocks.whole_query_block_bounds(ranges, S, block_q, block_k))
    found = within(first, end, Q)
    assert not (found & ~whole).any()
    np.testing.assert_array_equal(found.any(2), whole.any(2))
    beyond = np.take_along_axis(whole, np.minimum(end, Q - 1)[..., None], 2)[..., 0]
    assert not (beyond & found.any(2) & (end < Q)).any()  # the run is as long as it can be


@pytest.mark.parametrize("kind", [kind for kind in cases.MASKS if kind != "full"])
@pytest.mark.parametrize(("T", "S", "block_q", "block_k"), SIZES)
def test_key_blocks_that_all_queries_see_whole_are_those(kind, T, S, block_q, block_k):
    mask = cases.make_mask(kind, np.random.default_rng(T), B, T, S)
    # Neither keys nor queries that do not exist belong to a whole block.
    pairs = reference.allowed(mask, B, T, S)
    pairs = np.pad(pairs, [(0, 0), (0, -T % block_q), (0, -S % block_k)])
    Q = pairs.shape[1] // block_q
    J = pairs.shape[2] // block_k
    whole = pairs.reshape(B, Q, block_q, J, block_k).all((2, 4))
    bounds = blocks.whole_key_block_bounds(key_ranges(mask, B, T, S), block_q, block_k)
    np.testing.assert_array_equal(within(*bounds, J), whole)


@pytest.mark.parametrize("kind", ["causal", "causal_window", "prefix", "segments"])
def test_bounds_hold_little_more(kind):
    """Blocks within the bounds of both sides have work, whatever the kind of mask."""
    mask = cases.make_mask(kind, np.random.default_rng(1), B, 64, 64)
    needed = work(mask, 64, 64, 8, 8)
    keys = within(*blocks.key_block_bounds(key_ranges(mask, B, 64, 64), 8, 8), 8)
    np.testing.assert_array_equal(keys, needed)


def test_causal_needs_half_of_the_blocks():
    ranges = key_ranges(
        cases.make_mask("causal", np.random.default_rng(0), B, 512, 512), B, 512, 512
    )
    assert blocks.needed_blocks(ranges, 512, 8, 8)[0].sum() == 64 * 65 // 2


def test_dead_queries_need_nothing():
    ranges = KeyRanges(jnp.full((1, 8), 5, jnp.int32), jnp.full((1, 8), 5, jnp.int32))
    first, end = blocks.key_block_bounds(ranges, 4, 4)
    assert (first >= end).all()
    first, end = blocks.query_block_bounds(ranges, 8, 4, 4)
    assert (first >= end).all()


def ranges_of(*pairs):
    first, end = zip(*pairs, strict=True)
    return KeyRanges(jnp.asarray([first], jnp.int32), jnp.asarray([end], jnp.int32))


@pytest.mark.parametrize("queries", [[(0, 4), (2, 2)], [(0, 4)]], ids=["dead", "padded"])
def test_a_query_that_sees_nothing_leaves_its_block_no_keys_that_are_seen_whole(queries):
    first, end = blocks.whole_key_block_bounds(ranges_of(*queries), 2, 1)
    assert first[0, 0] >= end[0, 0]


def test_query_blocks_end_where_none_needs_the_keys_any_more():
    ranges = ranges_of((0, 2), (0, 2), (4, 6), (4, 6))
    first, end = blocks.query_block_bounds(ranges, 6, 2, 2)
    assert first.tolist() == [[0, 0, 1]]
    assert end.tolist() == [[1, 0, 2]]


def test_parts_of_the_keys_join_to_the_whole():
    rng = np.random.default_rng(0)
    # Two parts of three keys each; the last query sees none.
    scores = rng.standard_normal((2, 1, 2, 4, 3))
    scores[..., 3, :] = -np.inf
    values = rng.standard_normal((2, 1, 3, 2, 5))
    weights = np.exp(scores)
    sums = weights.sum(-1)
    with np.errstate(divide="ignore"):
        lse = np.log(sums)
    parts = np.einsum("CBNTS,CBSNK->CBTNK", weights / np.maximum(sums, 1e-30)[..., None], values)
    out, whole = blocks.joined(jnp.asarray(parts, jnp.float32), jnp.asarray(lse, jnp.float32))
    total = sums.sum(0)
    expected = np.einsum("CBNTS,CBSNK->BTNK", weights / np.maximum(total, 1e-30)[..., None], values)
    np.testing.assert_allclose(out, expected, atol=1e-5)
    np.testing.assert_allclose(np.exp(whole), total, rtol=1e-5)
