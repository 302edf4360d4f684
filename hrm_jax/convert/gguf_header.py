"""Reads the header of a GGUF file: its metadata, and where its tensors lie.

Every length and count must fit into the file. The package `gguf` has a reader too, which believes
what a damaged file states, and takes seconds and half a gigabyte for a vocabulary of 150,000
tokens. Layout: the format's specification (ggml-org/ggml, docs/gguf.md).
"""

import mmap
import os
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from hrm_jax.convert.weights import WeightsError
from hrm_jax.core.files import what_came

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_BOOL = 7
_STRING = 8
_ARRAY = 9
_NUMBERS = {
    0: "u1",
    1: "i1",
    2: "u2",
    3: "i2",
    4: "u4",
    5: "i4",
    6: "f4",
    _BOOL: "?",
    10: "u8",
    11: "i8",
    12: "f8",
}
"""NumPy's names of the types of numbers, by their number in the file."""
_MOST_AXES = 4
_DEEPEST = 4
"""Arrays within arrays; published files have none."""
_ALIGNMENT = "general.alignment"


class Tensor(NamedTuple):
    """A tensor in a file.

    Attributes:
      shape: with the slowest axis first, as NumPy counts; the file counts from the fastest one.
      kind: number of its type.
      offset: byte of the file at which it begins.
    """

    shape: tuple[int, ...]
    kind: int
    offset: int


class Header(NamedTuple):
    """What stands before the tensors' elements.

    Attributes:
      values: metadata by name: numbers, booleans, bytes for texts, and lists of these.
      tensors: by name.
      size: bytes of the whole file.
    """

    values: dict[str, Any]
    tensors: dict[str, Tensor]
    size: int


def read_header(path: Path) -> Header:
    """Reads a file's metadata and the list of its tensors.

    Raises:
      WeightsError: it is not a GGUF file, is cut off, states more than it holds, or was written by
        a machine whose numbers begin with the highest byte.
      OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise WeightsError(f"{path}: expected a GGUF file, got an empty one; fetch it anew")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                values, tensors = _Reader(content).header()
            except (struct.error, ValueError) as error:
                came = what_came(
                    content[:64], f"one that is damaged or cut off ({error}); fetch it anew"
                )
                raise WeightsError(f"{path}: expected a GGUF file, got {came}") from error
    return Header(values, tensors, size)


class _Reader:
    """A place in a file, moved over one value after the other."""

    def __init__(self, content: mmap.mmap):
        self._content = content
        self._place = 0

    def header(self) -> tuple[dict[str, Any], dict[str, Tensor]]:
        """Reads the whole header; raises ValueError or struct.error where it is broken."""
        if self._take(len(_MAGIC)) != _MAGIC:
            raise ValueError("it does not begin with GGUF")
        version = self._number("I")
        # Versions are small: in a file of the other byte order the low half is zero.
        if version & 0xFFFF == 0:
            raise ValueError("its numbers begin with the highest byte: convert it to little-endian")
        if version not in _VERSIONS:
            raise ValueError(f"its version is {version}, and those that are read are {_VERSIONS}")
        count = self._number("Q")
        values = {}
        for _ in range(self._number("Q")):
            name = self._name()
            values[name] = self._value(self._number("I"), _DEEPEST)
        found = [self._tensor() for _ in range(count)]
        alignment = values.get(_ALIGNMENT, 32)
        if not isinstance(alignment, int) or alignment < 1:
            raise ValueError(f"{_ALIGNMENT} is {alignment}")
        # Elements begin at the next multiple of the alignment, from where offsets count.
        begin = -(-self._place // alignment) * alignment
        placed = {name: one._replace(offset=begin + one.offset) for name, one in found}
        return values, placed

    def _tensor(self) -> tuple[str, Tensor]:
        """Reads an entry of the list; the offset is counted from the end of the header."""
        name = self._name()
        axes = self._number("I")
        if axes > _MOST_AXES:
            raise ValueError(f"a tensor has {axes} axes")
        sizes = [self._number("Q") for _ in range(axes)]
        kind = self._number("I")
        return name, Tensor(tuple(reversed(sizes)), kind, self._number("Q"))

    def _value(self, kind: int, depth: int) -> Any:
        if kind == _STRING:
            return self._take(self._number("Q"))
        if kind in _NUMBERS:
            return self._numbers(kind, 1)[0]
        if kind != _ARRAY or not depth:
            raise ValueError(f"a value has the unknown type {kind}")
        inner = self._number("I")
        count = self._number("Q")
        if inner in _NUMBERS:
            return self._numbers(inner, count)
        if inner == _STRING:
            return self._texts(count)
        # Ends at the latest where the file does, whatever the count is.
        return [self._value(inner, depth - 1) for _ in range(count)]

    def _texts(self, count: int) -> list[bytes]:
        # A loop of its own, as a vocabulary has hundreds of thousands.
        content = self._content
        size = len(content)
        place = self._place
        texts = []
        for _ in range(count):
            begin = place + 8
            place = begin + int.from_bytes(content[begin - 8 : begin], "little")
            if place > size:
                raise ValueError(f"it ends before byte {place}")
            texts.append(content[begin:place])
        self._place = place
        return texts

    def _numbers(self, kind: int, count: int) -> list[Any]:
        dtype = np.dtype(_NUMBERS[kind]).newbyteorder("<")
        return np.frombuffer(self._take(dtype.itemsize * count), dtype).tolist()

    def _name(self) -> str:
        # A name that is not text is none that anybody looks for.
        return self._take(self._number("Q")).decode(errors="replace")

    def _number(self, form: str) -> int:
        (number,) = struct.unpack("<" + form, self._take(struct.calcsize("<" + form)))
        return number

    def _take(self, size: int) -> bytes:
        end = self._place + size
        if end > len(self._content):
            raise ValueError(f"it ends before byte {end}")
        taken = self._content[self._place : end]
        self._place = end
        return taken
