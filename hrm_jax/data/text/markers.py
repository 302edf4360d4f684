"""Markers: the names of tokens that are written within a text, such as `<|im_end|>`.

A text that is read with its markers must not let what others wrote forge one. `hide` replaces the
brackets of such a part by characters that Unicode reserves for use inside of programs; tokenizers
take them for the brackets again after they have looked for markers. A template may cut, join,
delete or change what is hidden: no bracket of a marker can come of it.
"""

import re
from collections.abc import Collection

_BRACKETS = "<>[]|\uff5c{}"
_FIRST_HIDDEN = 0xFDD0
HIDDEN = {chr(_FIRST_HIDDEN + place): bracket for place, bracket in enumerate(_BRACKETS)}
"""What each hidden character stands for."""
BREAK = "\ufdee"
"""Stands within hidden markers that have no brackets, and for nothing."""
CUT = "\ufdef"
"""Marks a place in a text; no text contains it when it is read."""

_HIDE = str.maketrans({bracket: hidden for hidden, bracket in HIDDEN.items()})
_SHOW = str.maketrans({**HIDDEN, BREAK: "", CUT: ""})
_BRACKETED = re.compile(r"<.+>|\[.+\]", re.DOTALL)
_RESERVED = re.compile("[\ufdd0-\ufdef]")


def is_marker(name: str, *, special: bool) -> bool:
    """Returns whether a token that was added to a vocabulary marks something in a text.

    Special ones do. Of the others, some are words and white space, and some mark turns and tools;
    those have brackets, as `<\uff5cUser\uff5c>` and `[INST]`.
    """
    return special or _BRACKETED.fullmatch(name) is not None


def hide(text: str, markers: Collection[str], readable: Collection[str] = ()) -> str:
    """Returns a text in which no marker is found, nor in what is made of it.

    Args:
      text: what others wrote, without reserved characters.
      markers: names of tokens.
      readable: markers that stay as they are.
    """
    # What is readable is cut out first, and the text between hidden by itself.
    if readable:
        parts = re.split(f"({'|'.join(map(re.escape, readable))})", text)
        return "".join(part if part in readable else hide(part, markers) for part in parts)
    # A marker without brackets is broken behind its first character; one of a single character
    # cannot be broken.
    plain = [name for name in markers if len(name) > 1 and not set(name) & set(_BRACKETS)]
    if plain:
        # A lookahead, as one marker may begin within another.
        begins = re.compile(f"(?={'|'.join(map(re.escape, plain))})(.)", re.DOTALL)
        text = begins.sub(rf"\1{BREAK}", text)
    return text.translate(_HIDE)


def show(text: str) -> str:
    """Returns a text as it was before `hide`."""
    return text.translate(_SHOW)


def find_reserved(text: str) -> str | None:
    """Returns a character that is reserved for use here, or None if a text has none."""
    found = _RESERVED.search(text)
    return found[0] if found else None
