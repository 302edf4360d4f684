"""Tells whether a program in Python may begin with a text that ends anywhere.

CPython's parser decides. A line that ends with a backslash goes on in the next one; behind the last
line of a text the parser then finds its end, and says that the input is incomplete, if it could
read all before, and what is wrong otherwise. So the last word of the text, which may be a part of a
longer one, is completed in a few ways, and the text is viable if one of them can be read.

What is viable in this sense can be continued, with few exceptions, such as the arguments of
`f(a=1, 2`, which the parser refuses at the bracket that closes them.
"""

import keyword
import re
from collections.abc import Iterator
from typing import NamedTuple

from hrm_jax.data.text.well_formed import may_go_on, parses

_PARTS = re.compile(
    r"""
    (?P<comment>\#[^\n]*)
    | (?P<closed>'''(?:[^\\]|\\.)*?'''|\"\"\"(?:[^\\]|\\.)*?\"\"\"
      |'(?!'')(?:[^'\\\n]|\\.)*'|"(?!"")(?:[^"\\\n]|\\.)*")
    | (?P<open>'''|\"\"\"|'|")
    | (?P<opening>[(\[{])
    | (?P<closing>[)\]}])
    | (?P<line>\n)
    | \\\n
    | [^\#'"()\[\]{}\n\\]+
    | \\
    """,
    re.VERBOSE | re.DOTALL,
)
_TOP_LEVEL = re.compile(r"(?!(?:else|elif|except|finally)\b)[@\w]")
_LETTERS_OF_STRING = re.compile(r"\b(?:[rbuf]|br|rb|fr|rf)\Z", re.IGNORECASE)
_ESCAPE = re.compile(
    r"(?<!\\)(?:\\\\)*(\\(?:x.?|u.{0,3}|U.{0,7}|N(?:\{[^}]*)?|[0-7]{1,2})?)\Z", re.DOTALL
)
"""The beginning of an escape sequence, after an even number of backslashes."""
_NUMBER = re.compile(r"(?<![\w.])\.?\d(?:[\w.]|(?<=[eE])[+-])*\Z")
_WORD = re.compile(r"\w+\Z")
_OPERATOR = re.compile(r"[-+*/%@&|^=<>!:.~]\Z")
_INDENTATION = re.compile(r"^[ \t]+", re.MULTILINE)
_KEYWORDS = (*keyword.kwlist, *keyword.softkwlist)
_STATEMENTS = ("x", "except", "finally", "def", "case")
"""Words of which one may begin any line."""


class Place(NamedTuple):
    """What the end of a text, or of a part of it, is within.

    Attributes:
      at: number of characters before it.
      depth: number of open brackets.
      quote: what closes the string that is open; empty if none is.
      string: where the last string begins, its quotes included, if it is open or ends here; else
        -1.
      in_comment: whether it is in a comment.
      statement: where the last statement at the top level begins.
      before: where the one before it begins: what comes may be its `else`, or lack one.
    """

    at: int = 0
    depth: int = 0
    quote: str = ""
    string: int = -1
    in_comment: bool = False
    statement: int = 0
    before: int = 0


class Scan(NamedTuple):
    """The place of a text's end, and the one from which a longer text may be scanned.

    Attributes:
      end: the place of the end.
      line: the place before the last line's end.
    """

    end: Place
    line: Place


def scan(text: str, since: Place | None = None) -> Scan:
    """Returns what the end of a text is within.

    Args:
      text: begins as a program in Python does.
      since: the `line` of a text with which this one begins.
    """
    line = since or Place()
    place = line
    while place.at < len(text):
        # Before the line's end: what follows it says whether a statement begins.
        if text[place.at] == "\n" and not place.depth:
            line = place
        place = _step(text, place)
    return Scan(place, line)


def _step(text: str, place: Place) -> Place:
    """Returns the place after the next part of a text."""
    part = _PARTS.match(text, place.at)
    assert part is not None
    kind = part.lastgroup
    end = part.end()
    depth = place.depth
    if kind == "open":
        return place._replace(at=len(text), quote=part[0], string=part.start())
    if kind == "opening":
        depth += 1
    elif kind == "closing":
        # The parser will refuse one bracket too many; here it must only not count below zero.
        depth = max(depth - 1, 0)
    elif kind == "line" and not depth and _TOP_LEVEL.match(text, end):
        # What is decorated belongs to its decorator.
        if text[place.statement] != "@":
            place = place._replace(before=place.statement)
        place = place._replace(statement=end)
    is_last = end == len(text)
    return place._replace(
        at=end,
        depth=depth,
        string=part.start() if kind == "closed" and is_last else -1,
        in_comment=kind == "comment" and is_last,
    )


