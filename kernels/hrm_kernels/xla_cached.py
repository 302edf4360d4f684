"""Attention of a few queries to a cache, in plain JAX: the path of decoding on CPU.

Keys of all heads lie side by side, [S, M * K], and stay so: a query is spread over the width of all
heads, zero in all but its own. The products cost M times as much, which is little here; transposing
the whole cache for every token would take several times as long. Blocks of keys fit in a core's
cache, and blocks beyond the longest text are not read.

The loop over blocks has a second purpose: without it XLA fuses writing to the cache with reading
it, and copies the cache to do so.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hrm_kernels.operands import Case, Operands, ranges_of, varying_zeros

BLOCK = 128
"""Largest number of keys in a block."""
MOST_ROWS = 64
"""Largest number of queries times heads for which the extra products pay."""


def suits(case: Case) -> bool:
    """Returns whether a case has few enough queries for this path."""
    return case.T * case.N <= MOST_ROWS


def attend(scale: float, operands: Operands) -> Float[Array, "B T N K"]:
    """Returns the attended values, zero where a query has no key; `out` of `operands.Forward`.

    Args:
      scale: factor on the scores.
      operands: queries with N = M (fold those that share a key head), and a cache's keys and
        values.
    """
    query = operands.query
    ranges = ranges_of(operands)
    B, T, M, K = query.shape
    S = operands.key.shape[1]
    block = min(BLOCK, S)
    D = M * K
    key, value = (x.reshape(B, S, D) for x in (operands.key, operands.value))
    # Row (t, h) of `spread` holds head h of query t in that head's K columns and zeros elsewhere,
    # so that one product over all D columns gives the scores of head h alone.
    own = jnp.eye(M, dtype=query.dtype)
    spread = jnp.einsum("BTMK,MH->BTHMK", query, own).reshape(B, T * M, D)
    first, end = (jnp.repeat(x, M, axis=1)[..., None] for x in (ranges.first, ranges.end))

    def add_block(index: Array, state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
        attended, largest, total = state
        # A slice may not pass the end, so where S is no multiple of the block the last one starts
        # earlier; the keys that it repeats are masked.
        start = jnp.minimum(index * block, S - block)
        keys, values = (jax.lax.dynamic_slice_in_dim(x, start, block, axis=1) for x in (key, value))
        position = start + jnp.arange(block, dtype=jnp.int32)[None, None]
        allowed = (first <= position) & (position < end) & (position >= index * block)
        scores = jnp.einsum("BRD,BSD->BRS", spread, keys, preferred_element_type=jnp.float32)
        scores = jnp.where(allowed, scores * scale, -jnp.inf)
        new_largest = jnp.maximum(largest, scores.max(-1, keepdims=True))
        # Without the replacement, rows that have seen no key yet would compute -inf - -inf = NaN.
        safe = jnp.where(new_largest > -jnp.inf, new_largest, 0)
        weights = jnp.exp(scores - safe)
        shrink = jnp.exp(largest - safe)
        # Values that no query sees may be NaN, and a weight of 0 would not remove them.
        seen = jnp.where(allowed.any(1)[..., None], values, 0)
        added = jnp.einsum(
            "BRS,BSD->BRD", weights.astype(seen.dtype), seen, preferred_element_type=jnp.float32
        )
        total = total * shrink + weights.sum(-1, keepdims=True)
        return attended * shrink + added, new_largest, total

    alive = ranges.first < ranges.end
    # The range of blocks is that of the whole batch; a row's own range is only masked.
    begin = jnp.where(alive, ranges.first, S).min() // block
    stop = -(-jnp.where(alive, ranges.end, 0).max() // block)
    nothing = varying_zeros(spread, (B, T * M, 1))
    state = varying_zeros(spread, spread.shape), nothing - jnp.inf, nothing
    attended, _, total = jax.lax.fori_loop(begin, stop, add_block, state)
    attended = attended * jnp.where(total > 0, 1 / total, 0)
    # Of the M heads' values that a row attended to, only its own head's are kept.
    of_heads = attended.reshape(B, T, M, M, K)
    return jnp.einsum("BTHMK,MH->BTMK", of_heads, own.astype(jnp.float32)).astype(query.dtype)
