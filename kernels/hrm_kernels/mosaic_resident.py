"""Attention on Hopper for short sequences: all keys of a head in shared memory, in one pass.

A program has one head of one row of the batch, and a warpgroup for each 64 tokens. Each warpgroup
turns 64 keys and values into tiles, then attends from 64 queries to all keys; there is no online
softmax. Many programs share a core, and hide each other's copies.
"""

import functools

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl

from hrm_kernels import jax_versions, mosaic_blocks
from hrm_kernels.gpu_blocks import LOG2_E
from hrm_kernels.mesh import over_mesh
from hrm_kernels.mosaic_blocks import ROWS, Kernel, Turn, load, over_columns, plgpu
from hrm_kernels.mosaic_resident_backward import backward
from hrm_kernels.operands import Case, Operands, Options, case_of
from hrm_kernels.vjp import differentiable

MAX_LENGTH = 128
"""Longest sequence: the scores of 64 queries fit in a warpgroup's registers."""


def refuses(case: Case) -> str | None:
    """Returns why a case cannot be served, or None."""
    reason = mosaic_blocks.refuses(case)
    if reason is None and max(case.T, case.S) > MAX_LENGTH:
        return f"holds all keys of a head: up to {MAX_LENGTH}; use mosaic_tiled"
    return reason


def forward(options: Options, operands: Operands):
    """Computes attention; see `operands.Forward`."""
    case = case_of(operands)
    query = operands.query
    B, T, N, K = query.shape
    dtype = query.dtype
    blocks = mosaic_blocks.block_count(T, case.S)
    L = ROWS * blocks
    turn = Turn(K, operands.rope is not None)
    kernel = Kernel("attention_mosaic_resident", blocks, options.interpret)
    out, lse = kernel.call(
        functools.partial(_attend, kernel, options.scale, case, turn),
        grid=(N, B),
        # A copy needs rows of a multiple of 16 bytes, so the log-sum-exp has some entries more.
        out_type=(
            jax.ShapeDtypeStruct(query.shape, dtype),
            jax.ShapeDtypeStruct((B, N, L), jnp.float32),
        ),
        scratch=(
            *(mosaic_blocks.plain((blocks, ROWS, K), dtype) for _ in range(3)),
            mosaic_blocks.tiled((len(turn.parts), L, turn.width), dtype),
            mosaic_blocks.tiled((L, K), dtype),
            mosaic_blocks.plain((blocks, ROWS), jnp.float32),
            plgpu.Barrier(num_barriers=3 * blocks),
            plgpu.Barrier(num_arrivals=blocks),
        ),
    )(
        *(query, operands.key, operands.value),
        mosaic_blocks.Seen.of(operands.ranges, L),
        mosaic_blocks.tables_of(operands.rope, L),
    )
    return out, lse[..., :T] if options.with_lse else None


def _attend(
    kernel: Kernel, scale: float, case: Case, turn: Turn, query, key, value, seen, tables, *rest
) -> None:
    """Computes 64 queries of a head in each warpgroup."""
    out, lse, queries, keys, values, tiled_keys, tiled_values, sums, copied, together = rest
    head = jax.lax.axis_index("head")
    b = jax.lax.axis_index("row")
    me = jax.lax.axis_index("warpgroup")
    key_head = jax.lax.div(head, jnp.int32(case.N // case.M))
    mine = pl.ds(ROWS * me, ROWS)
    blocks = kernel.warpgroups
    sources = ((key, key_head, keys), (value, key_head, values), (query, head, queries))
    for i, (source, n, target) in enumerate(sources):
        barrier = copied.at[blocks * i + me]
        plgpu.copy_gmem_to_smem(source.at[b, mine, n], target.at[me], barrier)
    rotation = tuple(table.at[me] for table in tables) or None
    plgpu.barrier_wait(copied.at[me])
    for i, part in enumerate(turn.read(keys.at[me], rotation)):
        tiled_keys.at[i, mine][...] = part
    plgpu.barrier_wait(copied.at[blocks + me])
    tiled_values.at[mine][...] = mosaic_blocks.seen_rows(load(values.at[me]), seen, b, ROWS * me)
    kernel.meet(together)
    plgpu.barrier_wait(copied.at[2 * blocks + me])
    columns = mosaic_blocks.tile_columns(case.K)
    S = columns * pl.cdiv(case.S, columns)
    halves = [
        (part, functools.partial(lambda i: tiled_keys.at[i, pl.ds(0, S)].transpose((1, 0)), i))
        for i, part in enumerate(turn.read(queries.at[me], rotation))
    ]
    scores = kernel.product((ROWS, S), *halves) * (scale * LOG2_E)
    position = plgpu.broadcasted_iota(jnp.int32, (ROWS, S), 1, layout=plgpu.Layout.WGMMA)
    allowed = position < case.S
    if seen is not None:
        layout = mosaic_blocks.row_layout()
        first, end = (load(x.at[b, me], layout) for x in (seen.first, seen.end))
        allowed = (over_columns(first, S) <= position) & (position < over_columns(end, S))
    scores = jnp.where(allowed, scores, -jnp.inf)
    # A query without keys has -inf for its maximum, and -inf - -inf would be NaN.
    largest = scores.max(axis=1)
    largest = jnp.where(largest > -jnp.inf, largest, 0.0)
    weights = jnp.exp2(scores - over_columns(largest, S))
    total = weights.sum(axis=1)
    attended = kernel.product(
        (ROWS, case.K), (weights.astype(out.dtype), lambda: tiled_values.at[pl.ds(0, S)])
    )
    attended = attended * over_columns(jnp.where(total > 0, 1 / total, 0.0), case.K)
    # The queries have been read, so their memory takes the result.
    jax_versions.mosaic_store(queries.at[me], attended.astype(out.dtype))
    natural = jnp.where(total > 0, (largest + jnp.log2(total)) / LOG2_E, -jnp.inf)
    jax_versions.mosaic_store(sums.at[me], natural)
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(queries.at[me], out.at[b, mine, head])
    plgpu.copy_smem_to_gmem(sums.at[me], lse.at[b, head, mine])
    plgpu.wait_smem_to_gmem(0)


attend = functools.partial(differentiable, over_mesh(forward), over_mesh(backward))
