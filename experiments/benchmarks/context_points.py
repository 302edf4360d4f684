"""Draws the places of held-out projects at which the context suite completes a line.

Places come in regions of a file, as somebody who types stays in one for a while: what is chosen of
other files at a region's first line is shown at all of its places.
"""

import dataclasses
import functools
import random
import re
from collections.abc import Iterator, Sequence, Set
from typing import Any

from hrm_jax.context.parts import parser_of, parts_of
from hrm_jax.data.corpus.documents import Document

LANGUAGES = ("python", "java", "javascript", "typescript", "c", "c++")
REGION_LINES = 24
MOST_PLACES = 4
"""Of each kind in a region."""
_LEAST_FILES = 5
_LEAST_LINES = 60
_FIRST_LINE = 20
_LEAST_CHARACTERS = 8
_NEAR_CHARACTERS = 3000
_IDENTIFIER = re.compile(r"[^\W\d]\w{3,}")


@dataclasses.dataclass(frozen=True)
class Place:
    """A place within a line of code.

    Attributes:
      line: its number, from 0.
      cut: the characters of the line that stand before it.
      kind: "any" line, or one that "names" what another file defines and nothing nearby does.
    """

    line: int
    cut: int
    kind: str


@dataclasses.dataclass(frozen=True)
class Region:
    """Some lines of a file.

    Attributes:
      number: of the region.
      document: the file.
      others: the other files of the project in its language.
      places: within the lines, in order.
    """

    number: int
    document: Document
    others: tuple[Document, ...]
    places: tuple[Place, ...]


def draw_regions(documents: Sequence[Document], seed: int) -> Iterator[Region]:
    """Yields regions without end, from each project and language in turn, half of Python's.

    Args:
      documents: of whole projects.
      seed: of the draws.
    """
    groups: dict[tuple[str, str], list[Document]] = {}
    for document in documents:
        groups.setdefault((document.language, document.project), []).append(document)
    fitting = {key: own for key, own in groups.items() if _fits(key[0], own)}
    python = [own for (language, _), own in sorted(fitting.items()) if language == "python"]
    further = [own for (language, _), own in sorted(fitting.items()) if language != "python"]
    rng = random.Random(seed)
    number = 0
    while True:
        # In turn: one region of Python, one of the other languages.
        halves = [half for half in (python, further) if half]
        half = halves[number % len(halves)]
        # Each project and language as often as the others, however large it is.
        group = half[number // len(halves) % len(half)]
        region = _draw(number, group, rng)
        number += 1
        if region is not None:
            yield region


def _fits(language: str, own: Sequence[Document]) -> bool:
    long = [one for one in own if one.text.count("\n") >= _LEAST_LINES]
    return language in LANGUAGES and len(own) >= _LEAST_FILES and bool(long)


def _draw(number: int, group: Sequence[Document], rng: random.Random) -> Region | None:
    """Returns a region of a file of a project, or None where there is no code."""
    document = rng.choice([one for one in group if one.text.count("\n") >= _LEAST_LINES])
    others = tuple(one for one in group if one.path != document.path)
    lines = document.text.split("\n")
    # Behind the file's head, where only imports would stand.
    first = rng.randrange(_FIRST_LINE, len(lines) - 1)
    near = range(first, min(first + REGION_LINES, len(lines)))
    code = [line for line in near if line in code_lines(document)]
    if not code:
        return None
    places = [
        Place(line, _cut(lines[line], len(lines[line]) - _LEAST_CHARACTERS // 2, rng), "any")
        for line in rng.sample(code, min(MOST_PLACES, len(code)))
    ]
    # What the file defines itself needs no other file.
    elsewhere = set().union(*map(_defined, others)) - _defined(document)
    naming = _naming_lines(lines, code, elsewhere)
    # Sorted, as a draw has to depend on the seed alone.
    for line in rng.sample(sorted(naming), min(MOST_PLACES, len(naming))):
        places.append(Place(line, _cut(lines[line], naming[line], rng), "names"))
    places.sort(key=lambda place: (place.line, place.cut))
    return Region(number, document, others, tuple(places))


def code_lines(document: Document) -> set[int]:
    """Returns the lines of a file that hold code: long enough, no comment, no text."""
    lines = document.text.split("\n")
    long = {
        number
        for number, line in enumerate(lines)
        if len(line.strip()) >= _LEAST_CHARACTERS and any(map(str.isalpha, line))
    }
    parser = parser_of(document.language)
    if parser is None:
        return long
    return long - set(_prose(parser.parse(document.text.encode()).root_node))


def _prose(node: Any) -> Iterator[int]:
    """Yields the lines with comments, and of texts of more than one line."""
    begin, end = node.start_point[0], node.end_point[0]
    # Texts of one line stand among code; longer ones are docstrings, most of them.
    if "comment" in node.type or ("string" in node.type and end > begin):
        yield from range(begin, end + 1)
        return
    for child in node.children:
        yield from _prose(child)


def _naming_lines(lines: Sequence[str], code: Sequence[int], defined: Set[str]) -> dict[int, int]:
    """Returns the lines that name what other files define and nothing nearby does, and where."""
    found = {}
    for number in code:
        # What stood there lately, a model would repeat without other files.
        near = "\n".join(lines[:number])[-_NEAR_CHARACTERS:]
        known = set(_IDENTIFIER.findall(near))
        for match in _IDENTIFIER.finditer(lines[number]):
            if match[0] in defined and match[0] not in known:
                found[number] = match.start()
                break
    return found


@functools.cache
def _defined(document: Document) -> frozenset[str]:
    """Returns what a file defines."""
    return frozenset(part.name for part in parts_of(document.text, document.language))


def _cut(line: str, most: int, rng: random.Random) -> int:
    """Returns a place in a line: behind its indentation, and at most at a character."""
    indentation = len(line) - len(line.lstrip())
    return rng.randint(indentation, max(indentation, most))
