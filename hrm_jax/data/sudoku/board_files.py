"""Reads puzzles for boards of other sizes than nine rows: a line each, or a line for each row.

    12.4.4...1..3.2.          4x4: a puzzle in a line
    . 2 | 4 .                 the same kind, with separators, bars and frames
    10 . 3 | ...              numbers beyond 9 where separators part the cells

Beyond 9 the digits are letters: A is 10. Two other alphabets are recognised by what occurs in a
file: 0 to 9 and A to F for 16 digits (0 occurs beside another sign for blanks, and G does not), and
A to Y for 25 (no digit occurs).
"""

import math
import re
from collections.abc import Sequence

import numpy as np
from jaxtyping import UInt8

from hrm_jax.data.sudoku import rules
from hrm_jax.data.sudoku.boards import SYMBOLS, Board
from hrm_jax.data.sudoku.cell_text import OTHER_SIDES
from hrm_jax.data.sudoku.puzzle_files import PuzzleFileError

SHAPES = {4: (2, 2), 9: (3, 3), 16: (4, 4), 25: (5, 5)}
"""Boxes that need not be named: as wide as they are high."""

_BLANKS = "._-*?"
_FRAME = re.compile(r"^[\s+|=\-\u2500-\u257f]*$")
_SEPARATORS = re.compile(r"[\s,;|\u2500-\u257f]+")


