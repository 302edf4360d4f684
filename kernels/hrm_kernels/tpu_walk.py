"""How the tiled TPU kernels, forward and backward, go over pairs of blocks.

One side of a block of scores is held in VMEM (queries in the forward pass and for their gradient,
keys for theirs) while blocks of the other side stream past: those between two bounds that the mask
gives. The bounds are prefetched scalars, so that what the mask rules out is neither computed nor
read. Scores are held transposed, [S, T].
"""

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Bool, Int

from hrm_kernels.blocks import query_block_bounds, query_block_ranges
from hrm_kernels.operands import Case, Operands, Options, ranges_of, result_shape
from hrm_kernels.tpu_blocks import KINDS, Arrays, Tiling
from hrm_kernels.tpu_heads import VMEM_LIMIT_BYTES, cost, nbytes


class Visit(NamedTuple):
    """The block of keys that a kernel is at, and the keys that its block of queries attends to.

    Attributes:
      tiling: of the call.
      key_block: number of the block of keys.
      first: first key that any query of the block of queries attends to, where queries are held.
      end: one past the last.
    """

    tiling: Tiling
    key_block: Any
    first: Any
    end: Any

    def allowed(self, arrays: Arrays) -> Bool[Array, "S T"]:
        """Returns whether a query attends to a key."""
        key = self._keys((self.tiling.block_k, self.tiling.block_q))
        return (arrays.first[0] <= key) & (key < arrays.end[0])

    def seen(self) -> Bool[Array, "S 1"]:
        """Returns whether any of the held queries attends to a key.

        Valid where queries are held. With a `Mask`, the keys of a block of queries have no gaps.
        """
        key = self._keys((self.tiling.block_k, 1))
        return (self.first <= key) & (key < self.end)

    def _keys(self, shape: tuple[int, int]) -> Int[Array, "S _"]:
        key = jax.lax.broadcasted_iota(jnp.int32, shape, 0)
        return self.key_block * self.tiling.block_k + key


class Walk(NamedTuple):
    """What a kernel does for a held block: start, visit each streamed block, finish.

    Attributes:
      start: called with all references.
      visit: called with the `Visit` and all references.
      finish: called with all references.
    """

    start: Callable[..., None]
    visit: Callable[..., None]
    finish: Callable[..., None]


def walk_blocks(
    walk: Walk,
    tiling: Tiling,
    options: Options,
    operands: Operands,
    others: Sequence[tuple[str, Any]],
    outputs: Sequence[tuple[str, Any]],
    sums: Sequence[tuple[int, ...]],
    *,
    hold_keys: bool,
    products: int,
) -> Any:
    """Runs a kernel over all pairs of blocks in which the mask allows anything.

    Args:
      walk: the kernel; its references are `Arrays`, others, outputs and sums.
      tiling: of the call.
      options: of the call.
      operands: of the call.
      others: kind and array of each further input; None for an absent array.
      outputs: kind and dtype of each result.
      sums: shapes of the float32 scratch that is kept between visits.
      hold_keys: whether it holds keys while queries stream past.
      products: number of its matrix products of the size of the scores, for XLA's schedule.

    Returns:
      The results, in the order of `outputs`.
    """
    B = operands.query.shape[0]
    bounds, order = _order(tiling, operands, hold_keys)

    def spec(kind: str) -> pl.BlockSpec:
        place = tiling.place(kind, B)
        return pl.BlockSpec(place.block, functools.partial(order.index, place.axes))

    # What is absent has no block, and no reference in the kernel.
    specs = Arrays(*map(spec, KINDS)), *(None if x is None else spec(kind) for kind, x in others)
    arrays = tiling.arrays(operands)
    shapes = [result_shape(arrays.query, tiling.place(kind, B).shape, x) for kind, x in outputs]
    inputs = [*zip(KINDS, arrays, strict=True), *others]
    results = [(kind, shape) for (kind, _), shape in zip(outputs, shapes, strict=True)]
    return pl.pallas_call(
        functools.partial(_kernel, walk, tiling, order),
        grid_spec=pltpu.PrefetchScalarGridSpec(
            # The bounds, which are there before a step, so that they choose its blocks.
            num_scalar_prefetch=2,
            grid=(B, tiling.head_blocks, order.held, order.streamed),
            in_specs=specs,
            out_specs=[spec(kind) for kind, _ in outputs],
            # Kept from step to step of one held block; `start` clears them for the next.
            scratch_shapes=[pltpu.VMEM(shape, jnp.float32) for shape in sums],
        ),
        out_shape=shapes,
        compiler_params=pltpu.CompilerParams(
            # Only the last axis carries sums from step to step, so it must run in order.
            dimension_semantics=("parallel", "parallel", "parallel", "arbitrary"),
            vmem_limit_bytes=VMEM_LIMIT_BYTES,
        ),
        cost_estimate=cost(
            tiling.case,
            B,
            products,
            order.traffic(tiling.case, [*inputs, *results]),
            _share_of_work(tiling.case),
        ),
        interpret=options.interpret,
    )(*(bound.reshape(-1) for bound in bounds), arrays, *(x for _, x in others))


