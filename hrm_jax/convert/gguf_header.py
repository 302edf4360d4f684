"""Checks the header of a GGUF file: every length and count must fit into the file.

The package `gguf` believes what a file states: a damaged count makes it read for hours, past the
file's end, and fill the memory. Layout: the format's specification (ggml-org/ggml, docs/gguf.md).
"""

import mmap
import os
import struct
from pathlib import Path

from hrm_jax.convert.weights import WeightsError
from hrm_jax.core.files import what_came

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
_STRING = 8
_ARRAY = 9
_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
"""Bytes of a value by its type's number, of those that have a fixed size."""
_MOST_AXES = 4
_DEEPEST = 4
"""Arrays within arrays; published files have none."""


def check_header(path: Path) -> None:
    """Walks through a file's metadata and the list of its tensors.

    Raises:
      WeightsError: it is not a GGUF file, is cut off, or states more than it holds.
      OSError: it cannot be read.
    """
    with open(path, "rb") as file:
        if os.fstat(file.fileno()).st_size == 0:
            raise WeightsError(f"{path}: expected a GGUF file, got an empty one; fetch it anew")
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            try:
                _Walk(content).header()
            except (struct.error, ValueError) as error:
                came = what_came(
                    content[:64], f"one that is damaged or cut off ({error}); fetch it anew"
                )
                raise WeightsError(f"{path}: expected a GGUF file, got {came}") from error


class _Walk:
    """A place in a file, moved over one value after the other."""

    def __init__(self, content: mmap.mmap):
        self._content = content
        self._place = 0
        self._order = "<"

    def header(self) -> None:
        """Walks over the whole header; raises ValueError or struct.error where it is broken."""
        if self._content[: len(_MAGIC)] != _MAGIC:
            raise ValueError("it does not begin with GGUF")
        self._place = len(_MAGIC)
        version = self._number("I")
        # A file of a big-endian machine has its version's bytes the other way round.
        if version & 0xFFFF == 0:
            self._order = ">"
            version = int.from_bytes(version.to_bytes(4, "little"), "big")
        if version not in _VERSIONS:
            raise ValueError(f"its version is {version}, and those that are read are {_VERSIONS}")
        tensors = self._number("Q")
        for _ in range(self._number("Q")):
            self._skip(self._number("Q"))
            self._value(self._number("I"), _DEEPEST)
        for _ in range(tensors):
            self._skip(self._number("Q"))
            axes = self._number("I")
            if axes > _MOST_AXES:
                raise ValueError(f"a tensor has {axes} axes")
            self._skip(8 * axes + 4 + 8)

    def _value(self, kind: int, depth: int) -> None:
        if kind == _STRING:
            self._skip(self._number("Q"))
        elif kind == _ARRAY and depth:
            inner = self._number("I")
            count = self._number("Q")
            if inner in _SIZES:
                self._skip(_SIZES[inner] * count)
            else:
                # Ends at the latest where the file does, whatever the count is.
                for _ in range(count):
                    self._value(inner, depth - 1)
        elif kind in _SIZES:
            self._skip(_SIZES[kind])
        else:
            raise ValueError(f"a value has the unknown type {kind}")

    def _number(self, form: str) -> int:
        (number,) = struct.unpack_from(self._order + form, self._content, self._place)
        self._skip(struct.calcsize(form))
        return number

    def _skip(self, size: int) -> None:
        self._place += size
        if self._place > len(self._content):
            raise ValueError(f"it ends before byte {self._place}")
