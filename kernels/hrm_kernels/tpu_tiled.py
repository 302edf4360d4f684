"""Attention on TPU for long sequences: blocks of keys stream past queries held in VMEM.

Online softmax (FlashAttention-2, arXiv 2307.08691), over the blocks in which the mask allows
anything; `tpu_blocks` cuts a call into blocks, `tpu_walk` orders the visits to them. The forward
pass comes first, then the backward pass, which recomputes the scores.
"""

import functools

import jax.numpy as jnp
from jaxtyping import Array, Float

from hrm_kernels.mesh import over_mesh
from hrm_kernels.operands import Case, Operands, Options, case_of
from hrm_kernels.tpu_blocks import MAX_VMEM_BYTES, Arrays, Tiling, tiling_of, vmem_bytes
from hrm_kernels.tpu_heads import LANES, merged, product
from hrm_kernels.tpu_walk import Visit, Walk, walk_blocks
from hrm_kernels.vjp import differentiable


def refuses(case: Case) -> str | None:
    """Returns why a case cannot be served, or None."""
    if case.dtype == "float16":
        return "TPUs have no float16 products; cast to bfloat16, or use xla_blocked"
    # Held either way: queries in the forward pass, keys for their gradient.
    needed = max(vmem_bytes(tiling_of(case, hold_keys=hold_keys)) for hold_keys in (False, True))
    if needed > MAX_VMEM_BYTES:
        return (
            f"heads that must lie in one block need {needed} bytes of VMEM of {MAX_VMEM_BYTES}; "
            "take head sizes of which a few fill 128 lanes, or xla_blocked"
        )
    return None


def forward(options: Options, operands: Operands):
    """Returns the attended values and the log-sum-exp; see `operands.Forward`."""
    case = case_of(operands)
    tiling = tiling_of(case, hold_keys=False)
    n = tiling.query_heads
    block_q = tiling.block_q
    outputs = [("queries", operands.query.dtype)]
    if options.with_lse:
        outputs.append(("heads", jnp.float32))
    out, *lse = walk_blocks(
        Walk(_start, functools.partial(_visit, options.scale), functools.partial(_finish, tiling)),
        tiling,
        options,
        operands,
        (),
        outputs,
        # The sums of the walk: attended values, transposed, and each query's maximum and total.
        [(n, case.K, block_q), (n, block_q), (n, block_q)],
        hold_keys=False,
        products=2,
    )
    # [B, H, n, T], by blocks of heads, as [B, N, T].
    lse = lse[0].reshape(-1, case.N, case.T) if lse else None
    return out.reshape(operands.query.shape), lse


def _start(arrays: Arrays, *references) -> None:
    del arrays
    attended, largest, total = references[-3:]
    attended[...] = jnp.zeros_like(attended)
    largest[...] = jnp.full_like(largest, -jnp.inf)
    total[...] = jnp.zeros_like(total)


def _visit(scale: float, visit: Visit, arrays: Arrays, *references) -> None:
    """Adds a block of keys to the sums of all heads."""
    attended, largest, total = references[-3:]
    allowed = visit.allowed(arrays)
    seen = visit.seen()
    for group in visit.tiling.groups:
        query = arrays.query[0, :, group.queries]
        key = arrays.key[0, :, group.keys]
        value = arrays.value[0, :, group.keys]
        # Unseen keys may hold NaN, also in the padding past S, and 0 * NaN would reach the sum.
        value = jnp.where(seen, value, jnp.zeros_like(value)).T
        for i, n in enumerate(group.heads):
            row = slice(n, n + 1)
            scores = product(group.of_key(key, i), group.of_query(query, i), swap_right=True)
            scores = jnp.where(allowed, scores * scale, -jnp.inf)
            new_largest = jnp.maximum(largest[row], scores.max(0, keepdims=True))
            # Without the replacement, queries that have seen no key yet would compute -inf - -inf =
            # NaN.
            safe = jnp.where(new_largest > -jnp.inf, new_largest, 0)
            weights = jnp.exp(scores - safe)
            shrink = jnp.exp(largest[row] - safe)
            total[row] = total[row] * shrink + weights.sum(0, keepdims=True)
            more = product(group.rows(value, i), weights.astype(value.dtype))
            attended[n] = attended[n] * shrink + more
            largest[row] = new_largest


def _finish(tiling: Tiling, arrays: Arrays, out, *references) -> None:
    del arrays
    *lse, attended, largest, total = references
    for group in tiling.groups:
        parts = []
        for n in group.heads:
            row = slice(n, n + 1)
            parts.append(attended[n] * jnp.where(total[row] > 0, 1 / total[row], 0))
        # Heads are [K, T], so they are joined along rows and turned at once.
        out[0, :, group.queries] = jnp.concatenate(parts, 0).T.astype(out.dtype)
    for ref in lse:
        # Without keys this is -inf + log 0 = -inf, which is what a query without keys has.
        ref[0, 0] = largest[...] + jnp.log(total[...])


