"""Matrices in a few bits: how they are stored, and their product with activations.

A matrix [outputs, inputs] is cut along its inputs into groups of 16 or 32, which share a scale, and
perhaps an offset: an element is `scale * (code - 2 ** (bits - 1))`, or `scale * code + offset`.
These are the formats of llama.cpp's files. Sixteen outputs, a panel, lie side by side.
"""

import dataclasses
from collections.abc import Iterable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from hrm_kernels import native
from hrm_kernels.choice import UnsupportedError

PANEL = 16
"""Outputs of a panel; the last panel is filled up with zeros."""
UNIT = 256
"""Inputs that share a unit of their scales, where scales are integers."""
PLANES = {4: (4,), 5: (4, 1), 6: (4, 2), 8: (8,)}
"""Bits of the planes that codes are split into, the low bits first, by the bits of a code."""
Stored: TypeAlias = Array | np.ndarray
"""An array on a device, or one that is yet to be put there."""
_WORD = 32
_BYTES = 4


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class QuantizedMatrix:
    """A matrix of V rows, the outputs, and D columns, the inputs; P panels, D / group groups.

    Attributes:
      planes: uint32 [P, D * k / 32, 16] for each plane of k bits. A word has 32 / k inputs of one
        output: input 4 j + c of them begins at bit 8 c + k j.
      scales: float16 [P, D / group, 16]; or int8, in units of `scale_units`.
      offsets: likewise; None where code 2 ** (bits - 1) stands for zero.
      scale_units: float16 [P, D / 256, 16]; None where the scales are float16.
      offset_units: likewise, of the offsets.
      bits: of a code, one of `PLANES`.
      group: inputs that share a scale.
      outputs: V.
    """

    planes: tuple[Stored, ...]
    scales: Stored
    offsets: Stored | None
    scale_units: Stored | None
    offset_units: Stored | None
    bits: int = dataclasses.field(metadata={"static": True})
    group: int = dataclasses.field(metadata={"static": True})
    outputs: int = dataclasses.field(metadata={"static": True})

    @property
    def inputs(self) -> int:
        """D."""
        return self.planes[0].shape[1] * _WORD // PLANES[self.bits][0]

    @property
    def shape(self) -> tuple[int, int]:
        """(V, D)."""
        return self.outputs, self.inputs

    @property
    def nbytes(self) -> int:
        """Bytes of all arrays."""
        return sum(leaf.nbytes for leaf in jax.tree.leaves(self))


def quantized_product(
    x: Float[Array, "*axes D"], matrix: QuantizedMatrix, *, backend: str | None = None
) -> Float[Array, "*axes V"]:
    """Returns `x @ matrix.T` in the dtype of `x`.

    Args:
      x: activations.
      matrix: the weights; they get no gradient.
      backend: "xla" widens the matrix; "cpu" rounds the activations to 8 bits and multiplies
        integers, in time bounded by reading the matrix. None for the best that is there.

    Raises:
      UnsupportedError: `backend` cannot serve these operands, saying why.
      ValueError: there is no such backend, or the shapes do not fit together.
    """
    if x.shape[-1] != matrix.inputs:
        raise ValueError(f"quantized_product: x {x.shape} does not fit a matrix {matrix.shape}")
    if backend not in (None, "xla", "cpu"):
        raise ValueError(f"quantized_product: expected None, 'xla' or 'cpu', got {backend!r}")
    reason = refuses_quantized()
    if backend == "cpu" and reason:
        raise UnsupportedError(f"quantized_product: {reason}")
    exact = backend == "xla" or reason is not None
    return _differentiable(exact, x, matrix)


def refuses_quantized() -> str | None:
    """Returns why this machine has no fast product of quantised matrices, or None if it has."""
    if jax.default_backend() != "cpu":
        return "the kernel in C++ runs on CPUs"
    return native.refuses()


