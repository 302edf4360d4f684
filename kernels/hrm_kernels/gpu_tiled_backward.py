"""The gradient of the tiled GPU kernel: one kernel for queries, and one for keys and values.

With scores s = scale q k^T, probabilities P = exp(s - lse) and dP = dO V^T: dS = P (dP - e) with
e = sum(out dO) - d_lse; dQ = scale dS K, dK = scale dS^T Q, dV = P^T dO (FlashAttention-2, arXiv
2307.08691, algorithm 2). The first kernel goes over the keys of a block of queries and writes e as
well; the second goes over the queries of a block of keys, of all heads that share them.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array

from hrm_kernels import gpu_blocks
from hrm_kernels.blocks import cdiv, query_block_bounds
from hrm_kernels.gpu_blocks import matrix, product, span, vector
from hrm_kernels.operands import Case, Operands, Options, case_of, result_shape

BLOCK_BYTES = 128
"""Bytes of a block's queries or keys in one of their dimensions."""
NUM_WARPS = 4
NUM_STAGES = 2


def backward(options: Options, operands: Operands, out, lse, d_out, d_lse):
    """See `operands.Backward`."""
    d_query, expected = _for_queries(options, operands, out, lse, d_out, d_lse)
    return d_query, *_for_keys(options, operands, lse, expected, d_out)


