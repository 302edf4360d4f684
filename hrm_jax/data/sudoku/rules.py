"""The rules of Sudoku on flat arrays: text, units, conflicts, solutions and tokens.

A grid is `uint8[81]` in row-major order, 0 for a blank cell and 1..9 for a digit. Every other
module of this package speaks this form; the model speaks tokens (`encode`, `decode`).
"""

import re

import numpy as np
from jaxtyping import Bool, Int, UInt8

from hrm_jax.core.candidates import CandidateGrid, Relation
from hrm_jax.core.errors import UserError

SIDE = 9
NUM_CELLS = SIDE * SIDE
BLANK = 0

PAD_TOKEN = 0
BLANK_TOKEN = 1
VOCABULARY_SIZE = 11
"""Padding, blank and nine digits: digit d is token d + 1."""

CANDIDATES = CandidateGrid(
    axes=("band", "row", "stack", "column", "digit"),
    sizes=(3, 3, 3, 3, 9),
    relations=(
        Relation("row", over=("stack", "column"), weights="line"),
        Relation("column", over=("band", "row"), weights="line"),
        Relation("box", over=("row", "column"), weights="box"),
        Relation("cell", over=("digit",), weights="cell"),
        Relation("cells shared by a row and a box", over=("column",), weights="segment"),
        Relation("cells shared by a column and a box", over=("row",), weights="segment"),
    ),
)
"""A digit stands once in every row, column and box, and a cell holds one digit."""


class PuzzleError(UserError, ValueError):
    """A puzzle cannot be used as given; the message says what is wrong and where."""


class PuzzleLengthError(PuzzleError):
    """The text or array does not have 81 cells."""


class PuzzleCharacterError(PuzzleError):
    """A cell holds something other than a digit or a blank."""


class ConflictingGivensError(PuzzleError):
    """Two equal digits share a row, a column or a box."""


def _unit_table() -> UInt8[np.ndarray, "27 9"]:
    cells = np.arange(NUM_CELLS, dtype=np.uint8).reshape(SIDE, SIDE)
    # Split in threes the grid is [band, row, stack, column]; with row and stack exchanged, the nine
    # cells of each box lie together.
    boxes = cells.reshape(3, 3, 3, 3).transpose(0, 2, 1, 3).reshape(SIDE, SIDE)
    return np.concatenate([cells, cells.T, boxes])


def _peer_table() -> Bool[np.ndarray, "81 81"]:
    member = np.zeros((3 * SIDE, NUM_CELLS), dtype=bool)
    np.put_along_axis(member, UNITS.astype(np.intp), True, axis=1)
    # member[u, c] says whether unit u contains cell c, so the product counts the units two cells
    # share.
    shares_a_unit = member.T.astype(np.int32) @ member.astype(np.int32) > 0
    return shares_a_unit & ~np.eye(NUM_CELLS, dtype=bool)


def _read_only(table: np.ndarray) -> np.ndarray:
    table.flags.writeable = False
    return table


UNITS: UInt8[np.ndarray, "27 9"] = _read_only(_unit_table())
"""Cells of the nine rows, then the nine columns, then the nine boxes."""

IS_PEER: Bool[np.ndarray, "81 81"] = _read_only(_peer_table())
"""Whether two different cells share a row, a column or a box (20 peers each)."""

PEERS: UInt8[np.ndarray, "81 20"] = _read_only(
    np.nonzero(IS_PEER)[1].reshape(NUM_CELLS, 20).astype(np.uint8)
)
"""The 20 peers of every cell, in increasing order."""


def cell_name(cell: int) -> str:
    """Returns the name of a cell, row and column counted from 1: `r1c1` for 0, `r9c9` for 80."""
    row, column = divmod(cell, SIDE)
    return f"r{row + 1}c{column + 1}"


def parse(text: str) -> UInt8[np.ndarray, "81"]:
    """Reads 81 characters (`1`..`9`, and `.` or `0` for a blank) in row-major order.

    The givens may contradict each other; `require_consistent` checks that.

    Args:
      text: the puzzle; white space around it is ignored.

    Returns:
      The grid, uint8[81], values 0..9.

    Raises:
      PuzzleLengthError: there are not 81 characters.
      PuzzleCharacterError: a character is neither a digit nor a blank.
    """
    text = text.strip()
    stray = re.search(r"[^0-9.]", text, flags=re.ASCII)
    if stray:
        raise PuzzleCharacterError(
            f"a puzzle consists of the digits 1-9 and . or 0 for a blank, but character"
            f" {stray.start() + 1} is {stray.group()!r}: replace it, or remove separators"
        )
    if len(text) != NUM_CELLS:
        raise PuzzleLengthError(
            f"a puzzle has {NUM_CELLS} characters, row by row, but this one has {len(text)}:"
            " add or remove cells"
        )
    # An array over bytes is read-only; the subtraction makes one that can be written.
    return np.frombuffer(text.replace(".", "0").encode("ascii"), dtype=np.uint8) - ord("0")


