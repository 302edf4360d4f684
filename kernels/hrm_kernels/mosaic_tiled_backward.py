"""The gradient of the tiled Mosaic kernel: one kernel for queries, and one for keys and values.

As in `gpu_tiled_backward`, a program owns what it writes, so nothing is added to from two programs
and equal calls give equal bits. In both, one warpgroup copies (`mosaic_stream`) and two work.

For queries, each has 64 queries and their cotangents in registers, and visits blocks of keys: dQ =
dS K. For keys, each has 64 keys and values in tiles, and visits blocks of the queries of all heads
that share them. There scores are transposed, [keys, queries], so that probabilities and their
gradients are at hand as left operands in registers: dV = P^T dO, dK = dS^T Q (FlashAttention-3,
arXiv 2407.08608).
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array

from hrm_kernels import jax_versions, mosaic_blocks
from hrm_kernels.blocks import (
    cdiv,
    key_block_bounds,
    query_block_bounds,
    whole_key_block_bounds,
    whole_query_block_bounds,
)
from hrm_kernels.gpu_blocks import LOG2_E
from hrm_kernels.gpu_tiles import tile
from hrm_kernels.mask import KeyRanges
from hrm_kernels.mosaic_blocks import ROWS, Kernel, Seen, load, over_columns, over_rows, plgpu
from hrm_kernels.mosaic_stream import Detour, Stream
from hrm_kernels.operands import Case, Operands, Options, case_of, expected_gradient

WORKING = 2
"""Warpgroups that work."""
OWNED = ROWS * WORKING
"""Queries, or keys, of a program."""


def backward(options: Options, operands: Operands, out, lse, d_out, d_lse):
    """Computes the cotangents of query, key and value; see `operands.Backward`."""
    # An infinite log-sum-exp makes every weight of a query without keys, or beyond the end, zero.
    safe_lse = jnp.where(lse > -jnp.inf, lse * LOG2_E, jnp.inf)
    expected = expected_gradient(out, d_out, d_lse, lse)
    # Cotangents of these queries, which none may use, may be NaN.
    expected = jnp.where(lse > -jnp.inf, expected, 0)
    L = OWNED * cdiv(lse.shape[-1], OWNED)
    # [B, N, J, 2, ROWS]: what each query adds to the scores and to their gradients.
    sums = jnp.stack(
        [
            mosaic_blocks.blocks_of(safe_lse, L, jnp.inf),
            mosaic_blocks.blocks_of(expected, L),
        ],
        axis=3,
    )
    d_query = _for_queries(options, operands, sums, d_out)
    return d_query, *_for_keys(options, operands, sums, d_out)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Owned:
    """The shared memory of what a program owns: outside the types, inside the references.

    It is read as rows, as lengths may be any, and multiplied as tiles.

    Attributes:
      rows: queries and cotangents, or keys and values, [WORKING, ROWS, K] each; then the gradients.
      tiles: the same, in tiles.
      copied: a barrier for each warpgroup and each of the two.
    """

    rows: tuple[Any, Any]
    tiles: tuple[Any, Any]
    copied: Any

    @classmethod
    def of(cls, K: int, dtype: Any) -> "_Owned":
        """Returns the types."""
        shape = (WORKING, ROWS, K)
        rows = mosaic_blocks.plain(shape, dtype)
        tiles = mosaic_blocks.tiled(shape, dtype)
        return cls((rows, rows), (tiles, tiles), plgpu.Barrier(num_barriers=2 * WORKING))

    def read(self, me: Any, sources: tuple[Any, Any], clean: Callable[[Array], Array]) -> None:
        """Copies a warpgroup's part of two arrays, and puts what `clean` leaves of it in tiles."""
        barriers = [self.copied.at[WORKING * i + me] for i in range(2)]
        for source, target, barrier in zip(sources, self.rows, barriers, strict=True):
            plgpu.copy_gmem_to_smem(source, target.at[me], barrier)
        for rows, tiles, barrier in zip(self.rows, self.tiles, barriers, strict=True):
            plgpu.barrier_wait(barrier)
            tiles.at[me][...] = clean(load(rows.at[me]))
        plgpu.commit_smem()

    def write(self, me: Any, blocks: Sequence[Array], targets: Sequence[Any]) -> None:
        """Copies a warpgroup's results to their arrays."""
        for block, rows in zip(blocks, self.rows, strict=False):
            jax_versions.mosaic_store(rows.at[me], block.astype(rows.dtype))
        plgpu.commit_smem()
        for rows, target in zip(self.rows, targets, strict=False):
            plgpu.copy_smem_to_gmem(rows.at[me], target)
        plgpu.wait_smem_to_gmem(0)


