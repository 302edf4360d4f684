"""What a quantised product on Hopper has in shared memory, and the warpgroup that copies it there.

Steps of 128 inputs are copied (TMA) ahead of those who multiply: codes and factors of a panel of
128 outputs as they are, and activations, which are turned on their way. A word has two inputs of an
output, one in each half, and both halves become operands of their own, the codes of even inputs and
those of odd ones. So activations go from pairs of inputs, as they lie, into two blocks in tiles.

A tile of high bits lasts several steps, and comes by a stream of its own.
"""

import dataclasses
import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Int

from hrm_kernels import jax_versions, mosaic_blocks
from hrm_kernels.mosaic_blocks import ROWS, load, plgpu
from hrm_kernels.mosaic_stream import Slots, Stream
from hrm_kernels.quantized_matrix import ACCELERATOR, PLANES, UNIT, QuantizedMatrix
from hrm_kernels.quantized_rows import SLOT

MOST_ROWS = 64
"""Most rows of activations in a block."""
STAGES = 4
STAGES_OF_MANY = 3
"""Steps that are copied ahead; fewer where a block has the most rows, for want of memory."""
STAGES_OF_HIGH = 2
"""Tiles of high bits that are copied ahead, each of which lasts two steps or four."""
WORKING = ACCELERATOR.panel // ROWS
"""Warpgroups that multiply."""
STEP = ACCELERATOR.step
SLOTS_OF_STEP = STEP // SLOT
HALVES = ACCELERATOR.fields
COLUMNS = ACCELERATOR.words
"""Inputs that an operand has of a slot, and so columns of a tile."""


class _Copied(NamedTuple):
    """An array of the matrix of which every step copies some rows of a panel.

    Attributes:
      array: [P, rows, 128].
      rows: that a step copies.
      steps: that share them.
    """

    array: Any
    rows: int
    steps: int = 1


