"""Blocks of queries and keys, and which pairs of them a mask leaves any work in."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int

from hrm_kernels.mask import KeyRanges


def cdiv(size: int, block: int) -> int:
    """Returns how many blocks cover `size`."""
    return -(-size // block)


def query_block_ranges(
    ranges: KeyRanges, block_q: int
) -> tuple[Int[Array, "B Q"], Int[Array, "B Q"]]:
    """Returns first and one past the last key that any query of a block attends to; (0, 0) for none.

    Args:
      ranges: the mask.
      block_q: queries in a block; the last of the Q blocks may be shorter.
    """
    alive = ranges.first < ranges.end
    largest = jnp.iinfo(jnp.int32).max
    first = _by_block(jnp.where(alive, ranges.first, largest), block_q, largest).min(-1)
    end = _by_block(jnp.where(alive, ranges.end, 0), block_q, 0).max(-1)
    return jnp.where(end > 0, first, 0), end


def key_block_bounds(
    ranges: KeyRanges, block_q: int, block_k: int
) -> tuple[Int[Array, "B Q"], Int[Array, "B Q"]]:
    """Returns the blocks of keys that each block of queries needs, `first <= block < end`."""
    first, end = query_block_ranges(ranges, block_q)
    return first // block_k, -(-end // block_k)


def query_block_bounds(
    ranges: KeyRanges, S: int, block_q: int, block_k: int
) -> tuple[Int[Array, "B J"], Int[Array, "B J"]]:
    """Returns the blocks of queries that each of the J blocks of keys needs, `first <= block < end`.

    Every block that has work lies within; with a mask that is not monotone in the position (several
    rows of a batch apart, none of `Mask`'s is) a block within may have none.
    """
    needed = needed_blocks(ranges, S, block_q, block_k)
    Q = needed.shape[1]
    some = needed.any(1)
    first = jnp.argmax(needed, axis=1).astype(jnp.int32)
    end = Q - jnp.argmax(needed[:, ::-1], axis=1).astype(jnp.int32)
    return jnp.where(some, first, 0), jnp.where(some, end, 0)


def needed_blocks(ranges: KeyRanges, S: int, block_q: int, block_k: int) -> Bool[Array, "B Q J"]:
    """Returns whether any query of a block attends to any key of a block."""
    first, end = key_block_bounds(ranges, block_q, block_k)
    block = jnp.arange(cdiv(S, block_k), dtype=jnp.int32)[None, None]
    return (first[..., None] <= block) & (block < end[..., None])


def whole_query_block_bounds(
    ranges: KeyRanges, S: int, block_q: int, block_k: int
) -> tuple[Int[Array, "B J"], Int[Array, "B J"]]:
    """Returns blocks of queries that see all of a block of keys, `first <= block < end`.

    They need no mask. Of several runs of such blocks, the first one is returned; (0, 0) for none.
    """
    T = ranges.first.shape[1]
    largest = jnp.iinfo(jnp.int32).max
    # The last block, if shorter, is filled with queries that see nothing.
    first = _by_block(ranges.first, block_q, largest).max(-1)
    end = _by_block(jnp.where(ranges.first < ranges.end, ranges.end, 0), block_q, 0).min(-1)
    begin = jnp.arange(cdiv(S, block_k), dtype=jnp.int32) * block_k
    stop = jnp.minimum(begin + block_k, S)
    whole = (first[..., None] <= begin[None, None]) & (stop[None, None] <= end[..., None])
    Q = cdiv(T, block_q)
    block = jnp.arange(Q, dtype=jnp.int32)[None, :, None]
    run_first = jnp.min(jnp.where(whole, block, Q), axis=1)
    after = (block >= run_first[:, None]) & ~whole
    run_end = jnp.min(jnp.where(after, block, Q), axis=1)
    some = run_first < Q
    return jnp.where(some, run_first, 0), jnp.where(some, run_end, 0)


def _by_block(values: Int[Array, "B T"], block: int, filler: int) -> Int[Array, "B Q block"]:
    """Returns rows cut into blocks, the last one filled up."""
    B, T = values.shape
    short = cdiv(T, block) * block - T
    padded = jax.lax.pad(values, jnp.int32(filler), [(0, 0, 0), (0, short, 0)])
    return padded.reshape(B, -1, block)
