"""The gradients of keys and values in the tiled Mosaic kernel: dK = dS^T Q and dV = P^T dO.

Each working warpgroup has 64 keys and values in tiles, and visits blocks of the queries of all
heads that share them. Scores are transposed, [keys, queries], so that probabilities and their
gradients are at hand as left operands in registers (FlashAttention-3, arXiv 2407.08608).
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array

from hrm_kernels import mosaic_blocks
from hrm_kernels.blocks import cdiv, query_block_bounds, whole_query_block_bounds
from hrm_kernels.gpu_blocks import LOG2_E
from hrm_kernels.gpu_tiles import tile
from hrm_kernels.mask import KeyRanges
from hrm_kernels.mosaic_blocks import ROWS, Kernel, Seen, load, over_rows, plgpu
from hrm_kernels.mosaic_stream import OWNED, WORKING, Detour, Owned, Stream
from hrm_kernels.operands import Case, Operands, Options, case_of


def for_keys(
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
        scratch=(Owned.of(K, dtype), streams),
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
        # Those that no query sees may be NaN, and are multiplied by zero.
        owned.read(
            me,
            (key.at[at], value.at[at]),
            lambda block: mosaic_blocks.seen_rows(block, seen, b, begin),
        )

        def step(i, state):
            j = first + jax.lax.rem(i, end - first)
            needs_mask = (j < whole[0]) | (j >= whole[1])
            return _add_for_keys(
                kernel, scale, owned.tiles, me, begin, streams, needs_mask, i, state
            )

        zeros = kernel.zeros((ROWS, case.K))
        for_key, for_value = jax.lax.fori_loop(0, count, step, (zeros, zeros))
        owned.write(me, (for_key * scale, for_value), (d_key.at[at], d_value.at[at]))


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
            return mosaic_blocks.alive_rows(ranges, block)

        # What a query without keys holds, its cotangent too, would be multiplied by zero.
        cleaning = clean, seen.alive[b, j] > 0
    streams.queries.put(i, query.at[rows], streams.detour, *cleaning)
    streams.sums.put(i, sums.at[b, n, j])
    if streams.ranges is not None and seen is not None:
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
