"""Quantised tensors of GGUF files as they are stored, and as `hrm_kernels` holds them.

Rows are made of blocks of 32 or 256 elements; their layouts are those of ggml's `block_*` types.
"""

import dataclasses
from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jaxtyping import UInt8

import hrm_kernels
from hrm_kernels import QuantizedMatrix

_PIECE = 1 << 19
"""Elements that are converted at once, so that what lies between stays in the processor's cache."""


@dataclasses.dataclass(frozen=True)
class StoredRows:
    """Rows of a quantised matrix as a file has them, read when they are asked for.

    Attributes:
      kind: name of their format, one of `KINDS`.
      read: returns uint8 [V, bytes of a row]; may be called several times.
    """

    kind: str
    read: Callable[[], UInt8[np.ndarray, "V bytes"]]


class _Parts(NamedTuple):
    """What `hrm_kernels.pack` takes; factors are [V, groups], units [V, D / 256]."""

    codes: np.ndarray
    scales: np.ndarray
    offsets: np.ndarray | None = None
    scale_units: np.ndarray | None = None
    offset_units: np.ndarray | None = None


class _Kind(NamedTuple):
    """A format: bytes and elements of a block, how it is read, and `pack`'s bits and group."""

    bytes: int
    elements: int
    read: Callable[[np.ndarray], _Parts]
    bits: int
    group: int


def quantized(rows: StoredRows) -> QuantizedMatrix:
    """Returns rows as a matrix of NumPy arrays; the elements' values do not change."""
    kind = KINDS[rows.kind]
    data = rows.read()
    V, size = data.shape
    D = size // kind.bytes * kind.elements
    panel = hrm_kernels.layout_of(jax.default_backend()).panel
    # Whole panels, so that pieces are joined without being packed anew.
    step = max(_PIECE // D // panel, 1) * panel
    pieces = (_piece(kind, data[first : first + step]) for first in range(0, V, step))
    return hrm_kernels.concatenate(pieces, V)


def _piece(kind: _Kind, rows: UInt8[np.ndarray, "V bytes"]) -> QuantizedMatrix:
    blocks = rows.reshape(len(rows), -1, kind.bytes)
    parts: dict[str, Any] = {
        name: None if part is None else part.reshape(len(rows), -1)
        for name, part in kind.read(blocks)._asdict().items()
    }
    return hrm_kernels.pack(**parts, bits=kind.bits, group=kind.group)


def _halves(blocks: UInt8[np.ndarray, "V n bytes"], begin: int) -> np.ndarray:
    """Returns the float16 number that begins at a byte of each block, [V, n]."""
    # A view of another dtype needs its bytes side by side.
    return np.ascontiguousarray(blocks[..., begin : begin + 2]).view("<f2")[..., 0]


def _nibbles(packed: UInt8[np.ndarray, "V n bytes"]) -> np.ndarray:
    """Returns the low halves of all bytes of each block, then the high ones."""
    return np.concatenate([packed & 15, packed >> 4], axis=-1)


def _fifth_bits(packed: UInt8[np.ndarray, "V n 4"]) -> np.ndarray:
    """Returns 32 bits of each block in their order, each as 0 or 16."""
    return np.unpackbits(packed, axis=-1, bitorder="little") << 4


def _q4_0(blocks: np.ndarray) -> _Parts:
    return _Parts(_nibbles(blocks[..., 2:]), _halves(blocks, 0))


def _q4_1(blocks: np.ndarray) -> _Parts:
    return _Parts(_nibbles(blocks[..., 4:]), _halves(blocks, 0), _halves(blocks, 2))


def _q5_0(blocks: np.ndarray) -> _Parts:
    codes = _nibbles(blocks[..., 6:]) | _fifth_bits(blocks[..., 2:6])
    return _Parts(codes, _halves(blocks, 0))


def _q5_1(blocks: np.ndarray) -> _Parts:
    codes = _nibbles(blocks[..., 8:]) | _fifth_bits(blocks[..., 4:8])
    return _Parts(codes, _halves(blocks, 0), _halves(blocks, 2))


def _q8_0(blocks: np.ndarray) -> _Parts:
    # Signed in the file: the code that stands for zero becomes 128.
    return _Parts(blocks[..., 2:] ^ 128, _halves(blocks, 0))


def _q4_k(blocks: np.ndarray) -> _Parts:
    # Each 32 bytes have 64 elements: those of the low halves first.
    codes = _nibbles(blocks[..., 16:].reshape(*blocks.shape[:2], 4, 32))
    return _Parts(codes, *_eight_factors(blocks))


def _q5_k(blocks: np.ndarray) -> _Parts:
    codes = _nibbles(blocks[..., 48:].reshape(*blocks.shape[:2], 4, 32))
    # Bit g of 32 bytes is the fifth bit of the elements of group g.
    groups = np.arange(8, dtype=np.uint8)[:, None]
    fifth = (blocks[..., None, 16:48] >> groups) & 1
    return _Parts(codes | (fifth << 4).reshape(codes.shape), *_eight_factors(blocks))


def _eight_factors(blocks: UInt8[np.ndarray, "V n bytes"]) -> tuple[np.ndarray, ...]:
    """Returns scales, offsets and both units of blocks of 8 groups; offsets are taken away."""
    low = blocks[..., 4:8]
    middle = blocks[..., 8:12]
    high = blocks[..., 12:16]
    # 6 bits each: the first four of both stand in the low bits of 8 bytes, whose upper two bits
    # complete the last four.
    scales = np.concatenate([low & 63, (high & 15) | (low >> 6) << 4], axis=-1)
    offsets = np.concatenate([middle & 63, (high >> 4) | (middle >> 6) << 4], axis=-1)
    return scales.view(np.int8), offsets.view(np.int8), _halves(blocks, 0), -_halves(blocks, 2)


def _q6_k(blocks: np.ndarray) -> _Parts:
    V, n, _ = blocks.shape
    # Two halves of 128 elements: 64 bytes of low bits, and 32 of the upper two.
    low = _nibbles(blocks[..., :128].reshape(V, n, 2, 64))
    high = blocks[..., 128:192].reshape(V, n, 2, 1, 32)
    shifts = np.arange(0, 8, 2, dtype=np.uint8)[:, None]
    upper = ((high >> shifts) & 3) << 4
    scales = np.ascontiguousarray(blocks[..., 192:208]).view(np.int8)
    return _Parts(low | upper.reshape(low.shape), scales, scale_units=_halves(blocks, 208))


KINDS = {
    "Q4_0": _Kind(18, 32, _q4_0, 4, 32),
    "Q4_1": _Kind(20, 32, _q4_1, 4, 32),
    "Q5_0": _Kind(22, 32, _q5_0, 5, 32),
    "Q5_1": _Kind(24, 32, _q5_1, 5, 32),
    "Q8_0": _Kind(34, 32, _q8_0, 8, 32),
    "Q4_K": _Kind(144, 256, _q4_k, 4, 32),
    "Q5_K": _Kind(176, 256, _q5_k, 5, 32),
    "Q6_K": _Kind(210, 256, _q6_k, 6, 16),
}
"""The formats that stay as they are stored, by ggml's names."""
