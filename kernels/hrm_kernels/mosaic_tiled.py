"""Attention on Hopper for long sequences, and decoding: one warpgroup copies, one or two attend.

The pipeline is FlashAttention-3's (arXiv 2407.08608): the copying warpgroup keeps some blocks of
keys and values ahead in shared memory; each of the others has 64 queries in registers and visits
the blocks with an online softmax. Only blocks in which the mask allows anything are visited, and
scores of blocks that all of a program's queries see whole are not masked.

Where there are few queries, as in decoding, the blocks that they see are split among programs,
whose results are combined by their log-sum-exp, always in the same order.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from hrm_kernels import jax_versions, mosaic_blocks
from hrm_kernels.blocks import cdiv, joined, key_block_bounds, whole_key_block_bounds
from hrm_kernels.gpu_blocks import LOG2_E
from hrm_kernels.gpu_tiles import tile
from hrm_kernels.mesh import over_mesh
from hrm_kernels.mosaic_blocks import ROWS, Kernel, Seen, load, over_columns, plgpu
from hrm_kernels.mosaic_stream import Detour, Stream, is_tiled
from hrm_kernels.mosaic_tiled_backward import backward
from hrm_kernels.operands import Case, Operands, Options, case_of
from hrm_kernels.vjp import differentiable

ATTENDING = 2
"""Most warpgroups that attend."""
PROGRAMS = 264
MIN_SPLIT = 128
"""Number of programs that fill a GPU, about twice its cores, and least keys in a split."""

refuses = mosaic_blocks.refuses


def forward(options: Options, operands: Operands):
    """Computes attention; see `operands.Forward`."""
    case = case_of(operands, options.generation)
    query = operands.query
    B, T, N, K = query.shape
    cut = tile("mosaic_tiled", case)
    # Blocks that are not copied into tiles take memory in rows besides.
    block_k = cut.keys if is_tiled(case.S) else ROWS
    attending = min(ATTENDING, cdiv(T, ROWS))
    queries = ROWS * attending
    blocks = cdiv(T, queries)
    splits = max(1, min(PROGRAMS // (blocks * N * B), case.S // MIN_SPLIT))
    kernel = Kernel("attention_mosaic_tiled", attending + 1, options.interpret)
    # Partial results stay in float32 until they are combined.
    dtype = query.dtype if splits == 1 else jnp.float32
    bounds = None
    if operands.ranges is not None:
        bounds = (
            *key_block_bounds(operands.ranges, queries, block_k),
            *whole_key_block_bounds(operands.ranges, queries, block_k),
        )
    L = queries * blocks
    stream = Stream.of((block_k, K), query.dtype, cut.stages, attending)
    out, lse = kernel.call(
        functools.partial(_attend, kernel, options.scale, case, splits),
        grid=(N, B, blocks * splits),
        out_type=(
            jax.ShapeDtypeStruct((splits, B, T, N, K), dtype),
            jax.ShapeDtypeStruct((splits, B, N, L), jnp.float32),
        ),
        scratch=(
            _Memory(
                queries=mosaic_blocks.plain((attending, ROWS, K), query.dtype),
                results=None if splits == 1 else mosaic_blocks.plain((attending, ROWS, K), dtype),
                sums=mosaic_blocks.plain((attending, ROWS), jnp.float32),
                copied=plgpu.Barrier(num_barriers=attending),
            ),
            (stream, stream),
            Detour.of(case.S, (block_k, K), query.dtype),
        ),
    )(query, operands.key, operands.value, Seen.of(operands.ranges, L), bounds)
    out, lse = joined(out, lse[..., :T]) if splits > 1 else (out[0], lse[0, ..., :T])
    return out.astype(query.dtype), lse if options.with_lse else None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Memory:
    """The shared memory of the warpgroups that attend: outside the types, inside the references.

    Attributes:
      queries: [attending, ROWS, K] in rows.
      results: likewise, float32; None where results take the place of the queries.
      sums: [attending, ROWS] float32, for the log-sum-exp.
      copied: a barrier for each, at which its queries arrive.
    """

    queries: Any
    results: Any
    sums: Any
    copied: Any


@dataclasses.dataclass(frozen=True)
class _Work:
    """What a program does: the row of the batch, head, block of queries, and blocks of keys.

    Attributes:
      b: row of the batch.
      head: of the queries.
      block: of the queries.
      split: which part of their keys.
      first: first block of these.
      count: how many.
      whole: first and end of the blocks that need no mask.
    """

    b: Any
    head: Any
    block: Any
    split: Any
    first: Any
    count: Any
    whole: tuple[Any, Any]


def _work_of(case: Case, block_k: int, splits: int, bounds: Any) -> _Work:
    """Returns what the program at hand does."""
    b = jax.lax.axis_index("row")
    i = jax.lax.axis_index("block")
    block = jax.lax.div(i, jnp.int32(splits))
    split = jax.lax.rem(i, jnp.int32(splits))
    first, end = jnp.int32(0), jnp.int32(cdiv(case.S, block_k))
    whole = jnp.int32(0), jnp.int32(case.S // block_k)
    if bounds is not None:
        first, end, *whole = (bound[b, block] for bound in bounds)
    # Evenly, so that a row's bits depend on its own length alone, and no program waits for another.
    share = jax.lax.div(end - first + (splits - 1), jnp.int32(splits))
    low = first + share * split
    count = jnp.maximum(jnp.minimum(end, low + share) - low, 0)
    return _Work(b, jax.lax.axis_index("head"), block, split, low, count, tuple(whole))


def _attend(
    kernel: Kernel, scale: float, case: Case, splits: int, query, key, value, seen, bounds, *rest
) -> None:
    """Lets one warpgroup copy and the others attend, over the same blocks of keys."""
    out, lse, memory, streams, detour = rest
    work = _work_of(case, streams[0].slots.shape[1], splits, bounds)
    me = jax.lax.axis_index("warpgroup")
    attending = kernel.warpgroups - 1

    @pl.when(me == attending)
    def _():
        mosaic_blocks.take_registers(kernel, copies=True)
        _copy(case, work, (key, value), seen, streams, detour)

    @pl.when(me < attending)
    def _():
        mosaic_blocks.take_registers(kernel, copies=False)
        _visit(kernel, scale, case, work, me, query, seen, memory, streams, (out, lse))


def _copy(case: Case, work: _Work, sources, seen, streams, detour: Detour) -> None:
    """Copies the blocks of keys and values in order, some blocks ahead of those who attend."""
    n = jax.lax.div(work.head, jnp.int32(case.N // case.M))
    key, value = sources
    keys, values = streams
    block_k = keys.slots.shape[1]
    # Weights of what is hidden are zero, and zero times NaN would be NaN.
    cleaning = seen.cleaning(work.b, block_k) if seen is not None else lambda _: ()

    def step(i, _):
        begin = block_k * (work.first + i)
        rows = work.b, pl.ds(begin, block_k), n
        keys.put(i, key.at[rows], detour)
        values.put(i, value.at[rows], detour, *cleaning(begin))

    jax.lax.fori_loop(0, work.count, step, None)
    for stream in streams:
        stream.drain(work.count)


def _visit(
    kernel: Kernel,
    scale,
    case: Case,
    work: _Work,
    me,
    query,
    seen,
    memory: _Memory,
    streams,
    results,
) -> None:
    """Attends from 64 queries to the blocks of keys, in order, and writes what they found."""
    out, lse = results
    keys, values = streams
    block_k = keys.slots.shape[1]
    block = (kernel.warpgroups - 1) * work.block + me
    rows = pl.ds(ROWS * block, ROWS)
    mine = memory.queries.at[me]
    plgpu.copy_gmem_to_smem(query.at[work.b, rows, work.head], mine, memory.copied.at[me])
    plgpu.barrier_wait(memory.copied.at[me])
    queries = load(mine)
    ranges = seen.at(work.b, block, mosaic_blocks.row_layout()) if seen is not None else None

    def step(i, state):
        attended, largest, total = state
        arrived = keys.wait(i)
        pair = queries, lambda: arrived().transpose((1, 0))
        scores = kernel.product((ROWS, block_k), pair) * (scale * LOG2_E)
        keys.release(i)
        j = work.first + i
        scores = mosaic_blocks.masked(
            scores,
            (j < work.whole[0]) | (j >= work.whole[1]),
            lambda: mosaic_blocks.sees_keys(ranges, case.S, block_k * j, block_k),
        )
        # Online softmax: the sums so far are rescaled whenever a block has a larger maximum.
        new_largest = jnp.maximum(largest, scores.max(axis=1))
        safe = jnp.where(new_largest > -jnp.inf, new_largest, 0.0)
        weights = jnp.exp2(scores - over_columns(safe, block_k))
        shrink = jnp.exp2(largest - safe)
        total = total * shrink + weights.sum(axis=1)
        attended = attended * over_columns(shrink, case.K)
        pair = weights.astype(query.dtype), values.wait(i)
        attended = kernel.product((ROWS, case.K), pair, onto=attended)
        values.release(i)
        return attended, new_largest, total

    zeros = plgpu.layout_cast(jnp.zeros(ROWS, jnp.float32), mosaic_blocks.row_layout())
    state = kernel.zeros((ROWS, case.K)), zeros - jnp.inf, zeros
    attended, largest, total = jax.lax.fori_loop(0, work.count, step, state)
    attended = attended * over_columns(jnp.where(total > 0, 1 / total, 0.0), case.K)
    # The queries have been read, so their memory takes the result if it is of their dtype.
    target = mine if memory.results is None else memory.results.at[me]
    jax_versions.mosaic_store(target, attended.astype(out.dtype))
    natural = jnp.where(total > 0, (largest + jnp.log2(total)) / LOG2_E, -jnp.inf)
    jax_versions.mosaic_store(memory.sums.at[me], natural)
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(target, out.at[work.split, work.b, rows, work.head])
    plgpu.copy_smem_to_gmem(memory.sums.at[me], lse.at[work.split, work.b, work.head, rows])
    plgpu.wait_smem_to_gmem(0)


attend = functools.partial(differentiable, over_mesh(forward), over_mesh(backward))
