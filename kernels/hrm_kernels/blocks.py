"""Blocks of queries and keys, pairs of blocks in which a mask allows anything, joined results."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hrm_kernels.mask import KeyRanges


def cdiv(size: int, block: int) -> int:
    """Returns the number of blocks of size `block` that cover `size`."""
    return -(-size // block)


def query_block_ranges(
    ranges: KeyRanges, block_q: int
) -> tuple[Int[Array, "B Q"], Int[Array, "B Q"]]:
    """Returns the range of keys, first and end, that the queries of a block attend to in all.

    (0, 0) for a block whose queries have no key.

    Args:
      ranges: the mask.
      block_q: queries in a block; the last of the Q blocks may be shorter.
    """
    # Queries without keys take part in neither extreme: they count as the largest first, the least
    # end.
    alive = ranges.first < ranges.end
    largest = jnp.iinfo(jnp.int32).max
    first = _by_block(jnp.where(alive, ranges.first, largest), block_q, largest).min(-1)
    end = _by_block(jnp.where(alive, ranges.end, 0), block_q, 0).max(-1)
    return jnp.where(end > 0, first, 0), end


def key_block_bounds(
    ranges: KeyRanges, block_q: int, block_k: int
) -> tuple[Int[Array, "B Q"], Int[Array, "B Q"]]:
    """Returns the range of key blocks that each block of queries needs, `first <= block < end`."""
    # Rounded outwards: a block of which any key is needed is needed.
    first, end = query_block_ranges(ranges, block_q)
    return first // block_k, -(-end // block_k)


def whole_key_block_bounds(
    ranges: KeyRanges, block_q: int, block_k: int
) -> tuple[Int[Array, "B Q"], Int[Array, "B Q"]]:
    """Returns key blocks that every query of a block sees whole, `first <= block < end`.

    Such pairs need no mask. For none, `first >= end`.
    """
    alive = ranges.first < ranges.end
    # The last block, if shorter, is padded with queries that see nothing, and so never counts.
    first = _by_block(jnp.where(alive, ranges.first, 0), block_q, 0).max(-1)
    end = _by_block(jnp.where(alive, ranges.end, 0), block_q, 0).min(-1)
    return -(-first // block_k), end // block_k


def query_block_bounds(
    ranges: KeyRanges, S: int, block_q: int, block_k: int
) -> tuple[Int[Array, "B J"], Int[Array, "B J"]]:
    """Returns the range of query blocks that each block of keys needs, `first <= block < end`.

    Every block with work lies within the range. A block within it may still have none, but only
    with ranges that are not monotone in the position, which no `Mask` yields.
    """
    needed = needed_blocks(ranges, S, block_q, block_k)
    Q = needed.shape[1]
    some = needed.any(1)
    # `argmax` of booleans is the first True, and of the reversed axis the last one.
    first = jnp.argmax(needed, axis=1).astype(jnp.int32)
    end = Q - jnp.argmax(needed[:, ::-1], axis=1).astype(jnp.int32)
    return jnp.where(some, first, 0), jnp.where(some, end, 0)


def needed_blocks(ranges: KeyRanges, S: int, block_q: int, block_k: int) -> Bool[Array, "B Q J"]:
    """Returns whether any query of a block attends to any key of a block, [B, Q, J]."""
    first, end = key_block_bounds(ranges, block_q, block_k)
    block = jnp.arange(cdiv(S, block_k), dtype=jnp.int32)[None, None]
    return (first[..., None] <= block) & (block < end[..., None])


def whole_query_block_bounds(
    ranges: KeyRanges, S: int, block_q: int, block_k: int
) -> tuple[Int[Array, "B J"], Int[Array, "B J"]]:
    """Returns query blocks whose every query sees a whole block of keys, `first <= block < end`.

    Such pairs need no mask. If there are several runs of such blocks, the first one is returned;
    (0, 0) for none.
    """
    T = ranges.first.shape[1]
    largest = jnp.iinfo(jnp.int32).max
    # The last block, if shorter, is padded with queries that see nothing, and so never counts.
    first = _by_block(ranges.first, block_q, largest).max(-1)
    end = _by_block(jnp.where(ranges.first < ranges.end, ranges.end, 0), block_q, 0).min(-1)
    begin = jnp.arange(cdiv(S, block_k), dtype=jnp.int32) * block_k
    # The last block of keys may be shorter, and is whole if all keys that exist are seen.
    stop = jnp.minimum(begin + block_k, S)
    whole = (first[..., None] <= begin[None, None]) & (stop[None, None] <= end[..., None])
    Q = cdiv(T, block_q)
    block = jnp.arange(Q, dtype=jnp.int32)[None, :, None]
    run_first = jnp.min(jnp.where(whole, block, Q), axis=1)
    # The run ends at the first block that is not whole, so one pair of bounds describes it.
    after = (block >= run_first[:, None]) & ~whole
    run_end = jnp.min(jnp.where(after, block, Q), axis=1)
    # Q, which is no block, stands for none.
    some = run_first < Q
    return jnp.where(some, run_first, 0), jnp.where(some, run_end, 0)


def joined(
    out: Float[Array, "C B T N K"], lse: Float[Array, "C B N T"]
) -> tuple[Float[Array, "B T N K"], Float[Array, "B N T"]]:
    """Returns attention over all keys, from its results over C parts of them."""
    whole = jax.nn.logsumexp(lse, axis=0)
    # Each part is normalised by its own sum, exp(lse) of it, so its share is exp(lse - whole).
    shares = jnp.exp(lse - jnp.where(whole > -jnp.inf, whole, 0)[None])
    return jnp.einsum("CBTNK,CBNT->BTNK", out, shares), whole


def _by_block(values: Int[Array, "B T"], block: int, filler: int) -> Int[Array, "B Q block"]:
    """Returns the rows cut into blocks, the last one padded with `filler`."""
    B, T = values.shape
    short = cdiv(T, block) * block - T
    padded = jax.lax.pad(values, jnp.int32(filler), [(0, 0, 0), (0, short, 0)])
    return padded.reshape(B, -1, block)
