"""The product with a quantised matrix on Hopper: codes become numbers in registers, for `wgmma`.

A program has a panel of 128 outputs, some rows of activations and some of the inputs; few programs
split the inputs, and their results are added afterwards. Outputs are the rows of its products and
rows of activations their columns, of which `wgmma` takes as few as 8: one kernel serves decoding,
which is bound by reading the matrix, and prompts. The left operand is in registers, so a widened
matrix never passes through memory, not even shared memory.

One warpgroup copies (TMA) steps of 128 inputs ahead of the two others, which have 64 outputs each.
A word has two inputs of an output, one in each half, and both halves are operands of their own: the
codes of even inputs, and those of odd ones. The copying warpgroup turns the activations to match:
from pairs of inputs, as they lie, into two blocks in tiles. Groups get sums of their own, which are
multiplied by the scale in float32. What is added for each group's offset are the sums of its
activations: products with ones.
"""

import dataclasses
import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Int

from hrm_kernels import jax_versions, mosaic_blocks
from hrm_kernels.blocks import cdiv
from hrm_kernels.mosaic_blocks import ROWS, Kernel, load, over_columns, plgpu
from hrm_kernels.mosaic_stream import TILE_ROWS, Slots, Stream
from hrm_kernels.quantized_matrix import ACCELERATOR, PLANES, UNIT, QuantizedMatrix
from hrm_kernels.quantized_rows import BFLOAT16, FIELDS, FLOAT16, SLOT, Slot

MOST_ROWS = 64
"""Most rows of activations in a block."""
PROGRAMS = 264
"""Number of programs that fill a GPU, about twice its cores."""
STAGES = 4
STAGES_OF_MANY = 3
"""Steps that are copied ahead; fewer where a block has the most rows, for want of memory."""
STAGES_OF_HIGH = 2
"""Tiles of high bits that are copied ahead, each of which lasts two steps or four."""
MOST_SUMS = 128
"""Most columns of the sums of groups that registers hold at once."""
WORKING = ACCELERATOR.panel // ROWS
_STEP = ACCELERATOR.step
_SLOTS = _STEP // SLOT
_HALVES = ACCELERATOR.fields
_COLUMNS = ACCELERATOR.words
"""Inputs that an operand has of a slot, and so columns of a tile."""

refuses = mosaic_blocks.refuses_operands