def dequantize(matrix: QuantizedMatrix) -> Float[Array, "V D"]:
    """Returns a matrix widened to float32."""
    codes = _codes(matrix)
    P, D, _ = codes.shape
    groups = codes.reshape(P, D // matrix.group, matrix.group, PANEL)
    scales = _factors(matrix.scales, matrix.scale_units, matrix)[:, :, None]
    if matrix.offsets is None:
        zero = 1 << (matrix.bits - 1)
        widened = scales * (groups.astype(jnp.int32) - zero).astype(jnp.float32)
    else:
        offsets = _factors(matrix.offsets, matrix.offset_units, matrix)[:, :, None]
        widened = scales * groups.astype(jnp.float32) + offsets
    widened = widened.reshape(P, D, PANEL)
    return widened.swapaxes(1, 2).reshape(P * PANEL, D)[: matrix.outputs]


def take_rows(matrix: QuantizedMatrix, rows: Int[Array, "*axes"]) -> Float[Array, "*axes D"]:
    """Returns rows of a matrix by number, float32; only these are widened."""
    flat = rows.reshape(-1)
    panel = flat // PANEL
    lane = flat % PANEL

    # A panel of its own for each row, which then is its first.
    def one(leaf: Array) -> Array:
        wanted = leaf[panel, :, lane][:, :, None]
        return jnp.pad(wanted, ((0, 0), (0, 0), (0, PANEL - 1)))

    picked = dataclasses.replace(jax.tree.map(one, matrix), outputs=flat.shape[0] * PANEL)
    return dequantize(picked)[::PANEL].reshape(*rows.shape, matrix.inputs)


def quantize(matrix: Float[np.ndarray, "V D"], bits: int) -> QuantizedMatrix:
    """Returns a matrix in 8 bits, or in 4 with offsets, in groups of 32.

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
        return pack(codes.reshape(V, D), scales, None, bits=bits, group=group)
    least = groups.min(-1)
    offsets = _half(least)
    scales = _half((groups.max(-1) - least) / 15)
    codes = np.clip(_nearest(groups - offsets[..., None].astype(np.float32), scales), 0, 15)
    return pack(codes.reshape(V, D), scales, offsets, bits=bits, group=group)


def pack(
    codes: Int[np.ndarray, "V D"],
    scales: np.ndarray,
    offsets: np.ndarray | None,
    *,
    bits: int,
    group: int,
    scale_units: np.ndarray | None = None,
    offset_units: np.ndarray | None = None,
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
    """
    V = codes.shape[0]
    fours = np.ascontiguousarray(_filled(codes), np.uint8).view("<u4")
    shift = 0
    planes = []
    for k in PLANES[bits]:
        planes.append(_plane(fours, k, shift))
        shift += k
    return QuantizedMatrix(
        tuple(planes),
        _in_panels(_filled(scales)),
        None if offsets is None else _in_panels(_filled(offsets)),
        None if scale_units is None else _in_panels(_filled(scale_units)),
        None if offset_units is None else _in_panels(_filled(offset_units)),
        bits=bits,
        group=group,
        outputs=V,
    )


def concatenate(pieces: Iterable[QuantizedMatrix], outputs: int) -> QuantizedMatrix:
    """Returns matrices of NumPy arrays and one format, joined along their outputs.

    Args:
      pieces: taken one by one, so that they need not all exist at once; the outputs of all but the
        last fill their panels.
      outputs: of all pieces together, at least 1.
    """
    P = -(-outputs // PANEL)
    joined: list[np.ndarray] = []
    first = 0
    structure = None
    for piece in pieces:
        piece = dataclasses.replace(piece, outputs=outputs)
        leaves, structure = jax.tree.flatten(piece)
        if not joined:
            joined = [np.empty((P, *leaf.shape[1:]), leaf.dtype) for leaf in leaves]
        end = first + leaves[0].shape[0]
        for whole, leaf in zip(joined, leaves, strict=True):
            whole[first:end] = leaf
        first = end
    assert structure is not None
    return jax.tree.unflatten(structure, joined)


def _multiply(exact: bool, x: Array, matrix: QuantizedMatrix) -> Array:
    if exact:
        return (x @ dequantize(matrix).T.astype(x.dtype)).astype(x.dtype)
    rows = x.reshape(-1, matrix.inputs).astype(jnp.float32)
    return _native_product(rows, matrix).reshape(*x.shape[:-1], matrix.outputs).astype(x.dtype)


_differentiable = jax.custom_vjp(_multiply, nondiff_argnums=(0,))


def _forward(exact: bool, x: Array, matrix: QuantizedMatrix) -> tuple[Array, QuantizedMatrix]:
    return _multiply(exact, x, matrix), matrix


def _backward(exact: bool, matrix: QuantizedMatrix, d_out: Array) -> tuple[Array, Any]:
    del exact
    return d_out @ dequantize(matrix).astype(d_out.dtype), None


_differentiable.defvjp(_forward, _backward)


def _native_product(x: Float[Array, "R D"], matrix: QuantizedMatrix) -> Float[Array, "R V"]:
    absent = jnp.zeros(0, jnp.float16)
    low, *high = matrix.planes
    P = low.shape[0]
    call = jax.ffi.ffi_call(
        native.QUANTIZED_PRODUCT, jax.ShapeDtypeStruct((x.shape[0], P * PANEL), jnp.float32)
    )
    out = call(
        x,
        low,
        high[0] if high else jnp.zeros(0, jnp.uint32),
        matrix.scales,
        absent if matrix.offsets is None else matrix.offsets,
        absent if matrix.scale_units is None else matrix.scale_units,
        absent if matrix.offset_units is None else matrix.offset_units,
        bits=np.int64(matrix.bits),
        group=np.int64(matrix.group),
    )
    return out[:, : matrix.outputs]


def _codes(matrix: QuantizedMatrix) -> Int[Array, "P D 16"]:
    """Returns the codes, uint32."""
    shift = 0
    codes = jnp.zeros((), jnp.uint32)
    for k, plane in zip(PLANES[matrix.bits], matrix.planes, strict=True):
        # Bit 8 c + k j of a word begins input 4 j + c.
        begins = [8 * c + k * j for j in range(8 // k) for c in range(_BYTES)]
        parts = plane[:, :, None] >> jnp.array(begins, jnp.uint32)[None, None, :, None]
        part = (parts & ((1 << k) - 1)).reshape(plane.shape[0], -1, PANEL)
        codes = codes | (part << shift)
        shift += k
    return codes


def _factors(factors: Stored, units: Stored | None, matrix: QuantizedMatrix) -> Array:
    """Returns scales or offsets, float32 [P, D / group, 16]."""
    wide = jnp.asarray(factors, jnp.float32)
    if units is None:
        return wide
    return wide * jnp.repeat(jnp.asarray(units, jnp.float32), UNIT // matrix.group, axis=1)


def _plane(fours: Int[np.ndarray, "V D/4"], k: int, shift: int) -> np.ndarray:
    """Returns k bits of all codes from bit `shift` on, as words: uint32 [P, D * k / 32, 16].

    Args:
      fours: codes of four inputs in each uint32, which NumPy is fast with.
      k: bits.
      shift: the first of them.
    """
    parts = ((fours >> shift) & (((1 << k) - 1) * 0x01010101)).reshape(len(fours), -1, 8 // k)
    packed = parts[..., 0]
    for j in range(1, 8 // k):
        packed = packed | (parts[..., j] << (k * j))
    return _in_panels(packed)


def _filled(rows: np.ndarray) -> np.ndarray:
    """Returns rows with zeros below, up to a whole number of panels."""
    missing = -rows.shape[0] % PANEL
    return np.pad(rows, ((0, missing), (0, 0))) if missing else rows


def _in_panels(rows: np.ndarray) -> np.ndarray:
    """Returns [V, n] as [V / 16, n, 16]."""
    V, n = rows.shape
    return np.ascontiguousarray(rows.reshape(V // PANEL, PANEL, n).swapaxes(1, 2))


def _half(x: np.ndarray) -> np.ndarray:
    return x.astype(np.float16)


def _nearest(groups: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Returns the nearest multiples of the scales, int32; 0 where a scale is 0."""
    wide = scales.astype(np.float32)[..., None]
    ratio = np.divide(groups, wide, out=np.zeros_like(groups), where=wide != 0)
    return np.rint(ratio).astype(np.int32)
