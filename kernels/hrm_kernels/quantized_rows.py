"""What the quantised products of TPU and GPU share: activations in parts, codes in fields.

A code of at most 8 bits is a field of at most 7 bits, or a sum of two, and a field of k bits
written into the mantissa of a bfloat16 number is `2 ** k + field`, exactly, without a conversion.
So are activations sums of parts in bfloat16. Products of fields and parts are exact in float32,
which is what matrix units sum in; sums of a group are multiplied by its scale in float32. Hence the
result differs from the exact one by the rounding of float32 sums, and by what the parts leave out
of an activation: nothing of bfloat16 and float16; of float32 at most 2 ** -15 of its size, or
nothing where JAX's matrix products are to be exact (`jax_default_matmul_precision`).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hrm_kernels.operands import wants_exact_float32
from hrm_kernels.quantized_matrix import ACCELERATOR, PLANES, QuantizedMatrix

SLOT = 2 * ACCELERATOR.words
"""Inputs of a tile at one shift, in its words' halves."""


class Half(NamedTuple):
    """A floating-point format of 16 bits.

    Attributes:
      mantissa: its bits, of which a field may take all.
      bias: of the exponent.
    """

    mantissa: int
    bias: int


BFLOAT16 = Half(7, 127)
FLOAT16 = Half(10, 15)


class Slot(NamedTuple):
    """The `SLOT` inputs whose number, counted in slots, is `unit * number + slot`.

    Attributes:
      unit: slots that a kernel takes in one turn of its loop.
      number: of the turn.
      slot: within the turn.
    """

    unit: int
    number: Any
    slot: int

    def place(self, k: int) -> tuple[Any, Any]:
        """Returns which tile of a plane of k bits has the slot, and the first bit in its halves.

        The bit is an int if it is the same in all turns.
        """
        of_turn = self.unit * k
        width = ACCELERATOR.width
        if of_turn % width == 0:
            tile = self.number * (of_turn // width) + self.slot * k // width
            return tile, self.slot * k % width
        before = self.number * of_turn + self.slot * k
        return before // width, before % width


class Piece(NamedTuple):
    """Bits of a field that one plane has.

    Attributes:
      plane: its number.
      begin: the first of them within the plane's bits of a code.
      bits: how many.
      at: the first of them within the field.
    """

    plane: int
    begin: int
    bits: int
    at: int


class Field(NamedTuple):
    """Some bits of all codes.

    Attributes:
      bits: how many, at most 7.
      weight: what the lowest counts in a code.
      pieces: what it is made of.
    """

    bits: int
    weight: int
    pieces: tuple[Piece, ...]

    def numbers(
        self, bits: int, slot: Slot, words: Callable[[int, Any], Array], half: Half = BFLOAT16
    ) -> Array:
        """Returns `2 ** self.bits + field` of a slot, as numbers in the halves of words.

        Args:
          bits: of a code.
          slot: its inputs 2 i and 2 i + 1 are the lower and the upper half of word i.
          words: returns a tile of a plane by the numbers of both, uint32 [16, n] or its transpose.
          half: format of the numbers.
        """
        numbers = jnp.uint32(_both((half.bias + self.bits) << half.mantissa))
        for piece in self.pieces:
            tile, begin = slot.place(PLANES[bits][piece.plane])
            held = words(piece.plane, tile)
            first = begin + piece.begin
            to = half.mantissa - self.bits + piece.at
            if not isinstance(first, int):
                moved = (held >> first.astype(jnp.uint32)) << to
            elif first >= to:
                moved = held >> (first - to)
            else:
                moved = held << (to - first)
            numbers = numbers | (moved & jnp.uint32(_both(((1 << piece.bits) - 1) << to)))
        return numbers


FIELDS = {
    4: (Field(4, 1, (Piece(0, 0, 4, 0),)),),
    5: (Field(5, 1, (Piece(0, 0, 4, 0), Piece(1, 0, 1, 4))),),
    6: (Field(6, 1, (Piece(0, 0, 4, 0), Piece(1, 0, 2, 4))),),
    8: (Field(4, 1, (Piece(0, 0, 4, 0),)), Field(4, 16, (Piece(0, 4, 4, 0),))),
}
"""Fields of a code, by its bits."""


def excess(matrix: QuantizedMatrix) -> float:
    """Returns what the sum of a code's fields as numbers has above the code.

    Where codes have no offsets, that code is meant of which `2 ** (bits - 1)` is taken.
    """
    zero = 0 if matrix.offsets is not None else 1 << (matrix.bits - 1)
    return float(zero + sum(field.weight << field.bits for field in FIELDS[matrix.bits]))


def number_of_parts(dtype: Any) -> int:
    """Returns how many parts activations of a dtype are multiplied in."""
    if dtype == jnp.bfloat16:
        return 1
    return 3 if dtype == jnp.float32 and wants_exact_float32() else 2


def parts_of(x: Float[Array, "*axes"], number: int) -> list[Float[Array, "*axes"]]:
    """Returns float32 numbers of 8 significant bits that add up to `x`, the largest first.

    Three are exact. Two are of what has 16 bits, and leave out less than 2 ** -15 of the size of
    others.
    """
    rest = x.astype(jnp.float32)
    parts = []
    for _ in range(number):
        # Cut off, as bits: rounding to bfloat16 and back is nothing to compilers that may keep more
        # precision than they are asked for.
        bits = jax.lax.bitcast_convert_type(rest, jnp.uint32) & jnp.uint32(0xFFFF0000)
        parts.append(jax.lax.bitcast_convert_type(bits, jnp.float32))
        rest = rest - parts[-1]
    return parts


def _both(half: int) -> int:
    """Returns the same bits in both halves of a word."""
    return half << 16 | half
