"""The product with a quantised matrix on TPU: tiles are unpacked in VMEM.

A step takes 128 inputs of a panel of 128 outputs: 16 words at a shift are 32 inputs, by a shift, a
mask and an exponent (`quantized_rows`). Groups get sums of their own in one product, for which each
has rows of its own: the activations, with zeros in the place of other groups.
"""

import functools
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jax.experimental.pallas import tpu as pltpu
from jaxtyping import Array, Float, Int

from hrm_kernels.blocks import cdiv
from hrm_kernels.quantized_matrix import ACCELERATOR, UNIT, QuantizedMatrix
from hrm_kernels.quantized_rows import FIELDS, SLOT, Field, Slot, excess, number_of_parts, parts_of
from hrm_kernels.tpu_heads import LANES, SUBLANES, VMEM_LIMIT_BYTES, nbytes

ROWS = 64
HELD_BYTES = 24 << 20
"""Most rows of activations in a block, and about the bytes of what is prepared of them."""
BLOCK_BYTES = 1 << 19
"""About the bytes of a block of the matrix; smaller ones take longer to start than to read."""
_STEP = ACCELERATOR.step
_BLOCK = ACCELERATOR.width * SLOT
"""Inputs of a tile of one bit: whole tiles of all planes, so that shifts are the same in each."""


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
    steps = cdiv(D, _STEP)
    parts = number_of_parts(x.dtype)
    per_step = _STEP // matrix.group
    block_r = _block_rows(R, steps * _STEP * per_step * parts)
    panels = _panels_of(matrix)
    rows = cdiv(parts * block_r, SUBLANES) * SUBLANES
    factors = [matrix.scales] if matrix.offsets is None else [matrix.scales, matrix.offsets]

    def of_panels(leaf: Array) -> pl.BlockSpec:
        return pl.BlockSpec((panels, *leaf.shape[1:]), lambda i, p: (p, 0, 0))

    row_blocks = cdiv(R, block_r)
    return pl.pallas_call(
        functools.partial(_kernel, parts),
        grid=(row_blocks, cdiv(matrix.scales.shape[0], panels)),
        in_specs=[
            pl.BlockSpec((block_r, steps * _STEP), lambda i, p: (i, 0)),
            jax.tree.map(of_panels, matrix),
        ],
        out_specs=pl.BlockSpec((block_r, panels * LANES), lambda i, p: (i, p)),
        out_shape=jax.ShapeDtypeStruct((R, V), x.dtype),
        scratch_shapes=[
            pltpu.VMEM((steps, per_step * rows, _STEP), jnp.bfloat16),
            pltpu.VMEM((steps, per_step * rows, _STEP), jnp.float32),
            *(pltpu.VMEM((matrix.scales.shape[1], LANES), jnp.float32) for _ in factors),
        ],
        compiler_params=pltpu.CompilerParams(
            # What the first panels prepare of a block of rows, the others take.
            dimension_semantics=("parallel", "arbitrary"),
            vmem_limit_bytes=VMEM_LIMIT_BYTES,
        ),
        cost_estimate=pl.CostEstimate(
            flops=2 * R * V * D,
            transcendentals=0,
            bytes_accessed=row_blocks * matrix.nbytes + nbytes(x) + R * V * x.dtype.itemsize,
        ),
        interpret=interpret,
        name="quantized_product",
    )(x, matrix)


