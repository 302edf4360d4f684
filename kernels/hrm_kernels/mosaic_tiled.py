"""Attention on Hopper for long sequences: one warpgroup copies keys and values, two attend.

The pipeline is FlashAttention-3's (arXiv 2407.08608): the copying warpgroup keeps some blocks
ahead in shared memory; each of the others has 64 queries in registers and visits the blocks with an
online softmax. Only blocks in which the mask allows anything are visited. Keys and values are
copied into tiles as they are, so values that no query sees become zero in the blocks at both ends.

The gradient is that of `gpu_tiled`.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array

from hrm_kernels import gpu_tiled_backward, jax_versions, mosaic_blocks
from hrm_kernels.blocks import cdiv, key_block_bounds
from hrm_kernels.gpu_blocks import LOG2_E
from hrm_kernels.gpu_tiles import tile
from hrm_kernels.mesh import over_mesh
from hrm_kernels.mosaic_blocks import ROWS, Kernel, Seen, load, over_columns, plgpu
from hrm_kernels.operands import Case, Operands, Options, case_of
from hrm_kernels.vjp import differentiable

ATTENDING = 2
"""Warpgroups that attend."""
QUERIES = ROWS * ATTENDING
ATTENDING_REGISTERS = 216
COPYING_REGISTERS = 72
"""Registers of a thread, of 65,536 for three warpgroups of 128 threads."""
LEAST_QUERIES = 64


def refuses(case: Case) -> str | None:
    """Returns why a case cannot be served, or None."""
    reason = mosaic_blocks.refuses(case)
    if reason is not None:
        return reason
    if case.T < LEAST_QUERIES:
        return f"does not split keys among programs, {case.T} queries fill none; use backend='gpu'"
    if case.S % 8:
        return f"copies keys into tiles of 8, got {case.S}; use backend='gpu'"
    return None


def forward(options: Options, operands: Operands):
    """Computes attention; see `operands.Forward`."""
    case = case_of(operands, options.generation)
    query = operands.query
    B, T, N, K = query.shape
    cut = tile("mosaic_tiled", case)
    programs = cdiv(T, QUERIES)
    L = QUERIES * programs
    kernel = Kernel("attention_mosaic_tiled", ATTENDING + 1, options.interpret)
    bounds = None
    if operands.ranges is not None:
        bounds = key_block_bounds(operands.ranges, QUERIES, cut.keys)
    block = (cut.stages, cut.keys, K)
    out, lse = kernel.call(
        functools.partial(_attend, kernel, options.scale, case, cut.keys, cut.stages),
        grid=(N, B, programs),
        out_type=(
            jax.ShapeDtypeStruct(query.shape, query.dtype),
            jax.ShapeDtypeStruct((B, N, L), jnp.float32),
        ),
        scratch=(
            mosaic_blocks.plain((ATTENDING, ROWS, K), query.dtype),
            mosaic_blocks.tiled(block, query.dtype),
            mosaic_blocks.tiled(block, query.dtype),
            mosaic_blocks.plain((ATTENDING, ROWS), jnp.float32),
            plgpu.Barrier(num_barriers=ATTENDING),
            *(plgpu.Barrier(num_barriers=cut.stages) for _ in range(2)),
            *(plgpu.Barrier(num_arrivals=ATTENDING, num_barriers=cut.stages) for _ in range(2)),
            plgpu.Barrier(),
        ),
    )(query, operands.key, operands.value, Seen.of(operands.ranges, L), bounds)
    return out, lse[..., :T] if options.with_lse else None


def _attend(
    kernel: Kernel, scale, case: Case, block_k, stages, query, key, value, seen, bounds, *rest
) -> None:
    """Lets one warpgroup copy and the others attend, over the same blocks of keys."""
    out, lse, queries, keys, values, sums, *barriers = rest
    me = jax.lax.axis_index("warpgroup")
    b = jax.lax.axis_index("row")
    place = b, jax.lax.axis_index("head"), jax.lax.axis_index("block")
    first = jnp.int32(0)
    end = jnp.int32(cdiv(case.S, block_k))
    if bounds is not None:
        first, end = (bound[b, place[2]] for bound in bounds)

    @pl.when(me == ATTENDING)
    def _():
        plgpu.set_max_registers(COPYING_REGISTERS, action="decrease")
        _copy(
            case, block_k, stages, place, (first, end), (key, value), seen, (keys, values), barriers
        )

    @pl.when(me < ATTENDING)
    def _():
        plgpu.set_max_registers(ATTENDING_REGISTERS, action="increase")
        memory = queries, keys, values, sums
        _visit(
            kernel,
            scale,
            case,
            stages,
            place,
            (first, end),
            me,
            query,
            seen,
            memory,
            barriers,
            (out, lse),
        )


def _copy(case: Case, block_k, stages, place, span, sources, seen, targets, barriers) -> None:
    """Copies the blocks of keys and values in order, some blocks ahead of those who attend."""
    _, *copied, keys_read, values_read, alone = barriers
    b, head, _ = place
    first, end = span
    n = jax.lax.div(head, jnp.int32(case.N // case.M))

    def wait_until_read(j, _=None):
        slot = jax.lax.rem(j - first, stages)
        plgpu.barrier_wait(keys_read.at[slot])
        plgpu.barrier_wait(values_read.at[slot])

    def step(j, _):
        slot = jax.lax.rem(j - first, stages)
        rows = pl.ds(block_k * j, block_k)

        @pl.when(j - first >= stages)
        def _():
            wait_until_read(j)

        arrived = tuple(barrier.at[slot] for barrier in copied)
        whole = jnp.bool_(True)
        if seen is not None:
            low = seen.low[b]
            high = seen.high[b]
            whole = (low <= block_k * j) & (block_k * (j + 1) <= high)
        plgpu.copy_gmem_to_smem(sources[0].at[b, rows, n], targets[0].at[slot], arrived[0])

        @pl.when(whole)
        def _():
            plgpu.copy_gmem_to_smem(sources[1].at[b, rows, n], targets[1].at[slot], arrived[1])

        if seen is None:
            return

        @pl.when(jnp.logical_not(whole))
        def _():
            plgpu.copy_gmem_to_smem(sources[1].at[b, rows, n], targets[1].at[slot], alone)
            plgpu.barrier_wait(alone)
            for i in range(block_k // ROWS):
                part = targets[1].at[slot, pl.ds(ROWS * i, ROWS)]
                begin = block_k * j + ROWS * i
                part[...] = mosaic_blocks.zero_unless(
                    lambda row, begin=begin: (low <= row + begin) & (row + begin < high),
                    plgpu.load(part, layout=plgpu.Layout.WGMMA),
                )
            plgpu.commit_smem()
            plgpu.barrier_arrive(arrived[1])

    jax.lax.fori_loop(first, end, step, None)
    # A barrier has to be waited for as often as it completes: here for the last blocks.
    jax.lax.fori_loop(jnp.maximum(first, end - stages), end, wait_until_read, None)


def _visit(
    kernel: Kernel,
    scale,
    case: Case,
    stages,
    place,
    span,
    me,
    query,
    seen,
    memory,
    barriers,
    results,
) -> None:
    """Attends from 64 queries to the blocks of keys, in order, and writes what they found."""
    queries_copied, keys_copied, values_copied, keys_read, values_read, _ = barriers
    queries, keys, values, sums = memory
    out, lse = results
    b, head, program = place
    first, end = span
    block_k = keys.shape[1]
    rows = pl.ds(QUERIES * program + ROWS * me, ROWS)
    plgpu.copy_gmem_to_smem(query.at[b, rows, head], queries.at[me], queries_copied.at[me])
    plgpu.barrier_wait(queries_copied.at[me])
    mine = load(queries.at[me])
    scores_shape = (ROWS, block_k)
    ranges = None
    if seen is not None:
        at = b, ATTENDING * program + me
        ranges = tuple(load(x.at[at], mosaic_blocks.row_layout()) for x in (seen.first, seen.end))

    def step(j, state):
        attended, largest, total = state
        slot = jax.lax.rem(j - first, stages)
        plgpu.barrier_wait(keys_copied.at[slot])
        scores = kernel.product(scores_shape, (mine, lambda: keys.at[slot].transpose((1, 0))))
        plgpu.barrier_arrive(keys_read.at[slot])
        scores = jnp.where(_allowed(case, j, block_k, ranges), scores * (scale * LOG2_E), -jnp.inf)
        # Online softmax: the sums so far are rescaled whenever a block has a larger maximum.
        new_largest = jnp.maximum(largest, scores.max(axis=1))
        safe = jnp.where(new_largest > -jnp.inf, new_largest, 0.0)
        weights = jnp.exp2(scores - over_columns(safe, block_k))
        shrink = jnp.exp2(largest - safe)
        total = total * shrink + weights.sum(axis=1)
        attended = attended * over_columns(shrink, case.K)
        plgpu.barrier_wait(values_copied.at[slot])
        pair = weights.astype(out.dtype), lambda: values.at[slot]
        attended = kernel.product((ROWS, case.K), pair, onto=attended)
        plgpu.barrier_arrive(values_read.at[slot])
        return attended, new_largest, total

    zeros = plgpu.layout_cast(jnp.zeros(ROWS, jnp.float32), mosaic_blocks.row_layout())
    state = kernel.zeros((ROWS, case.K)), zeros - jnp.inf, zeros
    attended, largest, total = jax.lax.fori_loop(first, end, step, state)
    attended = attended * over_columns(jnp.where(total > 0, 1 / total, 0.0), case.K)
    jax_versions.mosaic_store(queries.at[me], attended.astype(out.dtype))
    natural = jnp.where(total > 0, (largest + jnp.log2(total)) / LOG2_E, -jnp.inf)
    jax_versions.mosaic_store(sums.at[me], natural)
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(queries.at[me], out.at[b, rows, head])
    plgpu.copy_smem_to_gmem(sums.at[me], lse.at[b, head, rows])
    plgpu.wait_smem_to_gmem(0)


def _allowed(case: Case, j: Any, block_k: int, ranges: tuple[Array, ...] | None) -> Array:
    """Returns which query sees which key of a block."""
    position = plgpu.broadcasted_iota(jnp.int32, (ROWS, block_k), 1, layout=plgpu.Layout.WGMMA)
    position = position + block_k * j
    if ranges is None:
        return position < case.S
    first, end = (over_columns(x, block_k) for x in ranges)
    return (first <= position) & (position < end)


def backward(options: Options, operands: Operands, out, lse, d_out, d_lse):
    """Computes the cotangents of query, key and value by Triton; see `operands.Backward`."""
    # Triton's kernels run in Pallas' plain interpreter.
    options = dataclasses.replace(options, interpret=bool(options.interpret))
    return gpu_tiled_backward.backward(options, operands, out, lse, d_out, d_lse)


attend = functools.partial(differentiable, over_mesh(forward), over_mesh(backward))
