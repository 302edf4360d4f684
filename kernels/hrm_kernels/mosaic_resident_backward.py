"""The gradient of the resident Mosaic kernel: all of a key head's gradients in one program.

A warpgroup has 64 keys, and visits the queries in blocks of 64, of all heads that share the keys.
Scores are held transposed, [keys, queries]: so probabilities and their gradients are at hand as
left operands in registers for dV = P^T dO and dK = dS^T Q (as in FlashAttention-3, arXiv
2407.08608). For dQ = dS K, which sums over all keys, the warpgroups put dS into shared memory, and
one multiplies it.
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array

from hrm_kernels import jax_versions, mosaic_blocks
from hrm_kernels.gpu_blocks import LOG2_E
from hrm_kernels.mosaic_blocks import (
    ROWS,
    Kernel,
    Seen,
    Turn,
    load,
    over_rows,
    plgpu,
)
from hrm_kernels.operands import Case, Operands, Options, case_of, expected_gradient

BLOCK = (ROWS, ROWS)


def backward(options: Options, operands: Operands, out, lse, d_out, d_lse):
    """Computes the cotangents of query, key and value; see `operands.Backward`."""
    case = case_of(operands)
    query = operands.query
    B, _, _, K = query.shape
    dtype = query.dtype
    blocks = mosaic_blocks.block_count(case.T, case.S)
    L = ROWS * blocks
    turn = Turn(K, operands.rope is not None)
    kernel = Kernel("attention_mosaic_resident_backward", blocks, options.interpret)
    # An infinite log-sum-exp makes every weight of a query without keys, or beyond the end, zero.
    safe_lse = jnp.where(lse > -jnp.inf, lse * LOG2_E, jnp.inf)
    parts = len(turn.parts)
    primals = query, operands.key, operands.value
    return kernel.call(
        functools.partial(_differentiate, kernel, options.scale, case, turn),
        grid=(case.M, B),
        out_type=[jax.ShapeDtypeStruct(x.shape, x.dtype) for x in primals],
        scratch=(
            *(mosaic_blocks.plain((blocks, ROWS, K), dtype) for _ in range(2)),
            *(mosaic_blocks.plain((ROWS, K), dtype) for _ in range(2)),
            mosaic_blocks.tiled((parts, L, turn.width), dtype),
            mosaic_blocks.tiled((L, K), dtype),
            mosaic_blocks.tiled((parts, ROWS, turn.width), dtype),
            mosaic_blocks.tiled((ROWS, K), dtype),
            mosaic_blocks.tiled((L, ROWS), dtype, mosaic_blocks.tile_columns(turn.width)),
            plgpu.Barrier(num_barriers=2 * blocks),
            plgpu.Barrier(num_barriers=2),
            plgpu.Barrier(num_arrivals=blocks),
        ),
    )(
        *primals,
        Seen.of(operands.ranges, L),
        mosaic_blocks.tables_of(operands.rope, L),
        mosaic_blocks.blocks_of(safe_lse, L, jnp.inf),
        mosaic_blocks.blocks_of(expected_gradient(out, d_out, d_lse, lse), L),
        d_out,
    )


@dataclasses.dataclass(frozen=True)
class _Memory:
    """The shared memory of a program, and the barriers of its copies and of its warpgroups.

    `keys` to `cotangents` are in rows, what follows in tiles. All warpgroups share a block of
    queries and cotangents, and each has a block of the others.
    """

    keys: Any
    values: Any
    queries: Any
    cotangents: Any
    tiled_keys: Any
    tiled_values: Any
    tiled_queries: Any
    tiled_cotangents: Any
    d_scores: Any
    copied_keys: Any
    copied: Any
    together: Any


@dataclasses.dataclass(frozen=True)
class _Place:
    """A block of queries: the row of the batch, the head, which block of it, and its rows."""

    b: Any
    head: Any
    block: Any
    rows: Any


def _differentiate(
    kernel: Kernel, scale: float, case: Case, turn: Turn, query, key, value, seen, tables, *rest
) -> None:
    """Computes the gradients of 64 keys in each warpgroup, and of all queries together."""
    lse, expected, d_out, d_query, d_key, d_value, *memory = rest
    memory = _Memory(*memory)
    head = jax.lax.axis_index("head")
    b = jax.lax.axis_index("row")
    me = jax.lax.axis_index("warpgroup")
    blocks = kernel.warpgroups
    mine = pl.ds(ROWS * me, ROWS)
    for i, (source, target) in enumerate(((key, memory.keys), (value, memory.values))):
        barrier = memory.copied_keys.at[blocks * i + me]
        plgpu.copy_gmem_to_smem(source.at[b, mine, head], target.at[me], barrier)
    rotation = _block_of(tables, me)
    plgpu.barrier_wait(memory.copied_keys.at[me])
    for i, part in enumerate(turn.read(memory.keys.at[me], rotation)):
        memory.tiled_keys.at[i, mine][...] = mosaic_blocks.seen_rows(part, seen, b, ROWS * me)
    plgpu.barrier_wait(memory.copied_keys.at[blocks + me])
    memory.tiled_values.at[mine][...] = mosaic_blocks.seen_rows(
        load(memory.values.at[me]), seen, b, ROWS * me
    )
    G = case.N // case.M
    count = mosaic_blocks.block_count(case.T)

    def visit(i, state):
        block = jax.lax.rem(i, count)
        n = head * G + jax.lax.div(i, count)
        place = _Place(b, n, block, pl.ds(ROWS * block, ROWS))

        @pl.when(me == 0)
        def _():
            _read_queries(turn, memory, place, seen, tables, query, d_out)

        kernel.meet(memory.together)
        sums = lse, expected
        weights, d_scores = _scores(kernel, scale, case, turn, place, me, seen, sums, memory)
        memory.d_scores.at[mine][...] = d_scores
        state = _add_for_keys(kernel, turn, memory, state, weights, d_scores)
        kernel.meet(memory.together)

        @pl.when(me == jax.lax.rem(i, blocks))
        def _():
            _write_d_query(kernel, turn, memory, place, tables, d_query)

        kernel.meet(memory.together)
        return state

    zeros = tuple(kernel.zeros((ROWS, turn.width)) for _ in turn.parts)
    state = (*zeros, kernel.zeros((ROWS, case.K)))
    *for_key, for_value = jax.lax.fori_loop(0, G * count, visit, state)
    # Keys and values have been read, so their memory takes the gradients.
    turn.write(memory.keys.at[me], for_key, rotation)
    jax_versions.mosaic_store(memory.values.at[me], for_value.astype(value.dtype))
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(memory.keys.at[me], d_key.at[b, mine, head])
    plgpu.copy_smem_to_gmem(memory.values.at[me], d_value.at[b, mine, head])
    plgpu.wait_smem_to_gmem(0)


def _block_of(tables: tuple[Any, ...], block: Any) -> tuple[Any, ...] | None:
    """Returns the rotary tables of a block of positions; None without a rotation."""
    return tuple(table.at[block] for table in tables) or None


def _read_queries(turn: Turn, memory: _Memory, place: _Place, seen, tables, query, d_out) -> None:
    """Copies a block of queries and of cotangents, and turns them into tiles."""
    at = place.b, place.rows, place.head
    plgpu.copy_gmem_to_smem(query.at[at], memory.queries, memory.copied.at[0])
    plgpu.copy_gmem_to_smem(d_out.at[at], memory.cotangents, memory.copied.at[1])
    plgpu.barrier_wait(memory.copied.at[0])
    for j, part in enumerate(turn.read(memory.queries, _block_of(tables, place.block))):
        memory.tiled_queries.at[j][...] = _alive_rows(part, seen, place)
    plgpu.barrier_wait(memory.copied.at[1])
    memory.tiled_cotangents[...] = _alive_rows(load(memory.cotangents), seen, place)


def _add_for_keys(
    kernel: Kernel, turn: Turn, memory: _Memory, state, weights: Array, d_scores: Array
) -> tuple[Array, ...]:
    """Returns the gradients of a warpgroup's keys, in parts, and values with those of a block."""
    *for_key, for_value = state
    found = [
        kernel.product(
            (ROWS, turn.width), (d_scores, lambda j=j: memory.tiled_queries.at[j]), onto=total
        )
        for j, total in enumerate(for_key)
    ]
    pair = weights, lambda: memory.tiled_cotangents
    return *found, kernel.product(for_value.shape, pair, onto=for_value)


