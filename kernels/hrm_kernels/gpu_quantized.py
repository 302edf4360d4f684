"""The product with a quantised matrix on GPU: codes are unpacked in registers.

A program multiplies some outputs with some of the inputs; few outputs split the inputs among more
programs, whose results are added afterwards. Parts of the activations (`quantized_rows`) are rows
of one product, which has room for 16. Pallas' Triton dialect, as the other kernels: see `BUILD.md`.
"""

import functools
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Int

from hrm_kernels import gpu_blocks
from hrm_kernels.blocks import cdiv
from hrm_kernels.gpu_blocks import plgpu, span
from hrm_kernels.gpu_tiles import MIN_BLOCK, Tile
from hrm_kernels.quantized_matrix import ACCELERATOR, UNIT, QuantizedMatrix
from hrm_kernels.quantized_rows import FIELDS, SLOT, Slot, excess, number_of_parts, parts_of

ROWS = 32
"""Most rows of activations in a block."""
OUTPUTS = 64
"""Outputs of a program; they divide a panel."""
PROGRAMS = 528
"""Programs that fill a GPU, about four for each of its cores."""


def product(
    x: Float[Array, "R D"], matrix: QuantizedMatrix, *, interpret: Any
) -> Float[Array, "R V"]:
    """Returns `x @ matrix.T` in the dtype of `x`.

    Args:
      x: activations.
      matrix: in the layout `ACCELERATOR`.
      interpret: as in `attention`.
    """
    R, D = x.shape
    V = matrix.outputs
    block_r = min(pl.next_power_of_2(R), ROWS)
    row_blocks = cdiv(R, block_r)
    programs = cdiv(V, OUTPUTS) * row_blocks
    steps = cdiv(D, ACCELERATOR.step)
    chunk = cdiv(steps, max(1, min(steps, PROGRAMS // programs)))
    splits = cdiv(steps, chunk)
    parts = number_of_parts(x.dtype)
    # Partial results stay in float32 until they are added.
    dtype = x.dtype if splits == 1 else jnp.float32
    out = gpu_blocks.call(
        functools.partial(_kernel, parts, block_r, chunk, steps),
        Tile(block_r, OUTPUTS, warps=4, stages=2),
        grid=(cdiv(V, OUTPUTS), splits, row_blocks),
        out_specs=pl.BlockSpec((None, R, V), lambda i, split, j: (split, 0, 0)),
        out_shape=jax.ShapeDtypeStruct((splits, R, V), dtype),
        interpret=interpret,
        name="quantized_product",
    )(x, matrix)
    return out[0] if splits == 1 else out.sum(0).astype(x.dtype)


def _kernel(parts: int, block_r: int, chunk: int, steps: int, x, matrix, out) -> None:
    """Multiplies a block of rows with some outputs, over a part of the inputs."""
    outputs = span(pl.program_id(0), OUTPUTS)
    first = pl.program_id(1) * chunk
    # The parts of all rows are rows of one product.
    number = jnp.arange(max(MIN_BLOCK, pl.next_power_of_2(parts) * block_r), dtype=jnp.int32)
    program = _Program(
        x,
        matrix,
        parts,
        rows=pl.program_id(2) * block_r + number % block_r,
        part=number // block_r,
        panel=pl.program_id(0) * OUTPUTS // ACCELERATOR.panel,
        lanes=outputs % ACCELERATOR.panel,
    )

    def take_step(step, total):
        slots = ACCELERATOR.step // SLOT
        return sum((program.product(Slot(slots, step, i)) for i in range(slots)), total)

    total = jnp.zeros((len(number), OUTPUTS), jnp.float32)
    total = jax.lax.fori_loop(first, jnp.minimum(first + chunk, steps), take_step, total)
    whole = total.reshape(-1, block_r, OUTPUTS).sum(0)
    rows = span(pl.program_id(2), block_r)
    exist = (rows < out.shape[0])[:, None] & (outputs < out.shape[1])[None, :]
    plgpu.store(out.at[rows[:, None], outputs[None, :]], whole.astype(out.dtype), mask=exist)


class _Program(NamedTuple):
    """What a program reads.

    Attributes:
      x: [R, D].
      matrix: all of it.
      parts: in which activations are multiplied.
      rows: of the activations, for each row of the product.
      part: likewise.
      panel: of the matrix.
      lanes: of the panel.
    """

    x: Any
    matrix: Any
    parts: int
    rows: Int[Array, " M"]
    part: Int[Array, " M"]
    panel: Any
    lanes: Int[Array, " N"]

    def product(self, slot: Slot) -> Float[Array, "M N"]:
        """Returns the product over a slot, which is a group or two."""
        matrix = self.matrix
        tiles = [
            (field.weight, _numbers(field.numbers(matrix.bits, slot, self._words)))
            for field in FIELDS[matrix.bits]
        ]
        first = (slot.unit * slot.number + slot.slot) * SLOT
        pairs = 2 * jnp.arange(SLOT // 2, dtype=jnp.int32)
        inputs = [self._activations(first + pairs + half) for half in range(2)]
        total = jnp.zeros((len(self.rows), len(self.lanes)), jnp.float32)
        for g in range(SLOT // matrix.group):
            own = (pairs // matrix.group == g)[None]
            of_group = [jnp.where(own, x, 0) for x in inputs]
            sums = (of_group[0] + of_group[1]).sum(1)[:, None]
            found = -excess(matrix) * sums
            for weight, halves in tiles:
                for x, codes in zip(of_group, halves, strict=True):
                    more = jnp.dot(
                        x.astype(jnp.bfloat16), codes, preferred_element_type=jnp.float32
                    )
                    found += weight * more
            group = first // matrix.group + g
            total += found * self._factors(matrix.scales, matrix.scale_units, group)
            if matrix.offsets is not None:
                total += sums * self._factors(matrix.offsets, matrix.offset_units, group)
        return total

    def _words(self, plane: int, tile: Any) -> Int[Array, "words N"]:
        row = span(tile, ACCELERATOR.words)
        at = self.panel, row[:, None], self.lanes[None, :]
        return plgpu.load(self.matrix.planes[plane].at[at])

    def _activations(self, columns: Int[Array, " L"]) -> Float[Array, "M L"]:
        """Returns columns of the activations' parts, float32; zero where there are none."""
        R, D = self.x.shape
        exist = (self.rows < R)[:, None] & (columns < D)[None]
        at = self.rows[:, None], columns[None]
        found = plgpu.load(self.x.at[at], mask=exist, other=0)
        chosen = jnp.zeros(found.shape, jnp.float32)
        for number, part in enumerate(parts_of(found, self.parts)):
            chosen = jnp.where((self.part == number)[:, None], part, chosen)
        return chosen

    def _factors(self, factors: Any, units: Any, group: Any) -> Float[Array, "1 N"]:
        """Returns a group's scales or offsets, float32."""
        found = plgpu.load(factors.at[self.panel, group, self.lanes])
        if units is None:
            return _half(found)[None]
        unit = plgpu.load(units.at[self.panel, group // (UNIT // self.matrix.group), self.lanes])
        return (found.astype(jnp.float32) * _half(unit))[None]


def _numbers(words: Int[Array, "m n"]) -> list[Float[Array, "m n"]]:
    """Returns the lower and the upper halves of words, which are bfloat16 numbers."""
    # With zeros below, a bfloat16 number is the same one in float32.
    wide = words << 16, words & jnp.uint32(0xFFFF0000)
    return [jax.lax.bitcast_convert_type(x, jnp.float32).astype(jnp.bfloat16) for x in wide]


def _half(bits: Int[Array, " n"]) -> Float[Array, " n"]:
    return jax.lax.bitcast_convert_type(bits, jnp.float16).astype(jnp.float32)