def _kernel(walk: Walk, tiling: Tiling, order: "_Order", first, end, *references) -> None:
    """Takes step (b, h, i, j) of the grid: the j-th streamed block, past the i-th held one."""
    # Axis 1 counts blocks of heads, which share the bounds.
    b, i, j = (pl.program_id(axis) for axis in (0, 2, 3))
    # Prefetched scalars are flat: [B * held].
    low = first[b * order.held + i]
    high = end[b * order.held + i]
    # The grid has a step for every streamed block; counted from the first one needed, the steps
    # after the last one needed do nothing.
    other = low // order.block + j
    visit = Visit(tiling, i if order.hold_keys else other, low, high)
    # `start` and `finish` run even where no block is visited, so that the results are written.
    pl.when(j == 0)(lambda: walk.start(*references))
    pl.when(other * order.block < high)(lambda: walk.visit(visit, *references))
    pl.when(j == order.streamed - 1)(lambda: walk.finish(*references))


class _Order(NamedTuple):
    """The order in which pairs of blocks are visited.

    Attributes:
      hold_keys: whether keys are held.
      held: number of blocks of the held side.
      streamed: number of blocks of the streamed side.
      block: the unit of the bounds, in tokens of the streamed side; 1 if they count blocks.
    """

    hold_keys: bool
    held: int
    streamed: int
    block: int

    def index(self, axes: str, b, h, i, j, first, end) -> tuple[Any, ...]:
        """Returns the index of an array's block at a step of the grid, given its `Place.axes`.

        Past the bounds the index stays the same, so that Pallas fetches nothing new.
        """
        at = b * self.held + i
        # Block 0 where none is needed: an index must lie within the array.
        last = jnp.maximum(end[at] - 1, 0) // self.block
        other = jnp.minimum(first[at] // self.block + j, last)
        q, k = (other, i) if self.hold_keys else (i, other)
        number = {"b": b, "h": h, "q": q, "k": k, "0": 0}
        return tuple(number[axis] for axis in axes)

    def traffic(self, case: Case, arrays: list[tuple[str, Any]]) -> int:
        """Returns the bytes read and written; each held block reads the streamed side again."""
        streamed = "queries" if self.hold_keys else "keys"
        # However little a mask leaves, all is read once.
        times = max(1.0, self.held * _share_of_work(case))
        return int(sum(nbytes(x) * (times if kind == streamed else 1) for kind, x in arrays))


def _order(tiling: Tiling, operands: Operands, hold_keys: bool) -> tuple[Any, _Order]:
    """Returns the bounds of the streamed side, two arrays [B, held], and the order of visits."""
    ranges = ranges_of(operands)
    if hold_keys:
        # Bounds of queries count blocks already, those of keys count tokens.
        bounds = query_block_bounds(ranges, tiling.case.S, tiling.block_q, tiling.block_k)
        return bounds, _Order(True, tiling.key_blocks, tiling.query_blocks, 1)
    bounds = query_block_ranges(ranges, tiling.block_q)
    return bounds, _Order(False, tiling.query_blocks, tiling.key_blocks, tiling.block_k)


def _share_of_work(case: Case) -> float:
    """Returns an estimate of the share of pairs that is computed.

    What a mask allows is not known at compile time. Causality leaves half; packed sequences and
    windows leave less, padding more.
    """
    return 0.5 if case.masked else 1.0