def _for_queries(
    options: Options, operands: Operands, out, lse, d_out, d_lse
) -> tuple[Array, Array]:
    """The gradient of all queries, and what that of their scores subtracts."""
    case, query = case_of(operands), operands.query
    (B, T, N, K), G = query.shape, case.N // case.M
    block_q, block_k = _block_sizes(case)
    queries, heads = gpu_blocks.tokens(T, K, lambda n: n), gpu_blocks.per_query(T)
    keys = gpu_blocks.tokens(case.S, K, lambda n: n // G)
    inputs = (
        *((queries, query), (keys, operands.key), (keys, operands.value)),
        (gpu_blocks.per_row(operands.ranges), operands.ranges),
        *((queries, out), (heads, lse), (queries, d_out)),
        (None if d_lse is None else heads, d_lse),
    )
    specs, arrays = zip(*inputs, strict=True)
    return gpu_blocks.call(
        functools.partial(_queries, options.scale, block_q, block_k),
        grid=(cdiv(T, block_q), N, B),
        in_specs=specs,
        out_specs=(queries, heads),
        out_shape=(
            result_shape(query, query.shape, query.dtype),
            result_shape(query, (B, N, T), jnp.float32),
        ),
        num_warps=NUM_WARPS,
        num_stages=NUM_STAGES,
        interpret=options.interpret,
        name="attention_tiled_d_query",
    )(*arrays)


def _for_keys(options: Options, operands: Operands, lse, expected, d_out) -> tuple[Array, Array]:
    """The gradients of all keys and values."""
    case, key = case_of(operands), operands.key
    (B, S, M, K), T, G = key.shape, case.T, case.N // case.M
    block_q, block_k = _block_sizes(case)
    bounds = None
    if operands.ranges is not None:
        bounds = query_block_bounds(operands.ranges, S, block_q, block_k)
    queries, heads = gpu_blocks.tokens(T, K, lambda m: m, G), gpu_blocks.per_query(T, G)
    keys = gpu_blocks.tokens(S, K, lambda m: m)
    inputs = (
        *((queries, operands.query), (keys, key), (keys, operands.value)),
        *((gpu_blocks.per_row(x), x) for x in (operands.ranges, bounds)),
        *((heads, lse), (heads, expected), (queries, d_out)),
    )
    specs, arrays = zip(*inputs, strict=True)
    shape = result_shape(key, key.shape, key.dtype)
    return gpu_blocks.call(
        functools.partial(_keys, options.scale, block_q, block_k),
        grid=(cdiv(S, block_k), M, B),
        in_specs=specs,
        out_specs=(keys, keys),
        out_shape=(shape, shape),
        num_warps=NUM_WARPS,
        num_stages=NUM_STAGES,
        interpret=options.interpret,
        name="attention_tiled_d_key",
    )(*arrays)


def _block_sizes(case: Case) -> tuple[int, int]:
    """Queries and keys in a block."""
    most = BLOCK_BYTES // jnp.dtype(case.dtype).itemsize
    block_q, block_k = (min(most, gpu_blocks.power_of_two(L)) for L in (case.T, case.S))
    return block_q, block_k


def _queries(
    scale, block_q, block_k, query, key, value, ranges, out, lse, d_out, d_lse, d_query, expected
) -> None:
    """The gradient of a block of queries."""
    T, S = query.shape[0], key.shape[0]
    rows = span(pl.program_id(0), block_q)
    first, end = gpu_blocks.ranges_of(ranges, rows, T, S)
    alive = first < end
    low = jnp.min(jnp.where(alive, first, S))
    high = jnp.max(jnp.where(alive, end, 0))
    queries, cotangents = (matrix(ref, rows, alive) for ref in (query, d_out))
    products = matrix(out, rows, alive).astype(jnp.float32) * cotangents.astype(jnp.float32)
    subtracted = products.sum(1)
    if d_lse is not None:
        subtracted = subtracted - jnp.where(alive, vector(d_lse, rows), 0)
    gpu_blocks.store_vector(expected, rows, subtracted)
    rows_lse = vector(lse, rows)

    def visit(j, total):
        keys = span(j, block_k)
        seen = (low <= keys) & (keys < high)
        allowed = (first[:, None] <= keys[None]) & (keys[None] < end[:, None])
        block = matrix(key, keys, seen)
        scores = product(queries, block.T) * scale
        weights = jnp.where(allowed, jnp.exp(scores - rows_lse[:, None]), 0)
        d_weights = product(cotangents, matrix(value, keys, seen).T)
        d_scores = weights * (d_weights - subtracted[:, None])
        return total + product(d_scores.astype(block.dtype), block)

    bounds = low // block_k, jax.lax.div(high + block_k - 1, block_k)
    total = jax.lax.fori_loop(*bounds, visit, jnp.zeros(queries.shape, jnp.float32))
    gpu_blocks.store_matrix(d_query, rows, total * scale)


def _keys(
    scale,
    block_q,
    block_k,
    query,
    key,
    value,
    ranges,
    bounds,
    lse,
    expected,
    d_out,
    d_key,
    d_value,
) -> None:
    """The gradients of a block of keys and values; scores are [S, T] here."""
    (T, G, _), S = query.shape, key.shape[0]
    j = pl.program_id(0)
    keys = span(j, block_k)
    exist = keys < S
    block, values = matrix(key, keys, exist), matrix(value, keys, exist)
    low, high = (0, cdiv(T, block_q)) if bounds is None else (bounds[0][j], bounds[1][j])

    def visit(g, i, state):
        for_key, for_value = state
        rows = span(i, block_q)
        first, end = gpu_blocks.ranges_of(ranges, rows, T, S)
        allowed = (first[None] <= keys[:, None]) & (keys[:, None] < end[None])
        queries, cotangents = (matrix(x, rows, first < end, head=g) for x in (query, d_out))
        scores = product(block, queries.T) * scale
        rows_lse, subtracted = vector(lse, rows, g), vector(expected, rows, g)
        weights = jnp.where(allowed, jnp.exp(scores - rows_lse[None]), 0)
        for_value = for_value + product(weights.astype(cotangents.dtype), cotangents)
        d_weights = product(values, cotangents.T)
        d_scores = jnp.where(allowed, weights * (d_weights - subtracted[None]), 0)
        return for_key + product(d_scores.astype(queries.dtype), queries), for_value

    state = (jnp.zeros(block.shape, jnp.float32),) * 2
    for g in range(G):
        state = jax.lax.fori_loop(low, high, functools.partial(visit, g), state)
    gpu_blocks.store_matrix(d_key, keys, state[0] * scale)
    gpu_blocks.store_matrix(d_value, keys, state[1])