def _copied(matrix: QuantizedMatrix) -> dict[str, _Copied]:
    """Returns the arrays of a matrix, or of references to it, by name; but its high bits."""
    groups = STEP // matrix.group
    arrays = {
        "codes": _Copied(matrix.planes[0], PLANES[matrix.bits][0] * STEP // 32),
        "scales": _Copied(matrix.scales, groups),
        "offsets": _Copied(matrix.offsets, groups),
        "scale_units": _Copied(matrix.scale_units, 1, UNIT // STEP),
        "offset_units": _Copied(matrix.offset_units, 1, UNIT // STEP),
    }
    return {name: copied for name, copied in arrays.items() if copied.array is not None}


def steps_of_high(matrix: QuantizedMatrix) -> int:
    """Returns how many steps a tile of the high bits lasts; 1 where there are none."""
    planes = PLANES[matrix.bits]
    return ACCELERATOR.width // (SLOTS_OF_STEP * planes[1]) if len(planes) > 1 else 1


def stream_of_high(matrix: QuantizedMatrix) -> Stream | None:
    """Returns the types of a stream of tiles of the high bits, or None."""
    if len(matrix.planes) == 1:
        return None
    tile = (ACCELERATOR.words, ACCELERATOR.panel)
    return Stream.of(tile, jnp.uint32, STAGES_OF_HIGH, WORKING, in_tiles=False)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Ring(Slots):
    """Steps in shared memory, in slots; outside of the kernel the types, inside the references.

    Attributes:
      arrays: [slots, rows, 128] of each array of `_copied`.
      pairs: [slots, N, 64] uint32, activations as they lie, two in a word.
      tiles: [slots, groups of a slot of 32 inputs, 2, N, 64] in tiles: activations, even and odd;
        for each group the others' are zero.
      arrived: for each slot, a barrier at which its pairs arrive.
      copied: likewise, at which all else arrives.
      read: likewise, at which both readers arrive once they have read it.
    """

    arrays: dict[str, Any]
    pairs: Any
    tiles: Any
    arrived: Any
    copied: Any
    read: Any

    @classmethod
    def of(cls, matrix: QuantizedMatrix, N: int, dtype: Any) -> "Ring":
        """Returns the types, for N rows of activations."""
        slots = STAGES_OF_MANY if N == MOST_ROWS else STAGES
        arrays = {
            name: mosaic_blocks.plain((slots, copied.rows, ACCELERATOR.panel), copied.array.dtype)
            for name, copied in _copied(matrix).items()
        }
        pairs = STEP // HALVES
        return cls(
            arrays,
            pairs=mosaic_blocks.plain((slots, N, pairs), jnp.uint32),
            tiles=mosaic_blocks.tiled(
                (slots, SLOT // matrix.group, HALVES, N, pairs), dtype, COLUMNS
            ),
            arrived=plgpu.Barrier(num_barriers=slots),
            copied=plgpu.Barrier(num_arrivals=len(arrays) + 1, num_barriers=slots),
            read=plgpu.Barrier(num_arrivals=WORKING, num_barriers=slots),
        )

    @property
    def count(self) -> int:
        """How many slots there are."""
        return self.pairs.shape[0]


@dataclasses.dataclass(frozen=True)
class Work:
    """What a program does.

    Attributes:
      panel: of the matrix.
      rows: of the activations.
      split: which part of the inputs.
      first: first step of these.
      count: how many.
      lasts: steps that a tile of high bits lasts.
    """

    panel: Any
    rows: Any
    split: Any
    first: Any
    count: Any
    lasts: int

    def tile(self, i: Any) -> Any:
        """Returns which tile of high bits the i-th step needs, counted from the program's first."""
        lasts = jnp.int32(self.lasts)
        return jax.lax.div(self.first + i, lasts) - jax.lax.div(self.first, lasts)

    def begins_tile(self, i: Any) -> Any:
        """Returns whether the i-th step is the first that needs its tile."""
        return (i == 0) | (jax.lax.rem(self.first + i, jnp.int32(self.lasts)) == 0)

    def ends_tile(self, i: Any) -> Any:
        """Returns whether it is the last."""
        return (i == self.count - 1) | self.begins_tile(i + 1)


def copy(work: Work, pairs, matrix: QuantizedMatrix, ring: Ring, high: Stream | None) -> None:
    """Copies the steps in order, and turns activations one step behind."""

    def start(i):
        slot = ring.reserve(i)
        step = work.first + i
        for name, copied in _copied(matrix).items():
            begin = copied.rows * jax.lax.div(step, jnp.int32(copied.steps))
            source = copied.array.at[work.panel, pl.ds(begin, copied.rows)]
            plgpu.copy_gmem_to_smem(source, ring.arrays[name].at[slot], ring.copied.at[slot])
        columns = pl.ds(STEP // HALVES * step, STEP // HALVES)
        source = pairs.at[work.rows, columns]
        plgpu.copy_gmem_to_smem(source, ring.pairs.at[slot], ring.arrived.at[slot])
        if high is not None:
            words = pl.ds(
                ACCELERATOR.words * jax.lax.div(step, jnp.int32(work.lasts)), ACCELERATOR.words
            )
            plane: Any = matrix.planes[1]
            source = plane.at[work.panel, words]
            pl.when(work.begins_tile(i))(functools.partial(high.put, work.tile(i), source))

    def take(i, _):
        start(i)
        # By now the pairs that were asked for a step ago have most likely arrived.
        pl.when(i > 0)(lambda: _turn(ring, i - 1))

    jax.lax.fori_loop(0, work.count, take, None)
    _turn(ring, work.count - 1)
    ring.drain(work.count)
    if high is not None:
        high.drain(work.tile(work.count - 1) + 1)


def _turn(ring: Ring, i) -> None:
    """Turns the activations of the i-th step into tiles, even inputs in one, odd in another."""
    slot = ring.slot(i)
    plgpu.barrier_wait(ring.arrived.at[slot])
    words = load(ring.pairs.at[slot].transpose((1, 0)), scattered())
    groups = ring.tiles.shape[1]
    row = plgpu.broadcasted_iota(jnp.int32, words.shape, 0, layout=scattered())
    for half in range(HALVES):
        numbers = numbers_in(words, half, ring.tiles.dtype)
        for g in range(groups):
            own = numbers
            if groups > 1:
                mine = jax.lax.rem(row, COLUMNS) // (COLUMNS // groups) == g
                own = jnp.where(mine, numbers, jnp.zeros_like(numbers))
            jax_versions.mosaic_store(ring.tiles.at[slot, g, half].transpose((1, 0)), own)
    # Waits for all threads: none reads what the next copy writes.
    plgpu.commit_smem()
    plgpu.barrier_arrive(ring.copied.at[slot])


def numbers_in(words: Int[Array, "m n"], half: int, dtype: Any) -> Float[Array, "m n"]:
    """Returns the numbers in the lower (0) or upper halves of words."""
    bits = (words >> ACCELERATOR.width if half else words).astype(jnp.uint16)
    return jax.lax.bitcast_convert_type(bits, dtype)


def scattered() -> Any:
    """Returns the layout of products' operands with each element in a register of its own.

    What lies in columns of memory is read and written so, an element at a time.
    """
    tiling = plgpu.Tiling(((64, 8), (16, 8), (8, 8), (2,), (1,)))
    return plgpu.Layout.TILED(tiling, warp_dims=(-8,), lane_dims=(-4, -3), vector_dim=-1)