def is_viable(text: str, end: Place | None = None) -> bool:
    """Returns whether a program may begin with a text.

    Args:
      text: the text, whose statements but for the last two at the top level are viable.
      end: the place of its end, if it is known.
    """
    end = end or scan(text).end
    if end.string >= 0 and not _is_string(text[end.string :], end.quote, _letters(text, end)):
        return False
    # From the statement before the last one on: what is before it was found viable, so that a long
    # text costs no more than a short one.
    return any(may_go_on(whole[end.before :] + "\\\n") for whole in _completed(text, end))


def _letters(text: str, end: Place) -> str:
    """Returns the letters before a string, such as `rb`."""
    found = _LETTERS_OF_STRING.search(text, max(end.string - 3, 0), end.string)
    return found[0] if found else ""


def _is_string(text: str, quote: str, letters: str) -> bool:
    """Returns whether a string, which `quote` closes unless it is empty, has no errors yet.

    The parser looks into it as late as the next token is known.
    """
    if quote:
        text = _closed(text, 0, quote)
    # An open field: its expression may go on while the string is open, and is an error in a closed
    # one.
    if "f" in letters.lower() and text.count("{") > text.count("}"):
        return bool(quote)
    return parses(letters + text)


def _closed(text: str, begin: int, quote: str) -> str:
    """Returns a text that ends within a string that begins at `begin`, with the string closed."""
    begin += len(quote)
    inside = text[begin:]
    # Its last characters may be the first that close it.
    inside = inside.rstrip(quote[0]) if len(quote) > 1 else inside
    begun = _ESCAPE.search(inside)
    # A begun escape is left out, as its beginning alone is an error.
    return text[:begin] + (inside[: begun.start(1)] if begun else inside) + quote


def _completed(text: str, end: Place) -> Iterator[str]:
    """Yields the text with its last word completed, in ways of which one is viable if it is."""
    if end.quote:
        closed = _closed(text, end.string, end.quote)
        fields = text.count("{", end.string) - text.count("}", end.string)
        if fields > 0 and "f" in _letters(text, end).lower():
            yield text
            # Since Python 3.12 a format specification ends with its line, as what stands outside of
            # fields does, so it cannot be found incomplete.
            yield closed.removesuffix(end.quote) + fields * "}" + end.quote
        yield closed
    elif end.in_comment or text.endswith("\\"):
        yield text + "\n"
    else:
        line = text[text.rfind("\n") + 1 :]
        continued = end.depth or text[: len(text) - len(line)].endswith("\\\n")
        if line and not line.strip() and not continued:
            yield from _indented(text, line, end)
            return
        for ending in _endings(line):
            yield text + ending


def _indented(text: str, indentation: str, end: Place) -> Iterator[str]:
    """Yields the text with a statement after its indentation, which may be a part of a deeper."""
    # Any level that the text has had, and one deeper than all of them.
    levels = [indentation, *(found[0] for found in _INDENTATION.finditer(text, end.before))]
    deepest = max(levels, key=len)
    for level in dict.fromkeys([*levels, deepest + "    "]):
        if not level.startswith(indentation):
            continue
        for word in _STATEMENTS:
            yield text[: len(text) - len(indentation)] + level + word


def _endings(line: str) -> Iterator[str]:
    """Yields what may complete the last word of a line, nothing first."""
    yield ""
    if _NUMBER.search(line):
        yield "0"
    if word := _WORD.search(line):
        # A keyword may be the beginning of a name, and a beginning that of a keyword.
        if word[0] in _KEYWORDS:
            yield "_"
        for other in _KEYWORDS:
            if other.startswith(word[0]):
                yield other[len(word[0]) :]
        if _LETTERS_OF_STRING.search(line):
            yield "''"
    elif _OPERATOR.search(line):
        yield from ("=", ">", "*", ".", "..", "0")