def backward(options: Options, operands: Operands, out, lse, d_out, d_lse):
    """Returns the gradients of query, key and value; see `operands.Backward`.

    With scores s = scale q k^T, probabilities P = exp(s - lse) and dP = dO V^T: dS = P (dP - e)
    with e = sum(out dO) - d_lse; dQ = scale dS K, dK = scale dS^T Q, dV = P^T dO (FlashAttention-2,
    algorithm 2). The first kernel holds queries, and computes e as well, for both; the second
    holds keys. Every [S, T] is held transposed: dK and dV are plain products, dQ comes out
    transposed.
    """
    case = case_of(operands)
    dtype = operands.query.dtype
    tiling = tiling_of(case, hold_keys=False)
    n = tiling.query_heads
    block_q = tiling.block_q

    # [B, N, T] as [B, H, n, T], by blocks of heads.
    def by_block(x):
        return None if x is None else x.reshape(-1, tiling.head_blocks, n, case.T)

    lse = ("heads", by_block(lse))
    d_out = ("queries", merged(d_out))
    others = lse, d_out, ("queries", merged(out)), ("heads", by_block(d_lse))
    visit = functools.partial(_add_to_queries, options.scale)
    finish = functools.partial(_write_queries, options.scale, tiling)
    d_query, expected = walk_blocks(
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
    # The kernel of keys reads the `expected` that the kernel of queries wrote.
    tiling = tiling_of(case, hold_keys=True)
    held = tiling.block_k, tiling.key_heads * case.K
    d_key, d_value = walk_blocks(
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
    """Starts a block of queries with e, the row term of the scores' gradient."""
    del arrays, lse, d_query
    for group in tiling.groups:
        products = out[0, :, group.queries].astype(jnp.float32) * d_out[0, :, group.queries]
        # Turned, so that the sum over a head's K runs along sublanes and leaves a row [1, T].
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
    """Adds a block of keys' part of the queries' gradient, which is held transposed."""
    del out, d_lse, d_query
    allowed = visit.allowed(arrays)
    seen = visit.seen()
    for group in visit.tiling.groups:
        key = arrays.key[0, :, group.keys]
        # Where a key is unseen d_scores is 0, and 0 * NaN would reach the sum.
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
    """Adds a block of queries' part of the keys' and values' gradients."""
    allowed = visit.allowed(arrays)
    # Queries without keys, and the padding past T, may hold NaN. `allowed` zeroes the scores, but
    # the queries and cotangents are factors of the products themselves.
    alive = _column(arrays.first[0] < arrays.end[0])
    for group in visit.tiling.groups:
        queries, cotangents = (
            jnp.where(alive, x, jnp.zeros_like(x))
            for x in (arrays.query[0, :, group.queries], d_out[0, :, group.queries])
        )
        # A product for each head, of which `merge` makes the gradients of the key heads.
        for_key = []
        for_value = []
        for i, n in enumerate(group.heads):
            rows = lse[0, 0, slice(n, n + 1)], expected[0, 0, slice(n, n + 1)]
            weights, d_scores = _weights(scale, arrays, group, i, d_out, rows, allowed)
            dtype = queries.dtype
            for_key.append(product(d_scores.astype(dtype), group.of_query(queries, i)))
            for_value.append(product(weights.astype(dtype), group.of_query(cotangents, i)))
        # Summed in float32 over all blocks of queries, and rounded once, in `_write_keys`.
        d_keys[:, group.keys] += group.merge(for_key) * scale
        d_values[:, group.keys] += group.merge(for_value)


def _write_keys(arrays, lse, d_out, expected, d_key, d_value, d_keys, d_values) -> None:
    del arrays, lse, d_out, expected
    d_key[0] = d_keys[...].astype(d_key.dtype)
    d_value[0] = d_values[...].astype(d_value.dtype)


def _weights(
    scale, arrays, group, i, d_out, rows, allowed
) -> tuple[Float[Array, "S T"], Float[Array, "S T"]]:
    """Returns the i-th head's probabilities, and the gradient of its scores, both [S, T]."""
    lse, expected = rows
    query = arrays.query[0, :, group.queries]
    key = arrays.key[0, :, group.keys]
    cotangent = d_out[0, :, group.queries]
    value = arrays.value[0, :, group.keys]
    scores, d_weights = (
        product(group.of_key(left, i), group.of_query(right, i), swap_right=True)
        for left, right in ((key, query), (value, cotangent))
    )
    weights = jnp.where(allowed, jnp.exp(scores * scale - lse), 0)
    # `d_weights` may be NaN where not allowed, and 0 * NaN is NaN, so this masks once more.
    return weights, jnp.where(allowed, weights * (d_weights - expected), 0)


def _column(row: Float[Array, "1 T"]) -> Float[Array, "T 1"]:
    """Returns a row of flags as a column.

    The row is repeated to a whole tile first, as the hardware can only transpose whole tiles.
    """
    tile = jnp.broadcast_to(jnp.where(row, 1.0, 0.0), (LANES, row.shape[1]))
    return tile.T[:, :1] > 0


attend = functools.partial(differentiable, over_mesh(forward), over_mesh(backward))
