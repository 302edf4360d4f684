"""Markers: the names of tokens that are written within a text, such as `<|im_end|>`.

A text that is read with its markers must not let what others wrote forge one. `hide` breaks the
markers of such a part by `BREAK`, a character that tokenizers drop again: the part keeps its
characters, and none of them is read as a marker.
"""

import re
from collections.abc import Collection

BREAK = "\ufdd0"
"""Stands within hidden markers. Unicode reserves it for use inside of programs, never in texts."""

_BRACKETED = re.compile(r"<.+>|\[.+\]", re.DOTALL)


def is_marker(name: str, *, special: bool) -> bool:
    """Returns whether a token that was added to a vocabulary marks something in a text.

    Special ones do. Of the others, some are words and white space, and some mark turns and tools;
    those have brackets, as `<\uff5cUser\uff5c>` and `[INST]`.
    """
    return special or _BRACKETED.fullmatch(name) is not None


def hide(text: str, markers: Collection[str]) -> str:
    """Returns a text whose markers are broken by `BREAK`, after their first character.

    The beginning of a marker at the text's end is broken too: what follows may complete it.

    Args:
      text: what others wrote, without `BREAK`.
      markers: names of tokens.
    """
    names = sorted(name for name in markers if len(name) > 1)
    if not names:
        return text
    # A lookahead, as one marker may begin within another.
    begins = re.compile(f"(?={'|'.join(map(re.escape, names))})(.)", re.DOTALL)
    hidden = begins.sub(rf"\1{BREAK}", text)
    # White space behind it does not count: templates strip it.
    body = hidden.rstrip()
    place = _partial(body, names)
    if place is None:
        return hidden
    return body[: place + 1] + BREAK + body[place + 1 :] + hidden[len(body) :]


def _partial(text: str, names: Collection[str]) -> int | None:
    """Returns where the longest beginning of a marker, at the end of `text`, begins."""
    starts = {name[:length] for name in names for length in range(1, len(name))}
    longest = max(map(len, starts))
    for place in range(max(0, len(text) - longest), len(text)):
        if text[place:] in starts:
            return place
    return None
