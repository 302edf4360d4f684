"""Places in texts as editors name them: a line, and units of an encoding within it.

Lines end where the protocol says so: at `\\n`, `\\r\\n` and `\\r`. Python's `splitlines`, which
pygls uses, ends them at form feeds and others too, as they stand in old modules of C and Python.
"""

import re
from collections.abc import Callable
from typing import NamedTuple

_LINE_END = re.compile(r"\r\n|\n|\r")
_UNITS: dict[str, Callable[[str], int]] = {
    "utf-8": lambda character: 1 + sum(ord(character) >= limit for limit in (0x80, 0x800, 0x10000)),
    "utf-16": lambda character: 2 if ord(character) > 0xFFFF else 1,
    "utf-32": lambda character: 1,
}
"""How many units of an encoding a character has."""


class Place(NamedTuple):
    """A place between two characters of a text.

    Attributes:
      line: from 0.
      character: units of the encoding before it on the line.
    """

    line: int
    character: int


def units(text: str, encoding: str) -> int:
    """Returns how many units of an encoding a text has: `utf-8`, `utf-16` or `utf-32`."""
    return sum(map(_UNITS[encoding], text))


def offset_at(text: str, place: Place, encoding: str) -> int:
    """Returns how many characters stand before a place.

    A place behind the end of its line is at the end of it, one behind the last line at the end of
    the text, and one within a character before that.
    """
    begin = 0
    for _ in range(place.line):
        line_end = _LINE_END.search(text, begin)
        if line_end is None:
            return len(text)
        begin = line_end.end()
    line_end = _LINE_END.search(text, begin)
    end = line_end.start() if line_end else len(text)
    left = place.character
    offset = begin
    while offset < end:
        # Below 0, the place lies within this character, and the place before it is taken.
        left -= _UNITS[encoding](text[offset])
        if left < 0:
            break
        offset += 1
    return offset


def place_at(text: str, offset: int, encoding: str) -> Place:
    """Returns the place behind a number of characters."""
    line = 0
    begin = 0
    # A line end that is cut by `offset` (between \r and \n) still ends the line.
    for line_end in _LINE_END.finditer(text, 0, offset):
        line += 1
        begin = line_end.end()
    return Place(line, units(text[begin:offset], encoding))


def with_change(text: str, begin: Place, end: Place, inserted: str, encoding: str) -> str:
    """Returns a text after what stands between two places became something else."""
    return (
        text[: offset_at(text, begin, encoding)] + inserted + text[offset_at(text, end, encoding) :]
    )


def with_plain_ends(text: str) -> str:
    """Returns a text whose lines all end with `\\n`, as models of code know it."""
    return _LINE_END.sub("\n", text)
