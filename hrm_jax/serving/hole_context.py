"""Cuts what stands around a hole to what a model's context has room for."""

from collections.abc import Sequence

from hrm_jax.core.protocols import Tokenizer
from hrm_jax.core.texts import NO_PLACE, FilePlace
from hrm_jax.data.text.infilling import neighbour_tokens

_SUFFIX_SHARE = 4
"""One of so many tokens is the suffix's where both are long."""


def around_hole_within(
    tokenizer: Tokenizer, prefix: str, suffix: str, room: int
) -> tuple[str, str]:
    """Returns the prefix and the suffix of a hole, of so many tokens together at most.

    What is farthest from the hole is left out, as whole lines where there are several.
    """
    before = _sizes(tokenizer, prefix)
    behind = _sizes(tokenizer, suffix)
    if len(before) + len(behind) <= room:
        return prefix, suffix
    # The suffix has its share, and what the prefix does not need.
    of_suffix = min(len(behind), max(room // _SUFFIX_SHARE, room - len(before)))
    of_prefix = min(len(before), room - of_suffix)
    if of_prefix < len(before):
        left_out = sum(before[: len(before) - of_prefix])
        # In bytes, as a token may end within a character; what is left of one is dropped.
        prefix = _from_line(prefix.encode()[left_out:].decode(errors="ignore"))
    if of_suffix < len(behind):
        kept = sum(behind[:of_suffix])
        suffix = _to_line(suffix.encode()[:kept].decode(errors="ignore"))
    return prefix, suffix


def neighbours_within(
    tokenizer: Tokenizer,
    neighbours: Sequence[tuple[str, str]],
    room: int,
) -> tuple[tuple[str, str], ...]:
    """Returns the last of the files, names and texts, that so many tokens have room for, whole."""
    kept: list[tuple[str, str]] = []
    # The last files are the likeliest, and stay; with one left out, so are all before it.
    for one in reversed(neighbours):
        files = neighbour_tokens(tokenizer, [one, *kept])
        if sum(map(len, files)) > room:
            break
        kept.insert(0, one)
    return tuple(kept)


def place_within(tokenizer: Tokenizer, place: FilePlace, room: int) -> FilePlace:
    """Returns where a file lies, if so many tokens have room for it; else that it is not told."""
    fits = sum(map(len, neighbour_tokens(tokenizer, (), place))) <= room
    return place if fits else NO_PLACE


def _sizes(tokenizer: Tokenizer, text: str) -> list[int]:
    """Returns how many bytes of a text each of its tokens stands for."""
    return [len(tokenizer.token_bytes(token)) for token in tokenizer.encode(text)]


def _from_line(text: str) -> str:
    """Returns a text without its first, cut line, if it has others."""
    _, line_end, rest = text.partition("\n")
    return rest if line_end else text


def _to_line(text: str) -> str:
    """Returns a text without its last, cut line, if it has others."""
    begin, line_end, _ = text.rpartition("\n")
    return begin + line_end if line_end else text
