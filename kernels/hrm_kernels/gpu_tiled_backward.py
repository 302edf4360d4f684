"""The gradient of the tiled GPU kernel: one kernel for queries, and one for keys and values.

With scores s = scale q k^T, probabilities P = exp(s - lse) and dP = dO V^T: dS = P (dP - e) with
e = sum(out dO) - d_lse; dQ = scale dS K, dK = scale dS^T Q, dV = P^T dO (FlashAttention-2, arXiv
2307.08691, algorithm 2). A program of the first kernel owns a block of queries, loops over its keys
and writes e as well. A program of the second owns a block of keys, and loops over the queries of
all heads that share them; so no two programs add to the same gradient, and none needs atomics.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array

from hrm_kernels import gpu_blocks
from hrm_kernels.blocks import cdiv, query_block_bounds, whole_query_block_bounds
from hrm_kernels.gpu_blocks import LOG2_E, Rows, matrix, product_of, span, vector
from hrm_kernels.gpu_tiles import Tile, tile
from hrm_kernels.mask import KeyRanges
from hrm_kernels.operands import Operands, Options, case_of, result_shape


def backward(options: Options, operands: Operands, out, lse, d_out, d_lse):
    """Computes the cotangents of query, key and value; see `operands.Backward`."""
    # The kernel of queries comes first: it writes the row term e that the kernel of keys reads.
    d_query, expected = _for_queries(options, operands, out, lse, d_out, d_lse)
    return d_query, *_for_keys(options, operands, lse, expected, d_out)


def _for_queries(
    options: Options, operands: Operands, out, lse, d_out, d_lse
) -> tuple[Array, Array]:
    """Returns the gradient of the queries, and the row term e of the scores' gradient."""
    case = case_of(operands, options.generation)
    query = operands.query
    B, T, N, K = query.shape
    G = case.N // case.M
    cut = tile("tiled_d_query", case).within(T, case.S)
    queries = gpu_blocks.tokens(T, K, lambda n: n)
    heads = gpu_blocks.per_query(T)
    keys = gpu_blocks.tokens(case.S, K, lambda n: n // G)
    inputs = (
        *((queries, query), (keys, operands.key), (keys, operands.value)),
        (gpu_blocks.per_row(operands.ranges), operands.ranges),
        *((queries, out), (heads, lse), (queries, d_out)),
        (None if d_lse is None else heads, d_lse),
    )
    specs, arrays = zip(*inputs, strict=True)
    product = product_of(query.dtype, options.interpret)
    return gpu_blocks.call(
        functools.partial(_queries, product, options.scale, cut),
        cut,
        grid=(cdiv(T, cut.queries), N, B),
        in_specs=specs,
        out_specs=(queries, heads),
        out_shape=(
            result_shape(query, query.shape, query.dtype),
            result_shape(query, (B, N, T), jnp.float32),
        ),
        interpret=options.interpret,
        name="attention_tiled_d_query",
    )(*arrays)


def _for_keys(options: Options, operands: Operands, lse, expected, d_out) -> tuple[Array, Array]:
    """Returns the gradients of keys and values."""
    case = case_of(operands, options.generation)
    key = operands.key
    B, S, M, K = key.shape
    T = case.T
    G = case.N // case.M
    cut = tile("tiled_d_key", case).within(T, S)
    bounds = None
    if operands.ranges is not None:
        bounds = _query_blocks(operands.ranges, S, cut)
    queries = gpu_blocks.tokens(T, K, lambda m: m, G)
    heads = gpu_blocks.per_query(T, G)
    keys = gpu_blocks.tokens(S, K, lambda m: m)
    inputs = (
        *((queries, operands.query), (keys, key), (keys, operands.value)),
        *((gpu_blocks.per_row(x), x) for x in (operands.ranges, bounds)),
        *((heads, lse), (heads, expected), (queries, d_out)),
    )
    specs, arrays = zip(*inputs, strict=True)
    shape = result_shape(key, key.shape, key.dtype)
    product = product_of(key.dtype, options.interpret)
    return gpu_blocks.call(
        functools.partial(_keys, product, options.scale, cut),
        cut,
        grid=(cdiv(S, cut.keys), M, B),
        in_specs=specs,
        out_specs=(keys, keys),
        out_shape=(shape, shape),
        interpret=options.interpret,
        name="attention_tiled_d_key",
    )(*arrays)


def _query_blocks(ranges: KeyRanges, S: int, cut: Tile) -> tuple[Array, Array, Array, Array]:
    """Returns, for each block of keys, where its query blocks begin, need no mask, and end."""
    first, end = query_block_bounds(ranges, S, cut.queries, cut.keys)
    whole_first, whole_end = whole_query_block_bounds(ranges, S, cut.queries, cut.keys)
    some = whole_first < whole_end
    # Without whole blocks the unmasked range is empty, at the start: the last loop does it all.
    return first, jnp.where(some, whole_first, first), jnp.where(some, whole_end, first), end


def _queries(
    product,
    scale,
    cut,
    query,
    key,
    value,
    ranges,
    out,
    lse,
    d_out,
    d_lse,
    d_query,
    expected,
) -> None:
    """Computes the gradient of a block of queries."""
    T = query.shape[0]
    S = key.shape[0]
    rows = span(pl.program_id(0), cut.queries)
    pairs = Rows(gpu_blocks.ranges_of(ranges, rows, T, S), S, cut.keys)
    alive = pairs.alive
    queries = matrix(query, rows, alive)
    cotangents = matrix(d_out, rows, alive)
    # e as sum(out dO), which needs no scores and so is there before the first block of keys.
    products = matrix(out, rows, alive).astype(jnp.float32) * cotangents.astype(jnp.float32)
    subtracted = products.sum(1)
    if d_lse is not None:
        subtracted = subtracted - jnp.where(alive, vector(d_lse, rows), 0)
    gpu_blocks.store_vector(expected, rows, subtracted)
    # An infinite lse makes every weight of a query without keys exp2(-inf) = 0.
    rows_lse = jnp.where(alive, vector(lse, rows) * LOG2_E, jnp.inf)

    def visit(masked, j, state):
        total, sums = state
        keys = span(j, cut.keys)
        seen = pairs.seen(keys) if masked else None
        block = matrix(key, keys, seen)
        scores = product(queries, block.T) * (scale * LOG2_E)
        weights = jnp.exp2(scores - rows_lse[:, None])
        if masked:
            weights = jnp.where(pairs.allowed(keys), weights, 0)
        d_weights = product(cotangents, matrix(value, keys, seen).T)
        d_scores = weights * (d_weights - subtracted[:, None])
        return total + product(d_scores.astype(block.dtype), block), sums + weights.sum(1)

    state = jnp.zeros(queries.shape, jnp.float32), jnp.zeros(cut.queries, jnp.float32)
    total, sums = pairs.visit_blocks(visit, state)
    # A query's weights add up to 1 but for an error that they have in common, by the rounding of
    # its log-sum-exp and of that to base 2: at 4 to 8 nats several times that of all else.
    total = total * jnp.where(sums > 0, 1 / sums, 0)[:, None]
    gpu_blocks.store_matrix(d_query, rows, total * scale)


def _keys(
    product,
    scale,
    cut,
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
    """Computes the gradients of a block of keys and values; scores are [S, T] here."""
    T, G, _ = query.shape
    S = key.shape[0]
    j = pl.program_id(0)
    keys = span(j, cut.keys)
    exist = keys < S
    # Held by the program while the queries of all heads of the group pass.
    block = matrix(key, keys, exist)
    values = matrix(value, keys, exist)
    if bounds is None:
        low = 0
        whole_low = 0
        # Without a mask only a last block that T does not fill is masked.
        whole_high = T // cut.queries
        high = cdiv(T, cut.queries)
    else:
        low, whole_low, whole_high, high = (bound[j] for bound in bounds)

    def visit(g, masked, i, state):
        for_key, for_value = state
        rows = span(i, cut.queries)
        # All queries of a block that needs no mask exist and have keys.
        first, end = gpu_blocks.ranges_of(ranges, rows, T, S)
        alive = first < end if masked else None
        queries = matrix(query, rows, alive, head=g)
        cotangents = matrix(d_out, rows, alive, head=g)
        scores = product(block, queries.T) * (scale * LOG2_E)
        # -inf for a query without keys, whose weights are then infinite, until the mask replaces
        # them.
        rows_lse = vector(lse, rows, g) * LOG2_E
        subtracted = vector(expected, rows, g)
        weights = jnp.exp2(scores - rows_lse[None])
        if masked:
            allowed = (first[None] <= keys[:, None]) & (keys[:, None] < end[None])
            weights = jnp.where(allowed, weights, 0)
        for_value = for_value + product(weights.astype(cotangents.dtype), cotangents)
        d_weights = product(values, cotangents.T)
        d_scores = weights * (d_weights - subtracted[None])
        # Where not allowed, d_weights may be NaN from a value that no query sees, and 0 * NaN is
        # NaN.
        if masked:
            d_scores = jnp.where(allowed, d_scores, 0)
        return for_key + product(d_scores.astype(queries.dtype), queries), for_value

    state = jnp.zeros(block.shape, jnp.float32), jnp.zeros(block.shape, jnp.float32)
    # Blocks before and after the whole ones are masked; `visit` is traced once for each loop.
    for g in range(G):
        masked = functools.partial(visit, g, True)
        state = jax.lax.fori_loop(low, whole_low, masked, state)
        state = jax.lax.fori_loop(whole_low, whole_high, functools.partial(visit, g, False), state)
        state = jax.lax.fori_loop(whole_high, high, masked, state)
    # The scale of the scores is applied once to the sum and not to every block.
    gpu_blocks.store_matrix(d_key, keys, state[0] * scale)
    gpu_blocks.store_matrix(d_value, keys, state[1])
