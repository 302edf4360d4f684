"""Reads a file of lines that grows: every line once, when it is complete."""

import os
import pathlib
from typing import NamedTuple

from hrm_jax.studio.folders import open_regular

CHUNK_BYTES = 4 << 20
"""Most that is read at once, and the longest line: a longer one is left out."""


class NewLines(NamedTuple):
    """What a file has more than before.

    Attributes:
      lines: complete lines, without their ends.
      restarted: whether the file was replaced or cut, so that these lines are its first.
      too_long: number of lines left out.
      left_bytes: what is there but not read yet; a half-written line is not counted.
    """

    lines: list[bytes]
    restarted: bool
    too_long: int
    left_bytes: int


class LineReader:
    """Where one reader is in one file."""

    def __init__(self, path: pathlib.Path, end_bytes: int | None = None):
        """Begins at the first line.

        Args:
          path: of the file.
          end_bytes: begin so near to the end instead, at the next line that is whole.
        """
        self._path = path
        self._end_bytes = end_bytes
        self.restart()

    def restart(self) -> None:
        """Forgets what was read."""
        self._inode = 0
        self._offset = 0
        self._is_inside_long_line = False

    def read(self, most_bytes: int = CHUNK_BYTES) -> NewLines:
        """Returns the next lines; raises OSError where the file cannot be read."""
        with open_regular(self._path) as file:
            found = os.fstat(file.fileno())
            # A resumed run replaces its log by one without the steps that it takes again.
            restarted = bool(self._inode) and (
                found.st_ino != self._inode or found.st_size < self._offset
            )
            if restarted or not self._inode:
                self._inode = found.st_ino
                end_bytes = found.st_size if self._end_bytes is None else self._end_bytes
                self._offset = max(0, found.st_size - end_bytes)
                # What comes before the next end of a line is passed over likewise.
                self._is_inside_long_line = self._offset > 0
            file.seek(self._offset)
            content = file.read(most_bytes)
        complete, newline, _ = content.rpartition(b"\n")
        too_long = 0
        if not newline and len(content) == most_bytes:
            # No line ends in the whole chunk: it is passed over, up to the next end of a line.
            self._offset += len(content)
            self._is_inside_long_line = True
            return NewLines([], restarted, 0, max(0, found.st_size - self._offset))
        lines = complete.split(b"\n") if newline else []
        if lines and self._is_inside_long_line:
            lines = lines[1:]
            too_long = 1
            self._is_inside_long_line = False
        self._offset += len(complete) + len(newline)
        left = found.st_size - self._offset if len(content) == most_bytes else 0
        return NewLines(lines, restarted, too_long, left)
