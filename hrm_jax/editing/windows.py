"""Chooses what of documents is sent, so that what the server has read stays of use."""

from collections.abc import Sequence
from typing import NamedTuple

_SUFFIX_SHARE = 24
_CONTEXT_SHARE = 3
_LEAST_CHARACTERS = 80
"""Of a part of another file: fewer are not worth a place."""


class Budget(NamedTuple):
    """How many characters are sent: before the cursor, behind it, and of other files together."""

    prefix: int
    suffix: int
    context: int


class Chunk(NamedTuple):
    """A part of another file, as `/infill` takes it."""

    filename: str
    text: str


class Neighbour(NamedTuple):
    """Another file, and the line that was looked at, from 0."""

    filename: str
    text: str
    line: int


def budget_of(characters: int, *, with_context: bool) -> Budget:
    """Returns what each part may take of a number of characters.

    The suffix stands behind the prefix in a model's prompt, so it is read anew after each key: it
    gets the least. Without context the prefix gets its share.
    """
    suffix = characters // _SUFFIX_SHARE
    context = characters // _CONTEXT_SHARE if with_context else 0
    return Budget(characters - suffix - context, suffix, context)


def prefix_within(before: str, size: int) -> str:
    """Returns the end of a text, of `size` characters at most.

    It begins at a line that stays the same while half of them are typed: the server knows what it
    has read by how that begins.
    """
    if len(before) <= size:
        return before
    step = max(1, size // 2)
    begin = -(-(len(before) - size) // step) * step
    line_end = before.find("\n", begin - 1)
    return before[len(before) - size :] if line_end == -1 else before[line_end + 1 :]


def suffix_within(after: str, size: int) -> str:
    """Returns whole lines of the beginning of a text, or `size` characters where one is longer."""
    if len(after) <= size:
        return after
    part = after[:size]
    line_end = part.rfind("\n")
    return part if line_end == -1 else part[: line_end + 1]


def chunks_of(neighbours: Sequence[Neighbour], characters: int, most: int) -> list[Chunk]:
    """Returns parts of files, the most recent last: there a server with less room keeps it.

    Args:
      neighbours: the files, the most recent first.
      characters: of all parts and their names together, at most.
      most: files.
    """
    chunks: list[Chunk] = []
    left = characters
    files = neighbours[:most]
    for index, neighbour in enumerate(files):
        share = left // (len(files) - index)
        text = lines_around(neighbour.text, neighbour.line, share - len(neighbour.filename))
        if len(text) >= _LEAST_CHARACTERS:
            chunks.insert(0, Chunk(neighbour.filename, text))
            left -= len(text) + len(neighbour.filename)
    return chunks


def lines_around(text: str, line: int, characters: int) -> str:
    """Returns whole lines around one, of a number of characters at most."""
    lines = text.split("\n")
    begin = min(max(line, 0), len(lines) - 1)
    end = begin
    left = characters
    while True:
        grows_down = end < len(lines) and len(lines[end]) + 1 <= left
        if grows_down:
            left -= len(lines[end]) + 1
            end += 1
        grows_up = begin > 0 and len(lines[begin - 1]) + 1 <= left
        if grows_up:
            begin -= 1
            left -= len(lines[begin]) + 1
        if not grows_down and not grows_up:
            return "\n".join(lines[begin:end])
