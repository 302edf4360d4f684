"""The resident TPU kernels' walk over the batch: whole rows of it in VMEM, one after the other.

Where L does not fill whole tiles, XLA lays [B, L, D] out as [L, B, D] rather than fill them up.
Kernels take such arrays as they lie, and turn each block in VMEM.
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
"""What `vmem_bytes` may come to; the compiler needs some for itself."""


def lane_dense(operands: Operands) -> Operands:
    """Returns the operands as the kernels take them.

    Queries, keys and values are [B, L, heads * K], ranges [B, 1, T]; the tables of the rotation
    are [L, lanes of the widest group], the sine with the sign that the rotation needs.
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
        signed = jnp.concatenate([-rope.sin[:, : K // 2], rope.sin[:, K // 2 :]], axis=1)
        rope = Rope(*(jnp.tile(table, (1, widest)) for table in (rope.cos, signed)))
    return Operands(query, key, value, ranges, rope)


class Row:
    """One row of the batch, as a kernel reads it from the blocks it lies in.

    Attributes:
      index: of the row in the blocks.
      groups: all query heads.
      allowed: [S, T], whether a query attends to a key; None where all do.
    """

    def __init__(self, index: Any, groups: list[Group], operands: Operands):
        self.index = index
        self.groups = groups
        self._operands = operands
        self.allowed = self._seen = self._alive = None
        if operands.ranges is not None:
            T = operands.query.shape[1]
            S = operands.key.shape[1]
            first = operands.ranges.first[index]
            end = operands.ranges.end[index]
            key = jax.lax.broadcasted_iota(jnp.int32, (S, T), 0)
            self.allowed = (first <= key) & (key < end)
            self._seen = _any(self.allowed)
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
        """Of the group's query heads, zero where a query has no key: it may hold NaN there."""
        return _where(self._alive, ref[self.index, :, group.queries])

    def _per_key(self, ref: Any, group: Group) -> Float[Array, "S W"]:
        """Of the group's key heads, zero where no query sees the key: it may hold NaN there."""
        return _where(self._seen, ref[self.index, :, group.keys])

    def _turn(self, x: Float[Array, "L W"], group: Group) -> Float[Array, "L W"]:
        rope = self._operands.rope
        if rope is None:
            return x
        cos, sin = (table[:, : x.shape[1]] for table in (rope.cos, rope.sin))
        wide = x.astype(jnp.float32)
        return (wide * cos + _other_half(wide, group.head_size) * sin).astype(x.dtype)

    def turn_back(self, x: Float[Array, "L W"], group: Group) -> Float[Array, "L W"]:
        """Returns the transpose of the rotation of queries and keys, for float32."""
        rope = self._operands.rope
        if rope is None:
            return x
        cos, sin = (table[:, : x.shape[1]] for table in (rope.cos, rope.sin))
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
      others: what else the body reads, [B, ...]; None for what there is not.
      outputs: the shapes of the results, [B, ...]; None for what is not wanted.
      products: how many products of the size of the scores the body makes, for XLA's schedule.

    Returns:
      The results, as `outputs`.
    """
    case = case_of(operands)
    B = operands.query.shape[0]
    inputs, in_tree = jax.tree.flatten((lane_dense(operands), *others))
    shapes, out_tree = jax.tree.flatten(outputs)
    rows = min(rows_of_tile(case.dtype), B)
    blocks = [_Block(x, rows) for x in (*inputs, *shapes)]
    sources = blocks[: len(inputs)]
    sinks = blocks[len(inputs) :]

    def kernel(*references):
        upright = _upright(blocks, references)
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
        scratch_shapes=[block.scratch for block in blocks if block.is_turned],
        compiler_params=pltpu.CompilerParams(
            dimension_semantics=("parallel",), vmem_limit_bytes=VMEM_LIMIT_BYTES
        ),
        cost_estimate=cost(case, B, products, sum(nbytes(block.x) for block in blocks)),
        interpret=options.interpret,
    )(*(block.turn(block.x) for block in sources))
    upright = [block.turn(x) for block, x in zip(sinks, results, strict=True)]
    return jax.tree.unflatten(out_tree, upright)


@dataclasses.dataclass(frozen=True)
class _Block:
    """How an array, [B, L, D] or the table [L, D], is cut into blocks of rows of the batch.

    Attributes:
      x: the array, or its shape.
      rows: rows in a block.
    """

    x: Any
    rows: int

    @property
    def is_turned(self) -> bool:
        """Whether it lies as [L, B, D], as XLA has it where L would leave tiles unfilled."""
        return self.x.ndim == 3 and self.x.shape[1] > SUBLANES and self.x.shape[1] % SUBLANES > 0

    @property
    def spec(self) -> pl.BlockSpec:
        """The blocks as it lies."""
        if self.x.ndim == 2:
            return pl.BlockSpec(self.x.shape, lambda i: (0, 0))
        _, L, D = self.x.shape
        if self.is_turned:
            return pl.BlockSpec((L, self.rows, D), lambda i: (0, i, 0))
        return pl.BlockSpec((self.rows, L, D), lambda i: (i, 0, 0))

    @property
    def in_hbm(self) -> jax.ShapeDtypeStruct:
        """Its shape as it lies."""
        B, L, D = self.x.shape
        return self.x.update(shape=(L, B, D) if self.is_turned else (B, L, D))

    @property
    def scratch(self) -> Any:
        """Memory for a block that is turned."""
        return pltpu.VMEM((self.rows, *self.x.shape[1:]), self.x.dtype)

    def turn(self, x: Array) -> Array:
        """Returns the array as it lies, or back: no work, as XLA has it so."""
        return jnp.swapaxes(x, 0, 1) if self.is_turned else x

    @property
    def vmem_bytes(self) -> int:
        """Two blocks, as the next arrives meanwhile, and one more that is turned."""
        _, L, D = self.x.shape
        upright = self.rows * tile_bytes(L, D, self.x.dtype)
        if self.is_turned:
            return 2 * L * tile_bytes(self.rows, D, self.x.dtype) + upright
        return 2 * upright


def vmem_bytes(case: Case) -> int:
    """VMEM that the backward pass takes: blocks, and the scores of all heads of a row.

    Of each head it holds probabilities and their gradient, in float32 and as operands of products.
    """
    rows = rows_of_tile(case.dtype)
    queries = jax.ShapeDtypeStruct((rows, case.T, case.N * case.K), case.dtype)
    keys = jax.ShapeDtypeStruct((rows, case.S, case.M * case.K), case.dtype)
    blocks = sum(_Block(x, rows).vmem_bytes for x in 3 * [queries] + 4 * [keys])
    scores = tile_bytes(case.S, case.T, jnp.float32) + tile_bytes(case.S, case.T, case.dtype)
    return blocks + 2 * case.N * scores


def _upright(blocks: list[_Block], references: tuple[Any, ...]) -> list[Any]:
    """For each block the reference to [rows, L, D]: itself, or its scratch, which follow them."""
    scratch = iter(references[len(blocks) :])
    pairs = zip(blocks, references, strict=False)
    return [next(scratch) if block.is_turned else x for block, x in pairs]


def _turn_blocks(pairs: Iterable[tuple[Any, Any]]) -> None:
    """Fills the second of each pair of references from the first, its leading axes swapped."""
    for source, target in pairs:
        if source is not target:
            target[...] = jnp.swapaxes(source[...], 0, 1)


def _where(visible: Bool[Array, "L 1"] | None, x: Float[Array, "L W"]) -> Float[Array, "L W"]:
    return x if visible is None else jnp.where(visible, x, jnp.zeros_like(x))


def _any(pairs: Bool[Array, "rows columns"]) -> Bool[Array, "rows 1"]:
    return jnp.where(pairs, 1.0, 0.0).max(1, keepdims=True) > 0


def _other_half(x: Float[Array, "L W"], K: int) -> Float[Array, "L W"]:
    """Returns each element of a head replaced by that K / 2 lanes on, or back in the second half."""
    W = x.shape[1]
    back = jnp.roll(x, K // 2, axis=1)
    if W == K:
        return back
    on = jnp.roll(x, -(K // 2), axis=1)
    lane = jax.lax.broadcasted_iota(jnp.int32, x.shape, 1)
    return jnp.where(lane % K < K // 2, on, back)