def format_grid(grid: UInt8[np.ndarray, "81"]) -> str:
    """Writes a grid as 81 characters with `.` for blanks: the inverse of `parse`.

    Raises:
      PuzzleLengthError, PuzzleCharacterError: as `as_grid`.
    """
    return (as_grid(grid) + ord("0")).tobytes().decode("ascii").replace("0", ".")


def as_grid(grid: Int[np.ndarray, "81"] | UInt8[np.ndarray, "81"]) -> UInt8[np.ndarray, "81"]:
    """Checks the shape and range of an integer array and returns it as uint8[81].

    Raises:
      PuzzleLengthError: the shape is not (81,).
      PuzzleCharacterError: a value is not an integer in 0..9.
    """
    grid = np.asarray(grid)
    if grid.shape != (NUM_CELLS,):
        raise PuzzleLengthError(
            f"a grid has shape ({NUM_CELLS},), but this one has shape {grid.shape}: flatten it row"
            " by row, and call the batched function for several grids"
        )
    if not np.issubdtype(grid.dtype, np.integer):
        raise PuzzleCharacterError(f"a grid holds integers, but this one has dtype {grid.dtype}")
    outside = np.flatnonzero((grid < 0) | (grid > SIDE))
    if outside.size:
        cell = int(outside[0])
        raise PuzzleCharacterError(
            f"a cell holds 0 (blank) or 1..9, but {cell_name(cell)} holds {grid[cell]}"
            " (tokens are turned into digits by `decode`)"
        )
    return grid.astype(np.uint8)


def conflicts(grid: UInt8[np.ndarray, "*B 81"]) -> Bool[np.ndarray, "*B 81"]:
    """Marks cells whose digit occurs again in their row, column or box; blanks never conflict."""
    # units is [..., 27, 9]; the nine cells of a unit are compared pair by pair.
    units = grid[..., UNITS]
    repeated = units[..., :, None] == units[..., None, :]
    repeated &= ~np.eye(SIDE, dtype=bool)
    in_unit = repeated.any(-1) & (units != BLANK)
    marked = np.zeros(grid.shape, dtype=bool)
    # A cell lies in three units. One assignment through all of `UNITS` would keep only the last of
    # its three values, so the units are combined in turn.
    for unit, cells in enumerate(UNITS):
        marked[..., cells] |= in_unit[..., unit, :]
    return marked


def require_consistent(grid: UInt8[np.ndarray, "81"]) -> None:
    """Raises ConflictingGivensError, naming the cells, if two equal digits share a unit."""
    cells = np.flatnonzero(conflicts(grid))
    if cells.size:
        named = ", ".join(f"{cell_name(int(cell))}={grid[cell]}" for cell in cells)
        raise ConflictingGivensError(
            f"equal digits share a row, column or box: {named}; change or clear one of them"
        )


_ALL_DIGITS = sum(1 << digit for digit in range(1, SIDE + 1))


def is_solution(
    grid: UInt8[np.ndarray, "*B 81"], givens: UInt8[np.ndarray, "*B 81"]
) -> Bool[np.ndarray, "*B"]:
    """Returns whether each grid is full, free of conflicts and keeps every given, bool [*B]."""
    # One bit for each digit, in uint16 because 1 << 9 does not fit uint8. Anything that is no digit
    # gets no bit, so its unit cannot be complete.
    in_range = (grid != BLANK) & (grid <= SIDE)
    digits = np.where(in_range, np.left_shift(1, grid, dtype=np.uint16, casting="unsafe"), 0)
    each_once = np.bitwise_or.reduce(digits[..., UNITS], axis=-1) == _ALL_DIGITS
    extends = (givens == BLANK) | (givens == grid)
    return each_once.all(-1) & extends.all(-1)


def encode(grid: UInt8[np.ndarray, "*B 81"]) -> UInt8[np.ndarray, "*B 81"]:
    """Turns cells 0..9 into tokens 1..10 (`BLANK_TOKEN` for a blank, d + 1 for digit d)."""
    return (grid + BLANK_TOKEN).astype(np.uint8)


def decode(tokens: Int[np.ndarray, "*B 81"] | UInt8[np.ndarray, "*B 81"]) -> np.ndarray:
    """Turns tokens 1..10 into cells 0..9, uint8 of the same shape: the inverse of `encode`.

    Raises:
      PuzzleCharacterError: a token is padding or outside the vocabulary.
    """
    tokens = np.asarray(tokens)
    outside = tokens[(tokens < BLANK_TOKEN) | (tokens >= VOCABULARY_SIZE)]
    if outside.size:
        raise PuzzleCharacterError(
            f"Sudoku tokens are {BLANK_TOKEN}..{VOCABULARY_SIZE - 1}, but {int(outside[0])} occurs"
            f" ({outside.size} such cells): drop padding and ignored rows before decoding"
        )
    return (tokens - BLANK_TOKEN).astype(np.uint8)