def _for_queries(options: Options, operands: Operands, sums: Array, d_out: Array) -> Array:
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
            _Owned.of(K, query.dtype),
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
        owned.read(me, (query.at[at], d_out.at[at]), functools.partial(_alive_rows, ranges))
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


def _alive_rows(ranges: tuple[Array, ...] | None, block: Array) -> Array:
    """Returns a block of queries or cotangents in which queries without keys are zero."""
    if ranges is None:
        return block
    first, end = (over_columns(x, block.shape[1]) for x in ranges)
    return jnp.where(first < end, block, jnp.zeros_like(block))


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


def _for_keys(
    options: Options, operands: Operands, sums: Array, d_out: Array
) -> tuple[Array, Array]:
    """Returns the gradients of keys and values."""
    case = case_of(operands, options.generation)
    key = operands.key
    dtype = key.dtype
    B, S, M, K = key.shape
    cut = tile("mosaic_tiled_d_key", case)
    kernel = Kernel("attention_mosaic_d_key", WORKING + 1, options.interpret)
    bounds = None
    seen = None
    ranges = None
    if operands.ranges is not None:
        bounds = (
            *query_block_bounds(operands.ranges, S, ROWS, OWNED),
            *whole_query_block_bounds(operands.ranges, S, ROWS, OWNED),
        )
        seen = _SeenBy.of(operands.ranges, ROWS * sums.shape[2])
        ranges = Stream.of((2, ROWS), jnp.int32, cut.stages, WORKING, in_tiles=False)
    block = Stream.of((ROWS, K), dtype, cut.stages, WORKING)
    streams = _Streams(
        queries=block,
        cotangents=block,
        sums=Stream.of((2, ROWS), jnp.float32, cut.stages, WORKING, in_tiles=False),
        ranges=ranges,
        detour=Detour.of(case.T, (ROWS, K), dtype),
    )
    d_key, d_value = kernel.call(
        functools.partial(_differentiate_keys, kernel, options.scale, case),
        grid=(M, B, cdiv(S, OWNED)),
        out_type=[jax.ShapeDtypeStruct(key.shape, dtype)] * 2,
        scratch=(_Owned.of(K, dtype), streams),
    )(*(operands.query, key, operands.value), seen, bounds, sums, d_out)
    return d_key, d_value


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _SeenBy:
    """A mask as the kernel for keys reads it.

    Attributes:
      ranges: [B, J, 2, ROWS] int32, the first and the end of the keys of each query.
      alive: [B, J] int32, whether all queries of a block see any key. Those beyond the last count
        as if they did: they are copied as zeros.
      low: as in `Seen`.
      high: likewise.
    """

    ranges: Array
    alive: Array
    low: Array
    high: Array

    @classmethod
    def of(cls, ranges: KeyRanges, L: int) -> "_SeenBy":
        """Returns ranges of keys in blocks of rows, filled up to L queries."""
        seen = Seen.of(ranges, L)
        assert seen is not None
        both = jnp.stack([seen.first, seen.end], axis=2)
        alive = mosaic_blocks.blocks_of(ranges.first < ranges.end, L, True)
        return cls(both, alive.all(-1).astype(jnp.int32), seen.low, seen.high)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Streams:
    """What the kernel for keys visits, in blocks of 64 queries.

    Attributes:
      queries: in tiles.
      cotangents: in tiles.
      sums: of each query.
      ranges: of keys, of each query; None without a mask.
      detour: for queries and cotangents.
    """

    queries: Stream
    cotangents: Stream
    sums: Stream
    ranges: Stream | None
    detour: Detour

    @property
    def all(self) -> list[Stream]:
        """Those that there are."""
        streams = (self.queries, self.sums, self.ranges, self.cotangents)
        return [stream for stream in streams if stream is not None]