def _kernel(parts: int, x, matrix, out, own, sums, *factors) -> None:
    """Multiplies a block of rows with some panels.

    Args:
      parts: in which activations are multiplied.
      x: [r, steps * 128], with anything behind the inputs.
      matrix: the panels.
      out: [r, panels * 128].
      own: [steps, groups of a step * rows, 128]; each row has zeros but for one group's inputs.
      sums: the sum of each row of `own`, in all its lanes, float32.
      *factors: [groups, 128] float32 for the scales, and the offsets, of the panel at hand.
    """
    pl.when(pl.program_id(1) == 0)(lambda: _prepare(parts, x, matrix, own, sums))
    per_step = _STEP // matrix.group
    rows = own.shape[1] // per_step
    scales, *offsets = factors

    def multiply_panel(panel, carry):
        scales[...] = _factors(matrix.scales, matrix.scale_units, matrix.group, panel)
        for ref in offsets:
            ref[...] = _factors(matrix.offsets, matrix.offset_units, matrix.group, panel)

        def take_step(block, s, totals):
            step = block * (_BLOCK // _STEP) + s
            inputs = sums[step]
            found = -excess(matrix) * inputs
            for field in FIELDS[matrix.bits]:
                tile = _tile(matrix, field, panel, block, s)
                found += field.weight * jnp.dot(own[step], tile, preferred_element_type=jnp.float32)
            after = []
            for g, total in enumerate(totals):
                group = pl.ds(step * per_step + g, 1)
                of_group = slice(g * rows, (g + 1) * rows)
                total += found[of_group] * scales[group, :]
                for ref in offsets:
                    total += inputs[of_group] * ref[group, :]
                after.append(total)
            return after

        def take_block(block, totals, steps=_BLOCK // _STEP):
            for s in range(steps):
                totals = take_step(block, s, totals)
            return totals

        # Groups of a step are summed apart, so that they need not wait for each other.
        totals = [jnp.zeros((rows, LANES), jnp.float32)] * per_step
        blocks, rest = divmod(len(own), _BLOCK // _STEP)
        if blocks:
            totals = jax.lax.fori_loop(0, blocks, take_block, totals)
        total = functools.reduce(jnp.add, take_block(blocks, totals, rest))
        r = len(out)
        by_part = [total[r * part : r * (part + 1)] for part in reversed(range(parts))]
        whole = functools.reduce(jnp.add, by_part)
        out[:, pl.ds(pl.multiple_of(panel * LANES, LANES), LANES)] = whole.astype(out.dtype)
        return carry

    jax.lax.fori_loop(0, len(matrix.scales), multiply_panel, 0)


def _prepare(parts: int, x, matrix, own, sums) -> None:
    """Writes `own` and `sums` of a block of rows; see `_kernel`."""
    per_step = _STEP // matrix.group
    rows = own.shape[1] // per_step
    lane = jax.lax.broadcasted_iota(jnp.int32, (rows, _STEP), 1)

    def take_step(step, carry):
        inputs = x[:, pl.ds(pl.multiple_of(step * _STEP, _STEP), _STEP)]
        split = jnp.concatenate(parts_of(inputs, parts))
        split = jnp.pad(split, ((0, rows - len(split)), (0, 0)))
        # Behind the last input there may be anything, also NaN.
        split = jnp.where(step * _STEP + lane < matrix.inputs, split, 0)
        for g in range(per_step):
            of_group = slice(g * rows, (g + 1) * rows)
            alone = jnp.where(lane // matrix.group == g, split, 0)
            own[step, of_group] = alone.astype(jnp.bfloat16)
            sums[step, of_group] = jnp.broadcast_to(alone.sum(1, keepdims=True), alone.shape)
        return carry

    jax.lax.fori_loop(0, len(own), take_step, 0)


def _tile(matrix: Any, field: Field, panel: Any, block: Any, s: int) -> Array:
    """Returns a field of the codes of a block's step s, bfloat16 [128, 128]."""

    def words(plane: int, tile: Any) -> Array:
        first = pl.multiple_of(tile * ACCELERATOR.words, ACCELERATOR.words)
        return matrix.planes[plane][panel, pl.ds(first, ACCELERATOR.words), :]

    slots = [
        Slot(_BLOCK // SLOT, block, slot)
        for slot in range(s * _STEP // SLOT, (s + 1) * _STEP // SLOT)
    ]
    numbers = [field.numbers(matrix.bits, slot, words) for slot in slots]
    return jnp.concatenate([pltpu.bitcast(x, jnp.bfloat16) for x in numbers])


def _factors(factors: Any, units: Any, group: int, panel: Any) -> Float[Array, "groups n"]:
    """Returns the scales or offsets of a panel, float32."""
    stored = factors[panel].astype(jnp.int32)
    if units is None:
        return _half(stored)
    shared = UNIT // group
    unit = _half(units[panel].astype(jnp.int32))[: len(stored) // shared]
    wide = stored.astype(jnp.float32).reshape(len(unit), shared, -1)
    return (wide * unit[:, None]).reshape(stored.shape)


def _half(bits: Int[Array, "m n"]) -> Float[Array, "m n"]:
    """Returns float16 numbers, given as their bits, in float32: TPUs do not know the type."""
    exponent = bits & 0x7C00
    size = bits & 0x7FFF
    # A half's exponent is biased by 15, a float's by 127; the largest of each means infinity.
    shift = jnp.where(exponent == 0x7C00, 2 * (127 - 15), 127 - 15) << 23
    normal = jax.lax.bitcast_convert_type((size << 13) + shift, jnp.float32)
    small = size.astype(jnp.float32) * 2.0**-24
    wide = jnp.where(exponent == 0, small, normal)
    return jnp.where((bits & 0x8000) != 0, -wide, wide)


def _block_rows(R: int, held: int) -> int:
    """Returns how many of R rows a block takes, if so many numbers are prepared of each."""
    # In bfloat16, and their sums in float32.
    most = HELD_BYTES // (6 * held) // SUBLANES * SUBLANES
    return min(R, ROWS, max(most, SUBLANES))


def _panels_of(matrix: QuantizedMatrix) -> int:
    """Returns how many panels a block takes."""
    P = matrix.scales.shape[0]
    return max(1, min(P, BLOCK_BYTES * P // matrix.nbytes))