def _write_d_query(
    kernel: Kernel, turn: Turn, memory: _Memory, place: _Place, tables, d_query
) -> None:
    """Multiplies the gradients of a block's scores by all keys, and writes what comes out."""
    parts = [
        kernel.product(
            (ROWS, turn.width),
            (lambda: memory.d_scores.transpose((1, 0)), lambda j=j: memory.tiled_keys.at[j]),
        )
        for j in range(len(turn.parts))
    ]
    turn.write(memory.queries, parts, _block_of(tables, place.block))
    plgpu.commit_smem()
    plgpu.copy_smem_to_gmem(memory.queries, d_query.at[place.b, place.rows, place.head])
    plgpu.wait_smem_to_gmem(0)


def _alive_rows(block: Array, seen: Any, place: _Place) -> Array:
    """Returns a block of queries or cotangents in which queries without keys are zero."""
    if seen is None:
        return block
    return mosaic_blocks.alive_rows(
        seen.at(place.b, place.block, mosaic_blocks.row_layout()), block
    )


def _scores(
    kernel: Kernel, scale, case, turn: Turn, place: _Place, me, seen, sums, memory: _Memory
) -> tuple[Array, Array]:
    """Returns the weights and the gradient of the scores, [keys, queries], of a warpgroup."""
    mine = pl.ds(ROWS * me, ROWS)
    pairs = [
        (
            functools.partial(lambda j: memory.tiled_keys.at[j, mine], j),
            functools.partial(lambda j: memory.tiled_queries.at[j].transpose((1, 0)), j),
        )
        for j in range(len(turn.parts))
    ]
    scores = kernel.product(BLOCK, *pairs) * (scale * LOG2_E)
    d_weights = kernel.product(
        BLOCK,
        (
            lambda: memory.tiled_values.at[mine],
            lambda: memory.tiled_cotangents.transpose((1, 0)),
        ),
    )

    def by_query(x, *at):
        return over_rows(load(x.at[at], mosaic_blocks.column_layout()), ROWS)

    position = plgpu.broadcasted_iota(jnp.int32, BLOCK, 0, layout=plgpu.Layout.WGMMA)
    position = position + ROWS * me
    allowed = position < case.S
    if seen is not None:
        first, end = (by_query(x, place.b, place.block) for x in (seen.first, seen.end))
        allowed = (first <= position) & (position < end)
    lse, expected = (by_query(x, place.b, place.head, place.block) for x in sums)
    weights = jnp.where(allowed, jnp.exp2(scores - lse), 0.0)
    d_scores = scale * weights * (d_weights - expected)
    # `expected` of a query without keys, and so its product with zero, may be NaN.
    d_scores = jnp.where(allowed, d_scores, 0.0)
    dtype = memory.queries.dtype
    return weights.astype(dtype), d_scores.astype(dtype)
