"""Chooses the parts of files that what somebody writes is likeliest to need."""

import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from hrm_jax.context.parts import Part, parts_of
from hrm_jax.context.ranking import Words, scores, words_of
from hrm_jax.data.text.languages import language_of

_IDENTIFIER = re.compile(r"[^\W\d]\w*")
_IMPORT = re.compile(r"^\s*(?:import|from|#\s*include|use|using|require|package)\b|\brequire\(")
_LINES_BEFORE = 20
_LINES_BEHIND = 10
"""Lines around the cursor whose words are looked for."""
_NAME_COUNT = 3
"""How often a definition's name counts among the words of its text."""
_LEAST_CHARACTERS = 40
"""Of a part: fewer are not worth a place."""
_IMPORTED_FACTOR = 1.5
"""How much more a part of a file counts that an import names."""


class File(NamedTuple):
    """A file's path within its project, and its text or a part of it."""

    filename: str
    text: str


class _Candidate(NamedTuple):
    file: int
    part: Part
    words: Words


def choose(files: Sequence[File], before: str, after: str, characters: int) -> list[File]:
    """Returns parts of files, those of the likeliest file last: nearest to what is written.

    Parts are ranked by BM25 of the words around the cursor; those that an import names count more.
    The parts of one file are put together, in its order. The same arguments give the same parts.

    Args:
      files: those that may be shown.
      before: the text before the cursor, from its file's beginning, where imports stand.
      after: the text behind it.
      characters: of all names and texts together, at most.
    """
    candidates = [
        _Candidate(number, part, _words_of_part(part))
        for number, file in enumerate(files)
        for part in parts_of(file.text, language_of(file.filename, file.text))
        if len(part.text) >= _LEAST_CHARACTERS
    ]
    query = _query(before, after)
    imported = imported_names(before)
    ranked = [
        (score * (_IMPORTED_FACTOR if imported & stems(files[one.file].filename) else 1), one)
        for score, one in zip(scores(query, [c.words for c in candidates]), candidates, strict=True)
    ]
    # A stable sort: parts of equal scores stay in the files' order, so results repeat.
    ranked.sort(key=lambda pair: -pair[0])
    return _within(files, [one for score, one in ranked if score > 0], characters)


def imported_names(text: str) -> set[str]:
    """Returns the names in a text's lines of imports."""
    lines = [line for line in text.split("\n") if _IMPORT.search(line)]
    return set(_IDENTIFIER.findall("\n".join(lines)))


def stems(path: str) -> set[str]:
    """Returns the names by which an import may name a file: its own, and for some its folder's."""
    *folders, last = path.split("/")
    stem = last.partition(".")[0]
    return {folders[-1]} if folders and stem in ("__init__", "index", "mod") else {stem}


def _query(before: str, after: str) -> Mapping[str, float]:
    lines = [*before.split("\n")[-_LINES_BEFORE:], *after.split("\n")[:_LINES_BEHIND]]
    return dict.fromkeys(words_of("\n".join(lines)), 1.0)


def _words_of_part(part: Part) -> Words:
    words = words_of(part.text)
    for word in words_of(part.name):
        words[word] += _NAME_COUNT
    return words


def _within(files: Sequence[File], candidates: Sequence[_Candidate], characters: int) -> list[File]:
    """Returns the first candidates that there is room for, by file."""
    chosen: dict[int, list[Part]] = {}
    left = characters
    for number, part, _ in candidates:
        # With the line end behind it and, for a file's first part, its name.
        size = len(part.text) + 1 + (0 if number in chosen else len(files[number].filename) + 1)
        # A part that does not fit is passed over; smaller ones after it may.
        if size <= left:
            left -= size
            chosen.setdefault(number, []).append(part)
    found = [
        File(files[number].filename, _joined(sorted(parts, key=lambda part: part.line)))
        for number, parts in chosen.items()
    ]
    # Files were met with their best parts first; what stands last is nearest to the hole.
    return found[::-1]


def _joined(parts: Sequence[Part]) -> str:
    return "\n".join(part.text for part in parts)
