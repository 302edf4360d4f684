"""Matrices in a few bits: how they are stored, and what they widen to.

A matrix [outputs, inputs] is cut along its inputs into groups of 16 or 32, which share a scale, and
perhaps an offset: an element is `scale * (code - 2 ** (bits - 1))`, or `scale * code + offset`.
These are the formats of llama.cpp's files. The order of the codes in memory is the platform's.
"""

import dataclasses
from collections.abc import Iterable
from typing import TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from hrm_kernels.choice import UnsupportedError
from hrm_kernels.device import PLATFORMS

UNIT = 256
"""Inputs that share a unit of their scales, where scales are integers."""
PLANES = {4: (4,), 5: (4, 1), 6: (4, 2), 8: (8,)}
"""Bits of the planes that codes are split into, the low bits first, by the bits of a code."""
Stored: TypeAlias = Array | np.ndarray
"""An array on a device, or one that is yet to be put there."""
_WORD = 32


@dataclasses.dataclass(frozen=True)
class Layout:
    """The order of a plane's codes in memory.

    Words are cut into `32 / width` fields. Of a tile of words, input `words * fields * j +
    fields * i + c` begins at bit `width * c + k * j` of word i, where k are the plane's bits.

    Attributes:
      panel: outputs that lie side by side; the last panel is filled up with zeros.
      width: bits of a field.
      words: words of a tile.
      step: inputs that a kernel takes at once; planes are filled up with zeros to whole steps and
        whole tiles.
      factors: what the scales of an output are filled up to a multiple of, likewise with zeros.
      halves: dtype of what is float16. As integers they are its bits, for TPUs lack the type.
    """

    panel: int
    width: int
    words: int
    step: int
    factors: int
    halves: str

    @property
    def fields(self) -> int:
        """Fields of a word."""
        return _WORD // self.width

    def held(self, D: int, k: int) -> int:
        """Returns the inputs that a plane of k bits has room for, D and what fills it up."""
        unit = max(self.step, self.words * _WORD // k)
        return -(-D // unit) * unit


CPU = Layout(panel=16, width=8, words=1, step=4, factors=1, halves="float16")
"""Sixteen words fill a vector; the four bytes of a word are what an integer dot product takes."""
ACCELERATOR = Layout(panel=128, width=16, words=16, step=128, factors=8, halves="int16")
"""Both halves of a word become operands of 16 bits; a tile's halves at one shift are 32 inputs in
their order, a group. Factors fill rows of 8: a TPU would copy other arrays ahead of the kernel."""


def layout_of(platform: str) -> Layout:
    """Returns the layout that the kernels of a platform read, as JAX names it."""
    return ACCELERATOR if platform in PLATFORMS else CPU


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class QuantizedMatrix:
    """A matrix of V rows, the outputs, and D columns, the inputs; P panels of n outputs.

    Attributes:
      planes: uint32 [P, words, n] for each plane, as `layout` orders its codes.
      scales: float16 (`layout.halves`) [P, at least D / group, n]; or int8, in units of
        `scale_units`.
      offsets: likewise; None where code 2 ** (bits - 1) stands for zero.
      scale_units: float16 likewise [P, at least D / 256, n]; None where the scales are float16.
      offset_units: likewise, of the offsets.
      bits: of a code, one of `PLANES`.
      group: inputs that share a scale.
      outputs: V.
      inputs: D.
      layout: of the arrays.
    """

    planes: tuple[Stored, ...]
    scales: Stored
    offsets: Stored | None
    scale_units: Stored | None
    offset_units: Stored | None
    bits: int = dataclasses.field(metadata={"static": True})
    group: int = dataclasses.field(metadata={"static": True})
    outputs: int = dataclasses.field(metadata={"static": True})
    inputs: int = dataclasses.field(metadata={"static": True})
    layout: Layout = dataclasses.field(metadata={"static": True})

    @property
    def shape(self) -> tuple[int, int]:
        """(V, D)."""
        return self.outputs, self.inputs

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(self))


def dequantize(matrix: QuantizedMatrix) -> Float[Array, "V D"]:
    """Returns a matrix widened to float32."""
    codes = _codes(matrix)
    P, D, n = codes.shape
    groups = codes.reshape(P, D // matrix.group, matrix.group, n)
    scales = _factors(matrix.scales, matrix.scale_units, matrix)[:, :, None]
    if matrix.offsets is None:
        zero = 1 << (matrix.bits - 1)
        widened = scales * (groups.astype(jnp.int32) - zero).astype(jnp.float32)
    else:
        offsets = _factors(matrix.offsets, matrix.offset_units, matrix)[:, :, None]
        widened = scales * groups.astype(jnp.float32) + offsets
    widened = widened.reshape(P, D, n)
    return widened.swapaxes(1, 2).reshape(P * n, D)[: matrix.outputs]


def take_rows(matrix: QuantizedMatrix, rows: Int[Array, "*axes"]) -> Float[Array, "*axes D"]:
    """Returns rows of a matrix by number, float32; only these are widened."""
    flat = rows.reshape(-1)
    panel = flat // matrix.layout.panel
    lane = flat % matrix.layout.panel
    own = jnp.arange(matrix.layout.panel)[None, None] == lane[:, None, None]

    def one(leaf: Array) -> Array:
        """Returns a panel for each row, as wide as one."""
        # Whole panels are taken first: for single lanes, a TPU copies the matrix to another layout.
        zero = jnp.zeros((), leaf.dtype)
        return jnp.where(own, leaf[panel], zero).sum(-1, keepdims=True, dtype=leaf.dtype)

    picked = jax.tree.map(one, matrix)
    picked = dataclasses.replace(picked, outputs=flat.shape[0])
    return dequantize(picked).reshape(*rows.shape, matrix.inputs)


def quantize(
    matrix: Float[np.ndarray, "V D"], bits: int, layout: Layout | None = None
) -> QuantizedMatrix:
    """Returns a matrix in 8 bits, or in 4 with offsets, in groups of 32; see `pack`.

    The largest error of an element is about 1/254 of its group's largest size at 8 bits, and 1/30
    of the distance from the group's least to its largest element at 4.

    Raises:
      UnsupportedError: D is no multiple of 32, or there is no such format.
    """
    V, D = matrix.shape
    group = 32
    if bits not in (4, 8) or D % group:
        raise UnsupportedError(f"expected 4 or 8 bits and inputs by {group}, got {bits} and {D}")
    groups = np.asarray(matrix, np.float32).reshape(V, D // group, group)
    if bits == 8:
        scales = _half(np.abs(groups).max(-1) / 127)
        codes = _nearest(groups, scales) + 128
        return pack(codes.reshape(V, D), scales, None, bits=bits, group=group, layout=layout)
    least = groups.min(-1)
    offsets = _half(least)
    scales = _half((groups.max(-1) - least) / 15)
    codes = np.clip(_nearest(groups - offsets[..., None].astype(np.float32), scales), 0, 15)
    return pack(codes.reshape(V, D), scales, offsets, bits=bits, group=group, layout=layout)


def pack(
    codes: Int[np.ndarray, "V D"],
    scales: np.ndarray,
    offsets: np.ndarray | None,
    *,
    bits: int,
    group: int,
    scale_units: np.ndarray | None = None,
    offset_units: np.ndarray | None = None,
    layout: Layout | None = None,
) -> QuantizedMatrix:
    """Returns a matrix of codes, in panels, as NumPy arrays.

    Args:
      codes: unsigned, below 2 ** bits.
      scales: [V, D / group], float16, or int8 with units.
      offsets: likewise, or None.
      bits: of a code.
      group: inputs that share a scale.
      scale_units: float16 [V, D / 256], or None.
      offset_units: likewise.
      layout: in memory; None for that of the machine at hand.
    """
    layout = layout or layout_of(jax.default_backend())
    n = layout.panel
    width = np.dtype(f"<u{layout.width // 8}")
    wide = np.ascontiguousarray(_filled(codes, n), width).view("<u4")
    shift = 0
    planes = []
    for k in PLANES[bits]:
        planes.append(_in_panels(_plane(wide, k, shift, layout), n))
        shift += k
    factors = [
        None if rows is None else _in_panels(_filled(_stored_factors(rows, layout), n), n)
        for rows in (scales, offsets, scale_units, offset_units)
    ]
    return QuantizedMatrix(
        tuple(planes),
        *factors,  # pyright: ignore[reportArgumentType]
        bits=bits,
        group=group,
        outputs=codes.shape[0],
        inputs=codes.shape[1],
        layout=layout,
    )


def concatenate(pieces: Iterable[QuantizedMatrix], outputs: int) -> QuantizedMatrix:
    """Returns matrices of NumPy arrays and one format, joined along their outputs.

    Args:
      pieces: taken one by one, so that they need not all exist at once; the outputs of all but the
        last fill their panels.
      outputs: of all pieces together, at least 1.
    """
    joined: list[np.ndarray] = []
    first = 0
    structure = None
    for piece in pieces:
        piece = dataclasses.replace(piece, outputs=outputs)
        leaves, structure = jax.tree.flatten(piece)
        if not joined:
            P = -(-outputs // piece.layout.panel)
            joined = [np.empty((P, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
        end = first + leaves[0].shape[0]
        for whole, leaf in zip(joined, leaves, strict=True):
            whole[first:end] = leaf
        first = end
    assert structure is not None
    return jax.tree.unflatten(structure, joined)


def _codes(matrix: QuantizedMatrix) -> Int[Array, "P D n"]:
    """Returns the codes, uint32."""
    layout = matrix.layout
    shift = 0
    codes = jnp.zeros((), jnp.uint32)
    for k, plane in zip(PLANES[matrix.bits], matrix.planes, strict=True):
        P, _, n = plane.shape
        j = jnp.arange(layout.width // k, dtype=jnp.uint32)
        c = jnp.arange(layout.fields, dtype=jnp.uint32)
        begins = k * j[:, None] + layout.width * c[None]
        tiles = plane.reshape(P, -1, 1, layout.words, 1, n)
        parts = tiles >> begins[None, None, :, None, :, None]
        part = (parts & ((1 << k) - 1)).reshape(P, -1, n)[:, : matrix.inputs]
        codes = codes | (part << shift)
        shift += k
    return codes


def _factors(factors: Stored, units: Stored | None, matrix: QuantizedMatrix) -> Array:
    """Returns scales or offsets, float32 [P, D / group, n]."""
    groups = matrix.inputs // matrix.group
    if units is None:
        return _wide_halves(factors)[:, :groups]
    wide = jnp.asarray(factors, jnp.float32)[:, :groups]
    return wide * jnp.repeat(_wide_halves(units), UNIT // matrix.group, axis=1)[:, :groups]


def _wide_halves(halves: Stored) -> Array:
    return jax.lax.bitcast_convert_type(jnp.asarray(halves), jnp.float16).astype(jnp.float32)


def _stored_factors(rows: np.ndarray, layout: Layout) -> np.ndarray:
    """Returns factors [V, m] in the dtype and with the padding of a layout."""
    if rows.dtype == np.float16:
        rows = rows.view(layout.halves)
    missing = -rows.shape[1] % layout.factors
    return np.pad(rows, ((0, 0), (0, missing))) if missing else rows


def _plane(wide: Int[np.ndarray, "V fields"], k: int, shift: int, layout: Layout) -> np.ndarray:
    """Returns k bits of all codes from bit `shift` on, as words: uint32 [V, words].

    Args:
      wide: a code in each field of a word, as NumPy is fast with.
      k: bits.
      shift: the first of them.
      layout: of the result.
    """
    V = len(wide)
    mask = ((1 << k) - 1) * sum(1 << layout.width * c for c in range(layout.fields))
    parts = (wide >> shift) & np.uint32(mask)
    D = wide.shape[1] * layout.fields
    missing = layout.held(D, k) - D
    if missing:
        parts = np.pad(parts, ((0, 0), (0, missing // layout.fields)))
    parts = parts.reshape(V, -1, layout.width // k, layout.words)
    packed = parts[:, :, 0]
    for j in range(1, layout.width // k):
        packed = packed | (parts[:, :, j] << (k * j))
    return packed.reshape(V, -1)


def _filled(rows: np.ndarray, n: int) -> np.ndarray:
    """Returns rows with zeros below, up to a whole number of panels of n."""
    missing = -rows.shape[0] % n
    return np.pad(rows, ((0, missing), (0, 0))) if missing else rows


def _in_panels(rows: np.ndarray, n: int) -> np.ndarray:
    """Returns [V, m] as [V / n, m, n]."""
    V, m = rows.shape
    return np.ascontiguousarray(rows.reshape(V // n, n, m).swapaxes(1, 2))


def _half(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float16)


def _nearest(groups: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Returns the nearest multiples of the scales, int32; 0 where a scale is 0."""
    wide = scales.astype(np.float32)[..., None]
    ratio = np.divide(groups, wide, out=np.zeros_like(groups), where=wide != 0)
    return np.rint(ratio).astype(np.int32)
