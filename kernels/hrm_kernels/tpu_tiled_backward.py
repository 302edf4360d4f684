"""The gradient of the tiled TPU kernel: one kernel for queries, and one for keys and values.

With scores s = scale q k^T, probabilities P = exp(s - lse) and dP = dO V^T: dS = P (dP - e) with
e = sum(out dO) - d_lse; dQ = scale dS K, dK = scale dS^T Q, dV = P^T dO (FlashAttention-2, arXiv
2307.08691, algorithm 2). The first kernel holds queries and computes e as well, for both; the
second holds keys. Everything [S, T] is held transposed: dK and dV are plain products, dQ comes
transposed.
"""

import functools

import jax.numpy as jnp
from jaxtyping import Array, Float

from hrm_kernels.operands import Operands, Options, case_of
from hrm_kernels.tpu_heads import LANES, merged, product
from hrm_kernels.tpu_tiles import Visit, Walk, over_tiles
from hrm_kernels.tpu_tiling import Arrays, tiling_of


def backward(options: Options, operands: Operands, out, lse, d_out, d_lse):
    """See `operands.Backward`."""
    case, dtype = case_of(operands), operands.query.dtype
    tiling = tiling_of(case, hold_keys=False)
    n, block_q = tiling.query_heads, tiling.block_q

    def by_block(x):
        return None if x is None else x.reshape(-1, tiling.head_blocks, n, case.T)

    lse, d_out = ("heads", by_block(lse)), ("queries", merged(d_out))
    others = lse, d_out, ("queries", merged(out)), ("heads", by_block(d_lse))
    visit = functools.partial(_add_to_queries, options.scale)
    finish = functools.partial(_write_queries, options.scale, tiling)
    d_query, expected = over_tiles(
        Walk(functools.partial(_expect, tiling), visit, finish),
        tiling,
        options,
        operands,
        others,
        [("queries", dtype), ("heads", jnp.float32)],
        [(n, case.K, block_q)],
        hold_keys=False,
        products=3,
    )
    tiling = tiling_of(case, hold_keys=True)
    held = tiling.block_k, tiling.key_heads * case.K
    d_key, d_value = over_tiles(
        Walk(_start_keys, functools.partial(_add_to_keys, options.scale), _write_keys),
        tiling,
        options,
        operands,
        (lse, d_out, ("heads", expected)),
        [("keys", dtype), ("keys", dtype)],
        [held, held],
        hold_keys=True,
        products=4,
    )
    d_query = d_query.reshape(operands.query.shape)
    return d_query, *(x.reshape(operands.key.shape) for x in (d_key, d_value))


def _expect(tiling, arrays, lse, d_out, out, d_lse, d_query, expected, d_queries) -> None:
    """Starts with what the gradient of the scores subtracts."""
    del arrays, lse, d_query
    for group in tiling.groups:
        products = out[0, :, group.queries].astype(jnp.float32) * d_out[0, :, group.queries]
        swapped = products.T
        for i, n in enumerate(group.heads):
            own = swapped[i * group.head_size : (i + 1) * group.head_size]
            expected[0, 0, slice(n, n + 1)] = own.sum(0, keepdims=True)
    if d_lse is not None:
        expected[...] -= d_lse[...]
    d_queries[...] = jnp.zeros_like(d_queries)


def _add_to_queries(
    scale, visit, arrays, lse, d_out, out, d_lse, d_query, expected, d_queries
) -> None:
    """Adds what a block of keys gives to the queries' gradient, transposed."""
    del out, d_lse, d_query
    allowed, seen = visit.allowed(arrays), visit.seen()
    for group in visit.tiling.groups:
        key = arrays.key[0, :, group.keys]
        swapped = jnp.where(seen, key, jnp.zeros_like(key)).T
        for i, n in enumerate(group.heads):
            rows = lse[0, 0, slice(n, n + 1)], expected[0, 0, slice(n, n + 1)]
            _, d_scores = _weights(scale, arrays, group, i, d_out, rows, allowed)
            d_queries[n] += product(group.rows(swapped, i), d_scores.astype(key.dtype))


def _write_queries(
    scale, tiling, arrays, lse, d_out, out, d_lse, d_query, expected, d_queries
) -> None:
    del arrays, lse, d_out, out, d_lse, expected
    for group in tiling.groups:
        parts = jnp.concatenate([d_queries[n] for n in group.heads], 0)
        d_query[0, :, group.queries] = (scale * parts.T).astype(d_query.dtype)


def _start_keys(arrays, lse, d_out, expected, d_key, d_value, d_keys, d_values) -> None:
    del arrays, lse, d_out, expected, d_key, d_value
    d_keys[...] = jnp.zeros_like(d_keys)
    d_values[...] = jnp.zeros_like(d_values)


def _add_to_keys(
    scale, visit: Visit, arrays: Arrays, lse, d_out, expected, d_key, d_value, d_keys, d_values
) -> None:
    """Adds what a block of queries gives to the keys' and values' gradients."""
    allowed = visit.allowed(arrays)
    alive = _column(arrays.first[0] < arrays.end[0])
    for group in visit.tiling.groups:
        queries, cotangents = (
            jnp.where(alive, x, jnp.zeros_like(x))
            for x in (arrays.query[0, :, group.queries], d_out[0, :, group.queries])
        )
        for_key, for_value = [], []
        for i, n in enumerate(group.heads):
            rows = lse[0, 0, slice(n, n + 1)], expected[0, 0, slice(n, n + 1)]
            weights, d_scores = _weights(scale, arrays, group, i, d_out, rows, allowed)
            dtype = queries.dtype
            for_key.append(product(d_scores.astype(dtype), group.of_query(queries, i)))
            for_value.append(product(weights.astype(dtype), group.of_query(cotangents, i)))
        d_keys[:, group.keys] += group.merge(for_key) * scale
        d_values[:, group.keys] += group.merge(for_value)


def _write_keys(arrays, lse, d_out, expected, d_key, d_value, d_keys, d_values) -> None:
    del arrays, lse, d_out, expected
    d_key[0] = d_keys[...].astype(d_key.dtype)
    d_value[0] = d_values[...].astype(d_value.dtype)


def _weights(
    scale, arrays, group, i, d_out, rows, allowed
) -> tuple[Float[Array, "S T"], Float[Array, "S T"]]:
    """The i-th head's probabilities, and the gradient of its scores."""
    lse, expected = rows
    query, key = arrays.query[0, :, group.queries], arrays.key[0, :, group.keys]
    cotangent, value = d_out[0, :, group.queries], arrays.value[0, :, group.keys]
    scores, d_weights = (
        product(group.of_key(left, i), group.of_query(right, i), swap_right=True)
        for left, right in ((key, query), (value, cotangent))
    )
    weights = jnp.where(allowed, jnp.exp(scores * scale - lse), 0)
    return weights, jnp.where(allowed, weights * (d_weights - expected), 0)


def _column(row: Float[Array, "1 T"]) -> Float[Array, "T 1"]:
    """A row of flags as a column: turned as a whole tile, which is what the hardware can turn."""
    tile = jnp.broadcast_to(jnp.where(row, 1.0, 0.0), (LANES, row.shape[1]))
    return tile.T[:, :1] > 0
