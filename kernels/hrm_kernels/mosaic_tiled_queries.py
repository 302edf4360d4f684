"""The gradient of queries in the tiled Mosaic kernel: dQ = dS K.

Each working warpgroup has 64 queries and their cotangents in tiles, and visits blocks of keys.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array

from hrm_kernels import mosaic_blocks
from hrm_kernels.blocks import cdiv, key_block_bounds, whole_key_block_bounds
from hrm_kernels.gpu_blocks import LOG2_E
from hrm_kernels.gpu_tiles import tile
from hrm_kernels.mosaic_blocks import ROWS, Kernel, Seen, load, over_columns
from hrm_kernels.mosaic_stream import OWNED, WORKING, Detour, Owned, Stream
from hrm_kernels.operands import Case, Operands, Options, case_of


def for_queries(options: Options, operands: Operands, sums: Array, d_out: Array) -> Array:
    """Returns the gradient of the queries."""
    case = case_of(operands, options.generation)
    query = operands.query
    B, T, N, K = query.shape
    cut = tile("mosaic_tiled_d_query", case)
    kernel = Kernel("attention_mosaic_d_query", WORKING + 1, options.interpret)
    bounds = None
    if operands.ranges is not None:
        bounds = (
            *key_block_bounds(operands.ranges, OWNED, cut.keys),
            *whole_key_block_bounds(operands.ranges, OWNED, cut.keys),
        )
    blocks = cdiv(T, OWNED)
    stream = Stream.of((cut.keys, K), query.dtype, cut.stages, WORKING)
    (d_query,) = kernel.call(
        functools.partial(_differentiate_queries, kernel, options.scale, case),
        grid=(N, B, blocks),
        out_type=[jax.ShapeDtypeStruct(query.shape, query.dtype)],
        scratch=(
            Owned.of(K, query.dtype),
            (stream, stream),
            Detour.of(case.S, (cut.keys, K), query.dtype),
        ),
    )(
        *(query, operands.key, operands.value),
        Seen.of(operands.ranges, OWNED * blocks),
        bounds,
        sums,
        d_out,
    )
    return d_query


def _differentiate_queries(
    kernel: Kernel, scale: float, case: Case, query, key, value, seen, bounds, sums, *rest
) -> None:
    """Computes the gradient of a block of queries: one warpgroup copies, the others multiply."""
    d_out, d_query, owned, streams, detour = rest
    me = jax.lax.axis_index("warpgroup")
    b = jax.lax.axis_index("row")
    head = jax.lax.axis_index("head")
    block = jax.lax.axis_index("block")
    block_k = streams[0].slots.shape[1]
    first, end = jnp.int32(0), jnp.int32(cdiv(case.S, block_k))
    whole = jnp.int32(0), jnp.int32(case.S // block_k)
    if bounds is not None:
        first, end, *whole = (bound[b, block] for bound in bounds)

    @pl.when(me == WORKING)
    def _():
        mosaic_blocks.take_registers(kernel, copies=True)
        n = jax.lax.div(head, jnp.int32(case.N // case.M))
        # Gradients of hidden scores are zero, and zero times NaN would be NaN.
        cleaning = seen.cleaning(b, block_k) if seen is not None else lambda _: ()

        def step(i, _):
            begin = block_k * (first + i)
            rows = b, pl.ds(begin, block_k), n
            for stream, source in zip(streams, (key, value), strict=True):
                stream.put(i, source.at[rows], detour, *cleaning(begin))

        jax.lax.fori_loop(0, end - first, step, None)
        for stream in streams:
            stream.drain(end - first)

    @pl.when(me < WORKING)
    def _():
        mosaic_blocks.take_registers(kernel, copies=False)
        layout = mosaic_blocks.row_layout()
        mine = WORKING * block + me
        at = b, pl.ds(ROWS * mine, ROWS), head
        lse, expected = (load(sums.at[b, head, mine, i], layout) for i in range(2))
        ranges = seen.at(b, mine, layout) if seen is not None else None
        owned.read(
            me, (query.at[at], d_out.at[at]), functools.partial(mosaic_blocks.alive_rows, ranges)
        )
        pair = tuple(functools.partial(lambda x: x.at[me], x) for x in owned.tiles)

        def step(i, total):
            j = first + i

            def mask(scores):
                needs_mask = (j < whole[0]) | (j >= whole[1])
                sees = functools.partial(
                    mosaic_blocks.sees_keys, ranges, case.S, block_k * j, block_k
                )
                return mosaic_blocks.masked(scores, needs_mask, sees)

            rows = over_columns(lse, block_k), over_columns(expected, block_k)
            return _add_for_queries(kernel, scale, pair, rows, mask, streams, i, total)

        total = jax.lax.fori_loop(0, end - first, step, kernel.zeros((ROWS, case.K)))
        owned.write(me, [total * scale], [d_query.at[at]])


def _add_for_queries(kernel: Kernel, scale, pair, rows, mask, streams, i, total) -> Array:
    """Returns the gradient of 64 queries with that of the i-th block of keys."""
    queries, cotangents = pair
    lse, expected = rows
    keys, values = streams
    key_block = keys.wait(i)
    value_block = values.wait(i)
    zeros = kernel.zeros(lse.shape)
    scores, d_weights = kernel.products(
        (zeros, (queries, lambda: key_block().transpose((1, 0)))),
        (zeros, (cotangents, lambda: value_block().transpose((1, 0)))),
    )
    values.release(i)
    weights = jnp.exp2(mask(scores * (scale * LOG2_E)) - lse)
    d_scores = weights * (d_weights - expected)
    total = kernel.product(total.shape, (d_scores.astype(queries().dtype), key_block), onto=total)
    keys.release(i)
    return total
