"""Chooses what of documents is sent, so that what the server has read stays of use."""

from collections.abc import Sequence
from typing import NamedTuple

_SUFFIX_SHARE = 24
_CONTEXT_SHARE = 3


class Budget(NamedTuple):
    """How many characters are sent: before the cursor, behind it, and of other parts together."""

    prefix: int
    suffix: int
    context: int

    def prefix_beside(self, chunks: "Sequence[Chunk]") -> int:
        """Returns how many characters before the cursor are sent beside some parts."""
        used = sum(len(chunk.filename) + len(chunk.text) for chunk in chunks)
        return self.prefix + max(0, self.context - used)


class Chunk(NamedTuple):
    """A part of another file, as `/infill` takes it."""

    filename: str
    text: str


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
    # A multiple of `step`: the window moves rarely, and then far.
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