def _differentiate_keys(
    kernel: Kernel, scale: float, case: Case, query, key, value, seen, bounds, sums, *rest
) -> None:
    """Computes the gradients of a block of keys: one warpgroup copies, the others multiply."""
    d_out, d_key, d_value, owned, streams = rest
    me = jax.lax.axis_index("warpgroup")
    b = jax.lax.axis_index("row")
    head = jax.lax.axis_index("head")
    block = jax.lax.axis_index("block")
    first, end = jnp.int32(0), jnp.int32(cdiv(case.T, ROWS))
    whole = first, end
    if bounds is not None:
        first, end, *whole = (bound[b, block] for bound in bounds)
    G = case.N // case.M
    count = G * (end - first)

    @pl.when(me == WORKING)
    def _():
        mosaic_blocks.take_registers(kernel, copies=True)

        def step(i, _):
            n = head * G + jax.lax.div(i, end - first)
            j = first + jax.lax.rem(i, end - first)
            _copy_queries(streams, (query, d_out), seen, sums, (b, n, j), i)

        jax.lax.fori_loop(0, count, step, None)
        for stream in streams.all:
            stream.drain(count)

    @pl.when(me < WORKING)
    def _():
        mosaic_blocks.take_registers(kernel, copies=False)
        begin = OWNED * block + ROWS * me
        at = b, pl.ds(begin, ROWS), head
        clean = functools.partial(_seen_rows, seen, b, begin)
        owned.read(me, (key.at[at], value.at[at]), clean)

        def step(i, state):
            j = first + jax.lax.rem(i, end - first)
            needs_mask = (j < whole[0]) | (j >= whole[1])
            return _add_for_keys(
                kernel, scale, owned.tiles, me, begin, streams, needs_mask, i, state
            )

        zeros = kernel.zeros((ROWS, case.K))
        for_key, for_value = jax.lax.fori_loop(0, count, step, (zeros, zeros))
        owned.write(me, (for_key * scale, for_value), (d_key.at[at], d_value.at[at]))


def _seen_rows(seen: _SeenBy | None, b: Any, begin: Any, block: Array) -> Array:
    """Returns a block of keys or values in which those that no query sees are zero."""
    if seen is None:
        return block
    low = seen.low[b]
    high = seen.high[b]
    return mosaic_blocks.zero_unless(lambda row: (low <= row + begin) & (row + begin < high), block)


def _copy_queries(streams: _Streams, sources, seen, sums, place, i) -> None:
    """Copies the i-th block of queries, cotangents, their sums, and their ranges of keys."""
    b, n, j = place
    query, d_out = sources
    rows = b, pl.ds(ROWS * j, ROWS), n
    cleaning = ()
    if seen is not None:
        bounds = seen.ranges

        def clean(block: Array, _: int) -> Array:
            layout = mosaic_blocks.row_layout()
            ranges = tuple(load(bounds.at[b, j, i], layout) for i in range(2))
            return _alive_rows(ranges, block)

        # What a query without keys holds, its cotangent too, would be multiplied by zero.
        cleaning = clean, seen.alive[b, j] > 0
    streams.queries.put(i, query.at[rows], streams.detour, *cleaning)
    streams.sums.put(i, sums.at[b, n, j])
    if streams.ranges is not None:
        streams.ranges.put(i, seen.ranges.at[b, j])
    streams.cotangents.put(i, d_out.at[rows], streams.detour, *cleaning)


def _add_for_keys(
    kernel: Kernel, scale, tiles, me, begin, streams: _Streams, needs_mask, i, state
) -> tuple[Array, Array]:
    """Returns the gradients of 64 keys and values with those of the i-th block of queries."""
    for_key, for_value = state
    keys, values = tiles
    block = (ROWS, ROWS)
    dtype = keys.dtype

    def by_query(stream, *at):
        return over_rows(load(stream.at[at], mosaic_blocks.column_layout()), ROWS)

    queries = streams.queries.wait(i)
    pair = (lambda: keys.at[me]), (lambda: queries().transpose((1, 0)))
    scores = kernel.product(block, pair) * (scale * LOG2_E)
    if streams.ranges is not None:
        ranges = streams.ranges.wait(i)

        def allowed():
            position = plgpu.broadcasted_iota(jnp.int32, block, 0, layout=plgpu.Layout.WGMMA)
            position = position + begin
            return (by_query(ranges(), 0) <= position) & (position < by_query(ranges(), 1))

        scores = mosaic_blocks.masked(scores, needs_mask, allowed)
    sums = streams.sums.wait(i)
    weights = jnp.exp2(scores - by_query(sums(), 0))
    cotangents = streams.cotangents.wait(i)
    for_value, d_weights = kernel.products(
        (for_value, (weights.astype(dtype), cotangents)),
        (
            kernel.zeros(block),
            ((lambda: values.at[me]), (lambda: cotangents().transpose((1, 0)))),
        ),
    )
    d_scores = weights * (d_weights - by_query(sums(), 1))
    for_key = kernel.product(for_key.shape, (d_scores.astype(dtype), queries), onto=for_key)
    for stream in streams.all:
        stream.release(i)
    return for_key, for_value
