"""How the resident TPU kernels go over the batch: whole rows in VMEM, one after the other.

Where L does not fill whole tiles, XLA lays [B, L, D] out as [L, B, D] and not padded. The kernels
take such arrays as they lie and transpose each block in VMEM.
"""

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Bool, Float

from hrm_kernels.blocks import cdiv
from hrm_kernels.mask import KeyRanges
from hrm_kernels.operands import Case, Operands, Options, Rope, case_of
from hrm_kernels.tpu_heads import (
    SUBLANES,
    VMEM_LIMIT_BYTES,
    Group,
    cost,
    groups,
    merged,
    nbytes,
    rows_of_tile,
    tile_bytes,
)

MAX_VMEM_BYTES = 40 * 2**20
"""Largest `vmem_bytes` served; the compiler needs the rest for itself."""


def lane_dense(operands: Operands) -> Operands:
    """Returns the operands in the layout that the kernels take.

    Queries, keys and values are [B, L, heads * K], ranges [B, 1, T]; the tables of the rotation
    are [L, lanes of the widest group], with the rotation's sign merged into the sine.
    """
    _, _, N, K = operands.query.shape
    M = operands.key.shape[2]
    query, key, value = (merged(x) for x in (operands.query, operands.key, operands.value))
    ranges = operands.ranges
    rope = operands.rope
    if ranges is not None:
        ranges = KeyRanges(ranges.first[:, None], ranges.end[:, None])
    if rope is not None:
        widest = max(len(group.heads) for group in groups(N, M, K))
        # rotate-half negates the second half before the multiplication: the minus goes into the
        # table, so that the kernel needs only the exchange of halves.
        signed = jnp.concatenate([-rope.sin[:, : K // 2], rope.sin[:, K // 2 :]], axis=1)
        rope = Rope(*(jnp.tile(table, (1, widest)) for table in (rope.cos, signed)))
    return Operands(query, key, value, ranges, rope)


class Row:
    """One row of the batch, as a kernel reads it from the blocks it lies in.

    Attributes:
      index: position of the row in the blocks.
      groups: all query heads.
      allowed: [S, T], whether a query attends to a key; None where all do.
    """

    def __init__(self, index: Any, groups: list[Group], operands: Operands):
        self.index = index
        self.groups = groups
        self._operands = operands
        # None where there is no mask: then nothing is hidden, and nothing is zeroed.
        self.allowed = self._seen = self._alive = None
        if operands.ranges is not None:
            T = operands.query.shape[1]
            S = operands.key.shape[1]
            # [1, T]: the bounds lie along lanes, against the keys along sublanes.
            first = operands.ranges.first[index]
            end = operands.ranges.end[index]
            key = jax.lax.broadcasted_iota(jnp.int32, (S, T), 0)
            self.allowed = (first <= key) & (key < end)
            # [S, 1]: whether any query of this row of the batch sees the key.
            self._seen = _any(self.allowed)
            # Flags of queries form a row [1, T] but are needed as a column [T, 1]. Rows of the
            # identity matrix, masked by them, reduce to that column without a transpose.
            here, there = (jax.lax.broadcasted_iota(jnp.int32, (T, T), axis) for axis in (0, 1))
            self._alive = _any((here == there) & (first < end))

    def query(self, group: Group) -> Float[Array, "T GW"]:
        """Returns the group's query heads, rotated."""
        return self._turn(self.per_query(self._operands.query, group), group)

    def key(self, group: Group) -> Float[Array, "S W"]:
        """Returns the group's key heads, rotated."""
        return self._turn(self._per_key(self._operands.key, group), group)

    def value(self, group: Group) -> Float[Array, "S W"]:
        """Returns the group's value heads."""
        return self._per_key(self._operands.value, group)

    def per_query(self, ref: Any, group: Group) -> Float[Array, "T GW"]:
        """Returns the group's query heads; zero, as there may be NaN, for queries without keys."""
        return _where(self._alive, ref[self.index, :, group.queries])

    def _per_key(self, ref: Any, group: Group) -> Float[Array, "S W"]:
        """Returns the group's key heads; zero, as there may be NaN, for keys that no query sees."""
        return _where(self._seen, ref[self.index, :, group.keys])

    def _turn(self, x: Float[Array, "L W"], group: Group) -> Float[Array, "L W"]:
        rope = self._operands.rope
        if rope is None:
            return x
        cos, sin = (table[:, : x.shape[1]] for table in (rope.cos, rope.sin))
        # In float32, and rounded once, as `operands.rotate` does.
        wide = x.astype(jnp.float32)
        return (wide * cos + _other_half(wide, group.head_size) * sin).astype(x.dtype)

    def turn_back(self, x: Float[Array, "L W"], group: Group) -> Float[Array, "L W"]:
        """Returns the transpose of the rotation of queries and keys, in float32."""
        rope = self._operands.rope
        if rope is None:
            return x
        cos, sin = (table[:, : x.shape[1]] for table in (rope.cos, rope.sin))
        # The sine is applied before the halves are exchanged: the transpose of what `_turn` does.
        return x * cos + _other_half(x * sin, group.head_size)


def over_rows(
    body: Callable[..., None],
    options: Options,
    operands: Operands,
    others: tuple[Any, ...],
    outputs: tuple[Any, ...],
    products: int,
) -> Any:
    """Runs `body(row, *other_refs, *output_refs)` for each `Row` of the batch.

    Args:
      body: the work of one row.
      options: of the call.
      operands: of the call.
      others: further inputs of the body, [B, ...]; None for absent ones.
      outputs: shapes of the results, [B, ...]; None for absent ones.
      products: number of the body's matrix products of the size of the scores, for XLA's schedule.

    Returns:
      The results, in the structure of `outputs`.
    """
    case = case_of(operands)
    B = operands.query.shape[0]
    # What is absent is None, thus no leaf and no reference; unflattening puts it back.
    inputs, in_tree = jax.tree.flatten((lane_dense(operands), *others))
    shapes, out_tree = jax.tree.flatten(outputs)
    # As many rows as a tile has: an array that lies as [L, B, D] has them along sublanes.
    rows = min(rows_of_tile(case.dtype), B)
    # Inputs, then results: a kernel's references come in this order.
    blocks = [_Block(x, rows) for x in (*inputs, *shapes)]
    sources = blocks[: len(inputs)]
    sinks = blocks[len(inputs) :]

    def kernel(*references):
        upright = _upright(blocks, references)
        # Transposed arrays are copied into upright scratch before the rows, and results back after.
        _turn_blocks(zip(references, upright[: len(sources)], strict=False))
        row_operands, *row_others = jax.tree.unflatten(in_tree, upright[: len(sources)])
        row_outputs = jax.tree.unflatten(out_tree, upright[len(sources) :])

        def step(index, _):
            row = Row(index, groups(case.N, case.M, case.K), row_operands)
            body(row, *row_others, *row_outputs)

        jax.lax.fori_loop(0, rows, step, None)
        written = references[len(sources) : len(blocks)]
        _turn_blocks(zip(upright[len(sources) :], written, strict=True))

    results = pl.pallas_call(
        kernel,
        grid=(cdiv(B, rows),),
        in_specs=[block.spec for block in sources],
        out_specs=[block.spec for block in sinks],
        out_shape=[block.in_hbm for block in sinks],
        # Only arrays that lie transposed need a copy that stands upright.
        scratch_shapes=[block.scratch for block in blocks if block.is_turned],
        compiler_params=pltpu.CompilerParams(
            # Blocks of rows do not depend on each other.
            dimension_semantics=("parallel",),
            vmem_limit_bytes=VMEM_LIMIT_BYTES,
        ),
        cost_estimate=cost(case, B, products, sum(nbytes(block.x) for block in blocks)),
        interpret=options.interpret,
    )(*(block.turn(block.x) for block in sources))
    upright = [block.turn(x) for block, x in zip(sinks, results, strict=True)]
    return jax.tree.unflatten(out_tree, upright)


@dataclasses.dataclass(frozen=True)
class _Block:
    """How an array [B, L, D], or a table [L, D], is cut into blocks of rows of the batch.

    Attributes:
      x: the array or its abstract shape.
      rows: rows in a block.
    """

    x: Any
    rows: int

    @property
    def is_turned(self) -> bool:
        """Whether it lies as [L, B, D], as XLA lays it out where L would leave tiles unfilled."""
        return self.x.ndim == 3 and self.x.shape[1] > SUBLANES and self.x.shape[1] % SUBLANES > 0

    @property
    def spec(self) -> pl.BlockSpec:
        """The blocks of the array as it lies in HBM."""
        if self.x.ndim == 2:
            # Tables are whole in VMEM, the same for every block of rows.
            return pl.BlockSpec(self.x.shape, lambda i: (0, 0))
        _, L, D = self.x.shape
        if self.is_turned:
            return pl.BlockSpec((L, self.rows, D), lambda i: (0, i, 0))
        return pl.BlockSpec((self.rows, L, D), lambda i: (i, 0, 0))

    @property
    def in_hbm(self) -> jax.ShapeDtypeStruct:
        """The array's abstract shape as it lies in HBM."""
        B, L, D = self.x.shape
        return self.x.update(shape=(L, B, D) if self.is_turned else (B, L, D))

    @property
    def scratch(self) -> Any:
        """VMEM for an upright block of a transposed array."""
        return pltpu.VMEM((self.rows, *self.x.shape[1:]), self.x.dtype)

    def turn(self, x: Array) -> Array:
        """Returns the array as it lies in HBM, or back; no data moves, as that is XLA's layout."""
        return jnp.swapaxes(x, 0, 1) if self.is_turned else x

    @property
    def vmem_bytes(self) -> int:
        """VMEM of two blocks, as the next one is fetched ahead, and of any upright copy."""
        _, L, D = self.x.shape
        upright = self.rows * tile_bytes(L, D, self.x.dtype)
        if self.is_turned:
            return 2 * L * tile_bytes(self.rows, D, self.x.dtype) + upright
        return 2 * upright


def vmem_bytes(case: Case) -> int:
    """Returns the VMEM that the backward pass takes, in bytes: blocks, and a row's scores.

    For each head it holds probabilities and their gradient, both in float32 and in the operands'
    dtype.
    """
    rows = rows_of_tile(case.dtype)
    queries = jax.ShapeDtypeStruct((rows, case.T, case.N * case.K), case.dtype)
    keys = jax.ShapeDtypeStruct((rows, case.S, case.M * case.K), case.dtype)
    # Query, cotangent and query gradient; key, value and their gradients.
    blocks = sum(_Block(x, rows).vmem_bytes for x in 3 * [queries] + 4 * [keys])
    scores = tile_bytes(case.S, case.T, jnp.float32) + tile_bytes(case.S, case.T, case.dtype)
    return blocks + 2 * case.N * scores


def _upright(blocks: list[_Block], references: tuple[Any, ...]) -> list[Any]:
    """Returns for each block its reference to [rows, L, D]: its own, or its scratch.

    The references of the scratch memory follow those of all blocks.
    """
    scratch = iter(references[len(blocks) :])
    pairs = zip(blocks, references, strict=False)
    return [next(scratch) if block.is_turned else x for block, x in pairs]


def _turn_blocks(pairs: Iterable[tuple[Any, Any]]) -> None:
    """Copies the first of each pair of references into the second, leading axes swapped."""
    for source, target in pairs:
        if source is not target:
            target[...] = jnp.swapaxes(source[...], 0, 1)


def _where(visible: Bool[Array, "L 1"] | None, x: Float[Array, "L W"]) -> Float[Array, "L W"]:
    return x if visible is None else jnp.where(visible, x, jnp.zeros_like(x))


def _any(pairs: Bool[Array, "rows columns"]) -> Bool[Array, "rows 1"]:
    return jnp.where(pairs, 1.0, 0.0).max(1, keepdims=True) > 0


def _other_half(x: Float[Array, "L W"], K: int) -> Float[Array, "L W"]:
    """Returns `x` with the halves of every head exchanged; K is the size of a head."""
    W = x.shape[1]
    # Rolling a whole group mixes heads at their ends, so each lane takes that of the two rolls
    # which stays inside of its head. With a single head both rolls are the same.
    back = jnp.roll(x, K // 2, axis=1)
    if W == K:
        return back
    on = jnp.roll(x, -(K // 2), axis=1)
    lane = jax.lax.broadcasted_iota(jnp.int32, x.shape, 1)
    return jnp.where(lane % K < K // 2, on, back)
