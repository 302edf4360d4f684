"""Cells written as text: which characters hold them, and why a text is no puzzle."""

import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, UInt8

from hrm_jax.data.sudoku import rules

BLANKS = ".0*_-xX?"
"""Each stands for a blank cell somewhere."""

FRAME_BLANKS = frozenset("-*_")
"""Those that draw frames to others."""

SIDES = (rules.SIDE,)
"""Sizes of puzzles that models solve: rows and columns."""

OTHER_SIDES = (4, 6, 8, 10, 12, 15, 16, 20, 25)
"""Sizes of puzzles that are published, and that are recognised to be named."""

_DIGITS = "123456789"
_CELLS = frozenset(_DIGITS + BLANKS)
_BLANKS_CLASS = re.escape(BLANKS)
_RUN = re.compile(rf"(?<![\w{_BLANKS_CLASS}])[1-9{_BLANKS_CLASS}]{{81}}(?![\w{_BLANKS_CLASS}])")
_COMMENT_MARKS = ("#", "//")
_LARGER_CELL = re.compile(rf"[0-9A-Za-z{_BLANKS_CLASS}]+")
_SEPARATORS = re.compile(r"[\s,;|!\[\](){}\"'\u2500-\u257f]+")
# Numbers in a row, or in a puzzle, whose cells take numbers of two digits.
_COUNTS_OF_NUMBERS = {
    count for side in OTHER_SIDES if side > rules.SIDE for count in (side, side * side)
}
_FIELD_SEPARATORS = ",;\t|"
# Codes of characters as cells; what is no cell has the highest code.
_NO_CELL = 255
_CODES = np.full(256, _NO_CELL, dtype=np.uint8)
_CODES[[ord(blank) for blank in BLANKS]] = rules.BLANK
_CODES[[ord(digit) for digit in _DIGITS]] = np.arange(1, rules.SIDE + 1)


def compact(text: str) -> str:
    """Returns a character for each cell of a text, without what separates and frames them.

    A field left empty between commas, semicolons, tabs or bars is a blank; a number of two digits,
    as in puzzles of 16 rows, becomes a letter.
    """
    for separator in _FIELD_SEPARATORS:
        fields = [_SEPARATORS.sub("", field) for field in text.split(separator)]
        if len(fields) > rules.SIDE and not fields[-1]:
            # What stands behind a comma at the end, and around bars at both ends, is no field.
            fields = fields[1:-1] if separator == "|" and not fields[0] else fields[:-1]
        if len(fields) in (rules.SIDE, rules.NUM_CELLS) and all(len(f) <= 1 for f in fields):
            return "".join(field or BLANKS[0] for field in fields)
    # Which number it is does not matter: puzzles of other sizes are only named.
    tokens = _SEPARATORS.sub(" ", text).split()
    if len(tokens) in _COUNTS_OF_NUMBERS and max(map(len, tokens)) == 2:
        return "".join(token if len(token) == 1 else "A" for token in tokens)
    return "".join(tokens)


def find_runs(text: str) -> list[str]:
    """Returns what stands in a text as 81 cells in a row, beside lines that are drawn of blanks."""
    return [run for run in _RUN.findall(text) if not FRAME_BLANKS.issuperset(run)]


def is_comment(line: str) -> bool:
    """Returns whether a line begins with a mark of comments."""
    return line.lstrip().startswith(_COMMENT_MARKS)


def has_puzzle(text: str) -> bool:
    """Returns whether 81 cells stand in a row that are not all blank, as a puzzle in a comment."""
    return any(not set(_DIGITS).isdisjoint(run) for run in find_runs(text))


def are_cells(text: str) -> bool:
    """Returns whether every character is a digit or a blank of a puzzle of nine rows."""
    return _CELLS.issuperset(text)


def side_of(cells: str) -> int | None:
    """Returns the rows of a puzzle of another size that has as many cells, or None."""
    if _LARGER_CELL.fullmatch(cells):
        return next((side for side in OTHER_SIDES if side * side == len(cells)), None)
    return None


def explain_side(side: int) -> str:
    """Returns why a puzzle of another size is not used."""
    served = ", ".join(f"{known}x{known}" for known in SIDES)
    return f"a puzzle of {side}x{side} cells; the sizes that can be solved are: {served}"


def explain(cells: str) -> str:
    """Returns why compact text is no puzzle."""
    side = side_of(cells)
    if side is not None:
        return explain_side(side)
    # A character that no cell has explains more than a wrong length, which often follows from it.
    stray = next((place for place, cell in enumerate(cells, 1) if cell not in _CELLS), None)
    if stray is not None:
        return (
            f"a puzzle consists of the digits 1-9 and one of {' '.join(BLANKS)} for a blank, but"
            f" character {stray} is {cells[stray - 1]!r}: replace it"
        )
    return (
        f"a puzzle has {rules.NUM_CELLS} characters, row by row, but this one has {len(cells)}: add"
        " or remove cells"
    )


def explain_row(cells: str) -> str:
    """Returns why compact text is no row of a grid."""
    if len(cells) == rules.SIDE:
        return explain(cells)
    return f"a row has {rules.SIDE} cells, but this one has {len(cells)}: add or remove cells"


EXPLAIN_CANDIDATES = (
    "cells of several digits are candidates, which are not read: export the givens alone"
)


def has_candidates(text: str) -> bool:
    """Returns whether a row shows the digits that each cell may still have."""
    tokens = _SEPARATORS.sub(" ", text).split()
    return (
        len(tokens) == rules.SIDE and all(map(str.isdecimal, tokens)) and max(map(len, tokens)) > 1
    )


def parse_many(
    texts: Sequence[str],
) -> tuple[UInt8[np.ndarray, "B 81"], Bool[np.ndarray, " B"]]:
    """Reads texts of 81 characters, such as `compact` returns.

    Returns:
      The grids, blank where a text is no puzzle, and whether each is one.
    """
    # Only ASCII is one byte a character, as the array below takes it.
    usable = np.array([len(text) == rules.NUM_CELLS and text.isascii() for text in texts], bool)
    # Others are replaced by blanks, so that all form one array and are converted at once.
    empty = rules.NUM_CELLS * BLANKS[0]
    joined = "".join(text if fits else empty for text, fits in zip(texts, usable, strict=True))
    characters = np.frombuffer(joined.encode("ascii"), dtype=np.uint8)
    grids = _CODES[characters.reshape(-1, rules.NUM_CELLS)]
    usable &= (grids != _NO_CELL).all(axis=1)
    grids[~usable] = rules.BLANK
    return grids, usable
