"""The product with a quantised matrix on Hopper: codes become numbers in registers, for `wgmma`.

A program has a panel of 128 outputs, some rows of activations and some of the inputs; few programs
split the inputs, and their results are added afterwards. Outputs are the rows of its products and
rows of activations their columns, of which `wgmma` takes as few as 8: one kernel serves decoding,
which is bound by reading the matrix, and prompts. The left operand is in registers, so a widened
matrix never passes through memory, not even shared memory.

One warpgroup copies (`mosaic_quantized_copies`), and two have 64 outputs each. Groups get sums of
their own, which are multiplied by the scale in float32. What is added for each group's offset are
the sums of its activations: products with ones.
"""

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
from hrm_kernels.mosaic_quantized_copies import (
    COLUMNS,
    HALVES,
    MOST_ROWS,
    SLOTS_OF_STEP,
    STEP,
    WORKING,
    Ring,
    Work,
    copy,
    numbers_in,
    scattered,
    steps_of_high,
    stream_of_high,
)
from hrm_kernels.mosaic_stream import TILE_ROWS, Stream
from hrm_kernels.quantized_matrix import ACCELERATOR, PLANES, QuantizedMatrix
from hrm_kernels.quantized_rows import BFLOAT16, FIELDS, FLOAT16, SLOT, Slot

PROGRAMS = 264
PROGRAMS_OF_MANY = 132
"""Number of programs that fill a GPU: a core has room for two, or for one of the most rows."""
MOST_SUMS = 128
"""Most columns of the sums of groups that registers hold at once."""

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
    steps = cdiv(D, STEP)
    programs = PROGRAMS_OF_MANY if N == MOST_ROWS else PROGRAMS
    chunk = cdiv(steps, max(1, min(steps, programs // (panels * blocks))))
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
            Ring.of(matrix, N, x.dtype),
            stream_of_high(matrix),
            mosaic_blocks.plain((WORKING, N, ROWS), dtype),
        ),
    )(jax.lax.bitcast_convert_type(x.reshape(R, D // 2, 2), jnp.uint32), matrix)
    out = out[0] if splits == 1 else out.sum(0).astype(x.dtype)
    return out[:, : matrix.outputs]


def _kernel(
    kernel: Kernel, chunk: int, steps: int, pairs, matrix, out, ring, high, results
) -> None:
    """Lets one warpgroup copy and the others multiply, over the same steps."""
    me = jax.lax.axis_index("warpgroup")
    split = jax.lax.axis_index("split")
    N = ring.pairs.shape[1]
    work = Work(
        jax.lax.axis_index("panel"),
        pl.ds(N * jax.lax.axis_index("block"), N),
        split,
        first=chunk * split,
        count=jnp.minimum(chunk, steps - chunk * split),
        lasts=steps_of_high(matrix),
    )

    @pl.when(me == WORKING)
    def _():
        if N == MOST_ROWS:
            mosaic_blocks.take_registers(kernel, copies=True)
        copy(work, pairs, matrix, ring, high)

    @pl.when(me < WORKING)
    def _():
        if N == MOST_ROWS:
            mosaic_blocks.take_registers(kernel, copies=False)
        total = _multiply(kernel, work, me, matrix, ring, high)
        # Registers have outputs in rows, memory has them in columns.
        block = plgpu.layout_cast(total, scattered()).astype(out.dtype)
        jax_versions.mosaic_store(results.at[me].transpose((1, 0)), block)
        plgpu.commit_smem()
        outputs = pl.ds(ACCELERATOR.panel * work.panel + ROWS * me, ROWS)
        plgpu.copy_smem_to_gmem(results.at[me], out.at[work.split, work.rows, outputs])
        plgpu.wait_smem_to_gmem(0)


def _multiply(
    kernel: Kernel, work: Work, me, matrix: QuantizedMatrix, ring: Ring, high: Stream | None
) -> Float[Array, "64 N"]:
    """Returns the products of a warpgroup's outputs with all rows, over the program's steps."""
    N = ring.pairs.shape[1]
    products = (1 if matrix.offsets is None else 2) * SLOT // matrix.group
    at_once = min(SLOTS_OF_STEP, max(1, MOST_SUMS // (N * products)))

    def take(i, total):
        plgpu.barrier_wait(ring.copied.at[ring.slot(i)])
        if high is not None:
            pl.when(work.begins_tile(i))(functools.partial(_wait, high, work.tile(i)))
        step = _Step(kernel, matrix, ring, high, work, i, pl.ds(ROWS * me, ROWS))
        for begin in range(0, SLOTS_OF_STEP, at_once):
            total = step.add(total, range(begin, begin + at_once))
        # Waits for all threads, so that none reads what the next copy writes.
        plgpu.commit_smem()
        ring.release(i)
        if high is not None:
            pl.when(work.ends_tile(i))(functools.partial(high.release, work.tile(i)))
        return total

    return jax.lax.fori_loop(0, work.count, take, kernel.zeros((ROWS, N)))


def _wait(stream: Stream, i: Any) -> None:
    stream.wait(i)


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
    ring: Ring
    high: Stream | None
    work: Work
    i: Any
    outputs: Any

    def add(self, total: Float[Array, "64 N"], slots: range) -> Float[Array, "64 N"]:
        """Returns `total` with the products over some slots."""
        N = total.shape[1]
        dtype = self.ring.tiles.dtype
        zeros = self.kernel.zeros((ROWS, N))
        ones = plgpu.layout_cast(jnp.ones((ROWS, COLUMNS), dtype), plgpu.Layout.WGMMA)
        groups = SLOT // self.matrix.group
        sums = []
        for s in slots:
            halves = list(self.weights(s))
            for g in range(groups):
                own = [functools.partial(self.activations, s, g, half) for half in range(HALVES)]
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
        columns = pl.ds(COLUMNS * s, COLUMNS)
        tiles = self.ring.tiles.at[self.ring.slot(self.i), group, half, :, columns]
        return tiles.transpose((1, 0))

    def weights(self, s: int) -> Iterator[Float[Array, "64 16"]]:
        """Returns a slot's codes less what stands for zero, for even and for odd inputs."""
        bits = self.matrix.bits
        dtype = self.ring.tiles.dtype
        lasts = self.work.lasts
        # Of a turn of the high plane's tile; for the low plane each step begins tiles.
        slot = Slot(SLOTS_OF_STEP, jax.lax.rem(self.work.first + self.i, jnp.int32(lasts)), s)
        half_format = BFLOAT16 if dtype == jnp.bfloat16 else FLOAT16
        words = functools.partial(self.words, s)
        fields = [field.numbers(bits, slot, words, half_format) for field in FIELDS[bits]]
        zero = 0 if self.matrix.offsets is not None else 1 << (bits - 1)
        for half in range(HALVES):
            parts = []
            for field, numbers in zip(FIELDS[bits], fields, strict=True):
                highest = field is FIELDS[bits][-1]
                excess = (1 << field.bits) + (zero // field.weight if highest else 0)
                part = plgpu.layout_cast(numbers_in(numbers, half, dtype), plgpu.Layout.WGMMA)
                parts.append((part - excess) * field.weight)
            # Whole numbers up to 255 are exact in either format.
            yield functools.reduce(jnp.add, parts)

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
        return load(tile.transpose((1, 0)), scattered())

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


def _wide_half(bits: Int[Array, " n"]) -> Float[Array, " n"]:
    return jax.lax.bitcast_convert_type(bits, jnp.float16).astype(jnp.float32)
