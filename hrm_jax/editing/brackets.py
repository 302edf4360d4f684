"""Counts brackets and quotes without a partner, in any language that uses the usual ones."""

import re

_PARTNERS = {")": "(", "]": "[", "}": "{"}
_CLOSING_RUN = re.compile(r"""[)\]}"'`]*""")
# An apostrophe within a word, as in "doesn't", is no quote; in `f'x'` and `rb'x'` it is. A string
# of a single quote ends with its line.
_TOKEN = re.compile(
    r"""
      (?P<long>\"\"\"|'''|`)(?:\\.|(?!(?P=long))[^\\])*+(?P<long_end>(?P=long))?
    | (?P<short>"|'(?!(?<=\w\w')\w))(?:\\.|(?!(?P=short))[^\\\n])*+(?P<short_end>(?P=short))?
    | (?P<bracket>[()\[\]{}])
    """,
    re.VERBOSE | re.DOTALL,
)


def closing_run(text: str) -> str:
    """Returns the closing brackets and quotes that a text begins with."""
    found = _CLOSING_RUN.match(text)
    return found[0] if found else ""


def unmatched(text: str) -> int:
    """Returns how many brackets and quotes of a text have no partner; those in strings are text."""
    waiting: list[str] = []
    count = 0
    for token in _TOKEN.finditer(text):
        bracket = token["bracket"]
        if bracket is None:
            count += token["long_end"] is None and token["short_end"] is None
        elif bracket not in _PARTNERS:
            waiting.append(bracket)
        elif waiting and waiting[-1] == _PARTNERS[bracket]:
            waiting.pop()
        else:
            count += 1
    return count + len(waiting)
