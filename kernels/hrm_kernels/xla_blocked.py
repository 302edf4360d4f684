"""Attention in plain JAX for long sequences: online softmax over blocks, linear in memory.

It never holds more scores than those of one block of queries by one block of keys; blocks that the
mask rules out for every row of the batch are skipped (causal: half the work). The backward pass
recomputes the scores, block by block, from the log-sum-exp (FlashAttention-2, arXiv 2307.08691,
algorithm 2).
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hrm_kernels.blocks import cdiv, key_block_bounds
from hrm_kernels.operands import (
    Case,
    Operands,
    Options,
    expected_gradient,
    ranges_of,
    varying_zeros,
)
from hrm_kernels.vjp import differentiable

BLOCK = 512
"""Largest number of queries, and of keys, in a block."""


def refuses(case: Case) -> str | None:
    """Returns None, as this path serves every case."""
    del case
    return None


def forward(options: Options, operands: Operands):
    """Computes attention; see `operands.Forward`."""
    T = operands.query.shape[1]
    blocked = _Blocks(operands, options.scale)
    query = blocked.query()
    key = blocked.keys(operands.key)
    value = blocked.keys(operands.value)

    def query_block(_, block):
        rows, ranges, bounds = block

        def key_block(j, state):
            # Online softmax: the sums so far are rescaled whenever a block has a larger maximum.
            attended, largest, total = state
            scores, allowed = blocked.scores(rows, key[j], ranges, j)
            new_largest = jnp.maximum(largest, scores.max(-1, keepdims=True))
            # Without the replacement, rows that have seen no key yet would compute -inf - -inf =
            # NaN.
            safe = jnp.where(new_largest > -jnp.inf, new_largest, 0)
            weights = jnp.exp(scores - safe)
            shrink = jnp.exp(largest - safe)
            seen = _seen(allowed, value[j])
            attended = attended * shrink + _product(weights.astype(seen.dtype), seen)
            return attended, new_largest, total * shrink + weights.sum(-1, keepdims=True)

        zeros = varying_zeros(rows, (*rows.shape[:3], 1))
        state = varying_zeros(rows, rows.shape), zeros - jnp.inf, zeros
        # The bounds are data, so this is a `while_loop`, which JAX cannot differentiate in reverse:
        # hence the backward pass by hand.
        attended, largest, total = jax.lax.fori_loop(bounds[0], bounds[1], key_block, state)
        out = attended * jnp.where(total > 0, 1 / total, 0)
        return None, (out, jnp.where(total > 0, jnp.log(total) + largest, -jnp.inf)[..., 0])

    _, (out, lse) = jax.lax.scan(query_block, None, (query, blocked.ranges(), blocked.bounds()))
    out = blocked.from_rows(out).astype(operands.query.dtype)[:, :T]
    lse = jnp.einsum("BTNK->BNT", blocked.from_rows(lse[..., None]))[..., :T]
    return out, lse if options.with_lse else None


def backward(options: Options, operands: Operands, out, lse, d_out, d_lse):
    """Computes its cotangents; see `operands.Backward`."""
    dtype = operands.query.dtype
    S = operands.key.shape[1]
    blocked = _Blocks(operands, options.scale)
    query = blocked.query()
    key = blocked.keys(operands.key)
    value = blocked.keys(operands.value)
    expected = expected_gradient(out, d_out, d_lse, lse)
    columns = (blocked.rows(jnp.einsum("BNT->BTN", x)[..., None]) for x in (lse, expected))

    def query_block(gradients, block):
        rows, d_rows, lse, expected, ranges, bounds = block
        # lse is -inf for a query without keys, and its inputs may be NaN: zeros make all of its
        # products zero.
        alive = lse > -jnp.inf
        rows, d_rows = (jnp.where(alive, x, 0) for x in (rows, d_rows))
        lse, expected = (jnp.where(alive, x, 0) for x in (lse, expected))

        def key_block(j, state):
            d_query, d_key, d_value = state
            scores, allowed = blocked.scores(rows, key[j], ranges, j)
            weights = jnp.exp(scores - lse)
            seen_key = _seen(allowed, key[j])
            seen_value = _seen(allowed, value[j])
            d_weights = _product(d_rows, jnp.swapaxes(seen_value, -1, -2))
            d_scores = (weights * (d_weights - expected)).astype(dtype)
            d_query = d_query + _product(d_scores, seen_key)
            # Every block of queries adds to the blocks of keys it visited, in float32.
            d_key = d_key.at[j].add(_product(jnp.swapaxes(d_scores, -1, -2), rows))
            d_weights = jnp.swapaxes(weights.astype(dtype), -1, -2)
            return d_query, d_key, d_value.at[j].add(_product(d_weights, d_rows))

        state = (varying_zeros(rows, rows.shape), *gradients)
        d_query, *gradients = jax.lax.fori_loop(bounds[0], bounds[1], key_block, state)
        return tuple(gradients), d_query * options.scale

    zeros = varying_zeros(key, key.shape)
    blocks = (query, blocked.rows(d_out), *columns, blocked.ranges(), blocked.bounds())
    (d_key, d_value), d_query = jax.lax.scan(query_block, (zeros, zeros), blocks)
    d_query = blocked.from_rows(d_query)[:, : operands.query.shape[1]]
    # The scale of the scores is applied once to the sums and not to every block of scores.
    d_key, d_value = (jnp.einsum("JBMSK->BJSMK", x) for x in (options.scale * d_key, d_value))
    d_key, d_value = (x.reshape(x.shape[0], -1, *x.shape[3:])[:, :S] for x in (d_key, d_value))
    return tuple(x.astype(dtype) for x in (d_query, d_key, d_value))


attend = functools.partial(differentiable, forward, backward)


class _Blocks:
    """How a call is cut into Q blocks of queries and J of keys, the leading axes of all arrays.

    In a block, the query heads that share a key head are stacked as rows.
    """

    def __init__(self, operands: Operands, scale: float):
        self.operands = operands
        self.scale = scale
        self.B, self.T, self.N, self.K = operands.query.shape
        _, self.S, self.M, _ = operands.key.shape
        self.block_q = min(BLOCK, self.T)
        self.block_k = min(BLOCK, self.S)
        self._ranges = ranges_of(operands)

    def query(self) -> Float[Array, "Q B M GT K"]:
        """Returns the queries in blocks."""
        return self.rows(self.operands.query)

    def rows(self, x: Float[Array, "B T N K"]) -> Float[Array, "Q B M GT K"]:
        """Returns an array with a vector for each query and head, in blocks."""
        G = self.N // self.M
        last = x.shape[-1]
        # Queries of the padding see no keys, and what comes out for them is cut off.
        x = _fill(x, self.block_q).reshape(self.B, -1, self.block_q, self.M, G, last)
        return jnp.einsum("BQTMGK->QBMGTK", x).reshape(-1, self.B, self.M, G * self.block_q, last)

    def from_rows(self, x: Float[Array, "Q B M GT K"]) -> Float[Array, "B T N K"]:
        """Returns the inverse of `rows`; the padding of the last block is still there."""
        x = x.reshape(-1, self.B, self.M, self.N // self.M, self.block_q, x.shape[-1])
        return jnp.einsum("QBMGTK->BQTMGK", x).reshape(self.B, -1, self.N, x.shape[-1])

    def keys(self, x: Float[Array, "B S M K"]) -> Float[Array, "J B M S K"]:
        """Returns keys or values in blocks."""
        x = _fill(x, self.block_k).reshape(self.B, -1, self.block_k, self.M, self.K)
        return jnp.einsum("BJSMK->JBMSK", x)

    def ranges(self) -> tuple[Int[Array, "Q B T"], Int[Array, "Q B T"]]:
        """Returns the first and the end of each query's keys; (0, 0) for padding."""
        first, end = (
            jnp.swapaxes(_fill(x, self.block_q).reshape(self.B, -1, self.block_q), 0, 1)
            for x in (self._ranges.first, self._ranges.end)
        )
        return first, end

    def bounds(self) -> tuple[Int[Array, " Q"], Int[Array, " Q"]]:
        """Returns the range of key blocks that any row of the batch needs, for each query block."""
        first, end = key_block_bounds(self._ranges, self.block_q, self.block_k)
        # A row of the batch in which a block has no keys must not widen the others' range.
        empty = first >= end
        first = jnp.where(empty, cdiv(self.S, self.block_k), first)
        return first.min(0), jnp.where(empty, 0, end).max(0)

    def scores(self, rows, key, ranges, j) -> tuple[Array, Bool[Array, "B 1 GT S"]]:
        """Returns the scores of a block, -inf where not allowed, and where they are allowed."""
        first, end = ranges
        position = j * self.block_k + jnp.arange(self.block_k, dtype=jnp.int32)[None, None]
        allowed = (first[..., None] <= position) & (position < end[..., None])
        allowed = jnp.tile(allowed, (1, self.N // self.M, 1))[:, None]
        scores = _product(rows, jnp.swapaxes(key, -1, -2)) * self.scale
        return jnp.where(allowed, scores, -jnp.inf), allowed


def _seen(allowed: Bool[Array, "B 1 GT S"], x: Float[Array, "B M S K"]) -> Array:
    """Returns keys or values, zero where no query sees them, as 0 * NaN would let them through."""
    return jnp.where(allowed.any(2)[..., None], x, 0)


def _fill(x: Array, block: int) -> Array:
    """Returns `x` with axis 1 padded with zeros to a multiple of `block`."""
    short = cdiv(x.shape[1], block) * block - x.shape[1]
    zero = jnp.zeros((), x.dtype)
    return jax.lax.pad(x, zero, [(0, short if axis == 1 else 0, 0) for axis in range(x.ndim)])


def _product(
    left: Float[Array, "B M rows inner"], right: Float[Array, "B M inner columns"]
) -> Array:
    """Returns the batched matrix product in float32."""
    return jnp.matmul(left, right, preferred_element_type=jnp.float32)