class BoxShapeError(rules.PuzzleError):
    """The shape of a puzzle's boxes has to be named.

    Attributes:
      side: rows of the puzzle.
      shapes: rows and columns that its boxes may have.
    """

    def __init__(self, side: int):
        """Names the shapes of boxes of so many cells."""
        self.side = side
        self.shapes = [(rows, side // rows) for rows in range(2, side) if side % rows == 0]
        known = [f"{rows}x{columns}" for rows, columns in self.shapes]
        super().__init__(
            f"a puzzle of {side}x{side} cells: boxes may have {' or '.join(known)} cells; say which"
            f" by --box={known[0]} (rows x columns)"
        )


def parse_box(text: str) -> tuple[int, int]:
    """Returns the rows and columns of a box from `2x3`.

    Raises:
      PuzzleError: it is no such text.
    """
    found = re.fullmatch(r"\s*(\d{1,2})\s*[xX*]\s*(\d{1,2})\s*", text)
    sides = tuple(map(int, found.groups())) if found else (0, 0)
    if min(sides) < 1 or sides[0] * sides[1] > len(SYMBOLS) - 1:
        raise rules.PuzzleError(
            "--box: expected rows x columns of a box with at most 25 cells, such as 2x3, got"
            f" {text!r}"
        )
    return sides[0], sides[1]


def side_of(text: str) -> int | None:
    """Returns the rows of the puzzles of a text, if they are not nine and all alike, else None."""
    lines = [cells for _, cells in _lines(text)]
    counts = {len(cells) for cells in lines}
    if len(counts) != 1:
        return None
    count = counts.pop()
    # A line may be a whole puzzle or a row. Digits above its root rule the first out: 16 cells with
    # a 9 are a row of 16, not a puzzle of 4.
    root = math.isqrt(count)
    sides = []
    if root**2 == count and _largest(lines) <= root:
        sides.append(root)  # whole puzzles, a line each
    if len(lines) % count == 0:
        sides.append(count)  # rows of a grid, as many as they have cells
    return next((side for side in sides if side in OTHER_SIDES), None)


def _largest(lines: Sequence[Sequence[str]]) -> int:
    """Returns the largest digit, where letters begin with 10."""
    found = {cell.upper() for cells in lines for cell in cells}
    return max((SYMBOLS.find(sign) for sign in found if len(sign) == 1), default=0)


def board_of(side: int, box: tuple[int, int] | None) -> Board:
    """Returns the board of so many rows.

    Raises:
      BoxShapeError: its shape has to be named.
      PuzzleError: the box has another number of cells.
    """
    shape = box or SHAPES.get(side)
    if shape is None:
        raise BoxShapeError(side)
    if shape[0] * shape[1] != side:
        raise rules.PuzzleError(
            f"--box: expected {side} cells in a box, as the puzzle has {side} rows, got"
            f" {shape[0]}x{shape[1]}"
        )
    return Board(*shape)


def read_boards(text: str, board: Board, source: str) -> UInt8[np.ndarray, "B T"]:
    """Returns the puzzles of a text, 0 for a blank, in its order.

    Args:
      text: of one of the forms of this module.
      board: their board.
      source: names the text in errors.

    Raises:
      PuzzleFileError: a line has another number of cells or a sign that is none, or rows are
        missing; the message names the line.
    """
    lines = list(_lines(text))
    values = _alphabet([cells for _, cells in lines], board)
    grids = []
    rows: list[np.ndarray] = []
    for number, cells in lines:
        # Rows and whole puzzles may both occur in a file.
        if len(cells) not in (board.side, board.num_cells):
            raise PuzzleFileError(
                f"{source}, line {number}: expected {board.side} cells of a row or"
                f" {board.num_cells} of a puzzle, got {len(cells)}: add or remove cells"
            )
        stray = next((cell for cell in cells if cell not in values), None)
        if stray is not None:
            raise PuzzleFileError(
                f"{source}, line {number}: expected digits {_named(board)} or one of"
                f" {' '.join(_BLANKS)} for a blank, got {stray!r}: replace it"
            )
        rows.append(np.array([values[cell] for cell in cells], np.uint8))
        if sum(map(len, rows)) == board.num_cells:
            grids.append(np.concatenate(rows))
            rows = []
        elif sum(map(len, rows)) > board.num_cells:
            raise PuzzleFileError(
                f"{source}, line {number}: a puzzle begins before the one above it has"
                f" {board.side} rows: complete it"
            )
    if rows or not grids:
        raise PuzzleFileError(
            f"{source}: expected puzzles of {board.side} rows, got {len(rows)} rows at the end:"
            " complete them"
        )
    return np.array(grids)


def _lines(text: str) -> list[tuple[int, Sequence[str]]]:
    """Returns the lines with cells: their numbers, and a text for each cell."""
    found = []
    for number, line in enumerate(text.splitlines(), 1):
        if _FRAME.fullmatch(line) or line.lstrip().startswith("#"):
            continue
        parts = [part for part in _SEPARATORS.split(line) if part]
        # Cells stand apart where each part is short; else a part is a run of cells of one sign.
        apart = len(parts) > 1 and all(len(part) <= 2 for part in parts)
        # With a number of two digits each part is one cell. Else parts are runs of single signs.
        numbers = apart and any(part.isdecimal() and len(part) == 2 for part in parts)
        if numbers:
            found.append((number, parts))
        else:
            found.append((number, "".join(parts)))
    return found


def _alphabet(lines: Sequence[Sequence[str]], board: Board) -> dict[str, int]:
    """Returns the digit that each sign stands for, 0 for a blank."""
    signs = {cell.upper() for cells in lines for cell in cells}
    n = board.side
    digits = {SYMBOLS[digit]: digit for digit in range(1, n + 1)}
    digits |= {str(digit): digit for digit in range(10, n + 1)}
    blanks = dict.fromkeys([*_BLANKS, "0"], 0)
    if n == 16 and "0" in signs and signs & set(_BLANKS) and "G" not in signs:
        digits = {f"{digit:X}": digit + 1 for digit in range(16)}
    elif n == 25 and not signs & set("123456789"):
        digits = {chr(ord("A") + digit): digit + 1 for digit in range(25)}
    # Digits last: where 0 is one, it is no blank.
    upper = blanks | digits
    return upper | {sign.lower(): digit for sign, digit in upper.items()}


def _named(board: Board) -> str:
    return f"1-{SYMBOLS[board.side]}" if board.side < 10 else f"1-9, A-{SYMBOLS[board.side]}"
