"""Lists in one cell: items parted by semicolons or commas, some of them in double quotes.

    ada; ben, "Doe, Jane"; "5"" disk"

An item in quotes may hold anything; a quote in it stands twice. Skills of one person are joined by
`+`, and a number of people stands behind a colon: `python+sql; web:2`. Pluses at a name's end are
the name's, as in C++: of several in a row before another name, only the last one joins. A skill
that holds a colon, begins with a plus or has a plus inside stands in quotes.
"""

import re
from collections.abc import Iterable

from hrm_jax.planning.errors import FormatError

_ITEM = re.compile(r'((?:"(?:[^"]|"")*"|[^;,"])*)(?:[;,]|\Z)')
_QUOTED = re.compile(r'"(?:[^"]|"")*"')
_PLAIN = re.compile(r'[^;,"]+\Z')
_PLAIN_SKILL = re.compile(r'[^+:;,"]+\+*\Z')
_COUNT = re.compile(r":\s*([1-9]\d{0,5})\Z")

ANYBODY = "anybody"
"""Stands for no skill."""


def split(text: str) -> list[str]:
    """Returns the items of a list without their quotes; empty ones are left out.

    Raises:
      FormatError: a quote is open.
    """
    return [item for item in map(_unquoted, split_written(text)) if item]


def split_written(text: str) -> list[str]:
    """Returns the items of a list as they are written; raises as `split`."""
    items, place = [], 0
    while place < len(text):
        match = _ITEM.match(text, place)
        if match is None:
            raise FormatError(
                f"expected a list such as ada; ben, got an open quote in {text!r:.60}"
            )
        items.append(match[1].strip())
        place = match.end()
    return [item for item in items if item]


def join(items: Iterable[str]) -> str:
    """Returns a list that `split` gives back; empty items are left out."""
    return "; ".join(i if _is_plain(i, _PLAIN) else _quoted(i) for i in items if i)


def split_need(item: str) -> tuple[list[str], int] | None:
    """Returns the skills and the number of people of a written item, or None where it is none."""
    # The bare word, with or without a count; a skill of that name stands in quotes.
    if item.partition(":")[0].strip() == ANYBODY:
        skills, rest = [], item.strip()[len(ANYBODY) :].strip()
    else:
        skills, rest = _skills(item.strip())
        if not all(skills):
            return None
    if not rest:
        return skills, 1
    count = _COUNT.match(rest)
    return (skills, int(count[1])) if count else None


def join_need(skills: Iterable[str], count: int = 1) -> str:
    """Returns an item that `split_need` gives back."""
    named = "+".join(
        skill if _is_plain(skill, _PLAIN_SKILL) and skill != ANYBODY else _quoted(skill)
        for skill in skills
    )
    return (named or ANYBODY) + ("" if count == 1 else f":{count}")


def _skills(text: str) -> tuple[list[str], str]:
    """Returns the names at the beginning of a text, and what follows them."""
    names = []
    while True:
        # A name in quotes ends at its quote, any other at a colon or at a plus that joins.
        quoted = _QUOTED.match(text)
        if quoted:
            end = quoted.end()
        else:
            end = next((i for i in range(len(text)) if _ends_name(text, i)), len(text))
        names.append(_unquoted(text[:end].strip()))
        text = text[end:].strip()
        if not text.startswith("+"):
            return names, text
        text = text[1:].strip()


def _ends_name(text: str, place: int) -> bool:
    """Returns whether a colon, or a plus that joins, stands at a place."""
    # A plus at the end, before another plus or before a colon is the name's own, as in C++.
    after = text[place + 1 :].strip()[:1]
    return text[place] == ":" or (text[place] == "+" and after not in ("", "+", ":"))


def _is_plain(item: str, form: re.Pattern[str]) -> bool:
    return bool(form.match(item)) and item == item.strip() and item.isprintable()


def _quoted(item: str) -> str:
    doubled = item.replace('"', '""')
    return f'"{doubled}"'


def _unquoted(item: str) -> str:
    # Quotes around the whole item alone: others are a part of it.
    match = _QUOTED.fullmatch(item)
    return item[1:-1].replace('""', '"') if match else item