def product(
    x: Float[Array, "R D"], matrix: QuantizedMatrix, *, interpret: Any
) -> Float[Array, "R V"]:
    """Returns `x @ matrix.T` in the dtype of `x`.

    Args:
      x: activations, bfloat16 or float16.
      matrix: in the layout `ACCELERATOR`.
      interpret: as in `attention`.
    """
    R, D = x.shape
    N = min(max(pl.next_power_of_2(R), TILE_ROWS), MOST_ROWS)
    panels = matrix.scales.shape[0]
    blocks = cdiv(R, N)
    steps = cdiv(D, _STEP)
    chunk = cdiv(steps, max(1, min(steps, PROGRAMS // (panels * blocks))))
    splits = cdiv(steps, chunk)
    # Partial results stay in float32 until they are added.
    dtype = x.dtype if splits == 1 else jnp.dtype(jnp.float32)
    # A copy needs rows of a multiple of 16 bytes, which those of real models are.
    V = cdiv(matrix.outputs, 8) * 8
    kernel = Kernel("quantized_product_mosaic", WORKING + 1, interpret)
    (out,) = kernel.call(
        functools.partial(_kernel, kernel, chunk, steps),
        grid=(panels, blocks, splits),
        axes=("panel", "block", "split"),
        out_type=(jax.ShapeDtypeStruct((splits, R, V), dtype),),
        scratch=(
            _Ring.of(matrix, N, x.dtype),
            _stream_of_high(matrix),
            mosaic_blocks.plain((WORKING, N, ROWS), dtype),
        ),
    )(jax.lax.bitcast_convert_type(x.reshape(R, D // 2, 2), jnp.uint32), matrix)
    out = out[0] if splits == 1 else out.sum(0).astype(x.dtype)
    return out[:, : matrix.outputs]


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
    groups = _STEP // matrix.group
    arrays = {
        "codes": _Copied(matrix.planes[0], PLANES[matrix.bits][0] * _STEP // 32),
        "scales": _Copied(matrix.scales, groups),
        "offsets": _Copied(matrix.offsets, groups),
        "scale_units": _Copied(matrix.scale_units, 1, UNIT // _STEP),
        "offset_units": _Copied(matrix.offset_units, 1, UNIT // _STEP),
    }
    return {name: copied for name, copied in arrays.items() if copied.array is not None}


def _steps_of_high(matrix: QuantizedMatrix) -> int:
    """Returns how many steps a tile of the high bits lasts; 1 where there are none."""
    planes = PLANES[matrix.bits]
    return ACCELERATOR.width // (_SLOTS * planes[1]) if len(planes) > 1 else 1


def _stream_of_high(matrix: QuantizedMatrix) -> Stream | None:
    """Returns the types of a stream of tiles of the high bits, or None."""
    if len(matrix.planes) == 1:
        return None
    tile = (ACCELERATOR.words, ACCELERATOR.panel)
    return Stream.of(tile, jnp.uint32, STAGES_OF_HIGH, WORKING, in_tiles=False)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class _Ring(Slots):
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
    def of(cls, matrix: QuantizedMatrix, N: int, dtype: Any) -> "_Ring":
        """Returns the types, for N rows of activations."""
        slots = STAGES_OF_MANY if N == MOST_ROWS else STAGES
        arrays = {
            name: mosaic_blocks.plain((slots, copied.rows, ACCELERATOR.panel), copied.array.dtype)
            for name, copied in _copied(matrix).items()
        }
        pairs = _STEP // _HALVES
        return cls(
            arrays,
            pairs=mosaic_blocks.plain((slots, N, pairs), jnp.uint32),
            tiles=mosaic_blocks.tiled(
                (slots, SLOT // matrix.group, _HALVES, N, pairs), dtype, _COLUMNS
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
class _Work:
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


def _kernel(kernel: Kernel, chunk: int, steps: int, pairs, matrix, out, ring, high, results) -> None:
    """Lets one warpgroup copy and the others multiply, over the same steps."""
    me = jax.lax.axis_index("warpgroup")
    split = jax.lax.axis_index("split")
    N = ring.pairs.shape[1]
    work = _Work(
        jax.lax.axis_index("panel"),
        pl.ds(N * jax.lax.axis_index("block"), N),
        split,
        first=chunk * split,
        count=jnp.minimum(chunk, steps - chunk * split),
        lasts=_steps_of_high(matrix),
    )

    @pl.when(me == WORKING)
    def _():
        if N == MOST_ROWS:
            mosaic_blocks.take_registers(kernel, copies=True)
        _copy(work, pairs, matrix, ring, high)

    @pl.when(me < WORKING)
    def _():
        if N == MOST_ROWS:
            mosaic_blocks.take_registers(kernel, copies=False)
        total = _multiply(kernel, work, me, matrix, ring, high)
        # Registers have outputs in rows, memory has them in columns.
        block = plgpu.layout_cast(total, _scattered()).astype(out.dtype)
        jax_versions.mosaic_store(results.at[me].transpose((1, 0)), block)
        plgpu.commit_smem()
        outputs = pl.ds(ACCELERATOR.panel * work.panel + ROWS * me, ROWS)
        plgpu.copy_smem_to_gmem(results.at[me], out.at[work.split, work.rows, outputs])
        plgpu.wait_smem_to_gmem(0)


def _copy(work: _Work, pairs, matrix: QuantizedMatrix, ring: _Ring, high: Stream | None) -> None:
    """Copies the steps in order, and turns activations one step behind."""

    def start(i):
        slot = ring.reserve(i)
        step = work.first + i
        for name, copied in _copied(matrix).items():
            begin = copied.rows * jax.lax.div(step, jnp.int32(copied.steps))
            source = copied.array.at[work.panel, pl.ds(begin, copied.rows)]
            plgpu.copy_gmem_to_smem(source, ring.arrays[name].at[slot], ring.copied.at[slot])
        columns = pl.ds(_STEP // _HALVES * step, _STEP // _HALVES)
        source = pairs.at[work.rows, columns]
        plgpu.copy_gmem_to_smem(source, ring.pairs.at[slot], ring.arrived.at[slot])
        if high is not None:
            words = pl.ds(
                ACCELERATOR.words * jax.lax.div(step, jnp.int32(work.lasts)), ACCELERATOR.words
            )
            source = matrix.planes[1].at[work.panel, words]
            pl.when(work.begins_tile(i))(lambda: high.put(work.tile(i), source))

    def take(i, _):
        start(i)
        # By now the pairs that were asked for a step ago have most likely arrived.
        pl.when(i > 0)(lambda: _turn(ring, i - 1))

    jax.lax.fori_loop(0, work.count, take, None)
    _turn(ring, work.count - 1)
    ring.drain(work.count)
    if high is not None:
        high.drain(work.tile(work.count - 1) + 1)


def _turn(ring: _Ring, i) -> None:
    """Turns the activations of the i-th step into tiles: even inputs in one, odd ones in another."""
    slot = ring.slot(i)
    plgpu.barrier_wait(ring.arrived.at[slot])
    words = load(ring.pairs.at[slot].transpose((1, 0)), _scattered())
    groups = ring.tiles.shape[1]
    row = plgpu.broadcasted_iota(jnp.int32, words.shape, 0, layout=_scattered())
    for half in range(_HALVES):
        numbers = _numbers(words, half, ring.tiles.dtype)
        for g in range(groups):
            own = numbers
            if groups > 1:
                mine = jax.lax.rem(row, _COLUMNS) // (_COLUMNS // groups) == g
                own = jnp.where(mine, numbers, jnp.zeros_like(numbers))
            jax_versions.mosaic_store(ring.tiles.at[slot, g, half].transpose((1, 0)), own)
    # Waits for all threads: none reads what the next copy writes.
    plgpu.commit_smem()
    plgpu.barrier_arrive(ring.copied.at[slot])


def _multiply(
    kernel: Kernel, work: _Work, me, matrix: QuantizedMatrix, ring: _Ring, high: Stream | None
) -> Float[Array, "64 N"]:
    """Returns the products of a warpgroup's outputs with all rows, over the program's steps."""
    N = ring.pairs.shape[1]
    products = (1 if matrix.offsets is None else 2) * SLOT // matrix.group
    at_once = min(_SLOTS, max(1, MOST_SUMS // (N * products)))

    def take(i, total):
        plgpu.barrier_wait(ring.copied.at[ring.slot(i)])
        if high is not None:
            pl.when(work.begins_tile(i))(lambda: high.wait(work.tile(i)) and None)
        step = _Step(kernel, matrix, ring, high, work, i, pl.ds(ROWS * me, ROWS))
        for begin in range(0, _SLOTS, at_once):
            total = step.add(total, range(begin, begin + at_once))
        # Waits for all threads, so that none reads what the next copy writes.
        plgpu.commit_smem()
        ring.release(i)
        if high is not None:
            pl.when(work.ends_tile(i))(lambda: high.release(work.tile(i)))
        return total

    return jax.lax.fori_loop(0, work.count, take, kernel.zeros((ROWS, N)))


class _Step(NamedTuple):
    """What a warpgroup reads in one step.

    Attributes:
      kernel: whose products it takes.
      matrix: for its format.
      ring: the steps.
      high: the tiles of high bits, or None.
      work: the program's.
      i: which step.
      outputs: of the panel.
    """

    kernel: Kernel
    matrix: QuantizedMatrix
    ring: _Ring
    high: Stream | None
    work: _Work
    i: Any
    outputs: Any

    def add(self, total: Float[Array, "64 N"], slots: range) -> Float[Array, "64 N"]:
        """Returns `total` with the products over some slots."""
        N = total.shape[1]
        dtype = self.ring.tiles.dtype
        zeros = self.kernel.zeros(total.shape)
        ones = plgpu.layout_cast(jnp.ones((ROWS, _COLUMNS), dtype), plgpu.Layout.WGMMA)
        groups = SLOT // self.matrix.group
        sums = []
        for s in slots:
            halves = list(self.weights(s))
            for g in range(groups):
                own = [functools.partial(self.activations, s, g, half) for half in range(_HALVES)]
                sums.append((zeros, *zip(halves, own, strict=True)))
                if self.matrix.offsets is not None:
                    sums.append((zeros, *((ones, right) for right in own)))
        found = iter(self.kernel.products(*sums))
        for group in range(groups * slots.start, groups * slots.stop):
            total = total + next(found) * over_columns(self.factor("scale", group), N)
            if self.matrix.offsets is not None:
                total = total + next(found) * over_columns(self.factor("offset", group), N)
        return total

    def activations(self, s: int, group: int, half: int) -> Any:
        """Returns a reference to the even or odd inputs of a slot, of one of its groups."""
        columns = pl.ds(_COLUMNS * s, _COLUMNS)
        tiles = self.ring.tiles.at[self.ring.slot(self.i), group, half, :, columns]
        return tiles.transpose((1, 0))

    def weights(self, s: int) -> Iterator[Float[Array, "64 16"]]:
        """Returns a slot's codes less what stands for zero, for even and for odd inputs."""
        bits = self.matrix.bits
        dtype = self.ring.tiles.dtype
        lasts = self.work.lasts
        # Of a turn of the high plane's tile; for the low plane each step begins tiles.
        slot = Slot(_SLOTS, jax.lax.rem(self.work.first + self.i, jnp.int32(lasts)), s)
        half_format = BFLOAT16 if dtype == jnp.bfloat16 else FLOAT16
        words = functools.partial(self.words, s)
        fields = [field.numbers(bits, slot, words, half_format) for field in FIELDS[bits]]
        zero = 0 if self.matrix.offsets is not None else 1 << (bits - 1)
        for half in range(_HALVES):
            weights = None
            for field, numbers in zip(FIELDS[bits], fields, strict=True):
                highest = field is FIELDS[bits][-1]
                excess = (1 << field.bits) + (zero // field.weight if highest else 0)
                part = plgpu.layout_cast(_numbers(numbers, half, dtype), plgpu.Layout.WGMMA)
                part = (part - excess) * field.weight
                # Whole numbers up to 255 are exact in either format.
                weights = part if weights is None else weights + part
            yield weights

    def words(self, s: int, plane: int, _: Any) -> Int[Array, "64 16"]:
        """Returns a tile of a plane's words, each output's in a row."""
        if plane:
            high: Any = self.high
            tile = high.slots.at[high.slot(self.work.tile(self.i)), :, self.outputs]
        else:
            k = PLANES[self.matrix.bits][0]
            begin = ACCELERATOR.words * (s * k // ACCELERATOR.width)
            rows = pl.ds(begin, ACCELERATOR.words)
            codes = self.ring.arrays["codes"]
            tile = codes.at[self.ring.slot(self.i), rows, self.outputs]
        return load(tile.transpose((1, 0)), _scattered())

    def factor(self, name: str, group: int) -> Float[Array, " 64"]:
        """Returns a group's scales or offsets, float32."""
        arrays = self.ring.arrays
        slot = self.ring.slot(self.i)
        found = load(arrays[f"{name}s"].at[slot, group, self.outputs], mosaic_blocks.row_layout())
        units = arrays.get(f"{name}_units")
        if units is None:
            return _wide_half(found)
        unit = load(units.at[slot, 0, self.outputs], mosaic_blocks.row_layout())
        return found.astype(jnp.float32) * _wide_half(unit)


def _scattered() -> Any:
    """Returns the layout of products' operands with each element in a register of its own.

    What lies in columns of memory is read and written so, an element at a time.
    """
    tiling = plgpu.Tiling(((64, 8), (16, 8), (8, 8), (2,), (1,)))
    return plgpu.Layout.TILED(tiling, warp_dims=(-8,), lane_dims=(-4, -3), vector_dim=-1)


def _numbers(words: Int[Array, "m n"], half: int, dtype: Any) -> Float[Array, "m n"]:
    """Returns the numbers in the lower (0) or upper halves of words."""
    bits = (words >> ACCELERATOR.width if half else words).astype(jnp.uint16)
    return jax.lax.bitcast_convert_type(bits, dtype)


def _wide_half(bits: Int[Array, " n"]) -> Float[Array, " n"]:
    return jax.lax.bitcast_convert_type(bits, jnp.float16).astype(jnp.float32)
