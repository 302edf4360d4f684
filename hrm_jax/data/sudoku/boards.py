"""Boards of every size: boxes of R x C cells make a board with R * C rows, columns and digits.

`rules` is about the usual board alone. What is known of a puzzle on any board is a flat array of
cells, row by row, 0 for a blank and 1 to n for a digit; tokens are one more, as there.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Bool, Int32, UInt8

from hrm_jax.core.candidates import CandidateGrid
from hrm_jax.core.config import check, configclass, field
from hrm_jax.data.sudoku import rules

SYMBOLS = ".123456789ABCDEFGHIJKLMNOP"
"""How a blank and the digits 1 to 25 are written."""


@configclass
class Board:
    """A board with boxes of `box_rows` x `box_columns` cells.

    For example `Board(2, 3)` has 6 rows, each through two of its boxes:

        1 2 3 | 4 5 6
        4 5 6 | 1 2 3
        ------+------
        2 3 1 | 5 6 4
        ...

    Raises:
      ConfigError: on construction, for a box without cells or more than 25 digits.
    """

    box_rows: int = field(3, help="rows of a box", at_least=1, at_most=25)
    box_columns: int = field(3, help="columns of a box", at_least=1, at_most=25)

    def __post_init__(self):
        """Raises ConfigError for more digits than there are symbols."""
        check(
            self.side < len(SYMBOLS),
            "box_columns",
            expected=f"at most {len(SYMBOLS) - 1} cells in a box of {self.box_rows} rows",
            got=self.box_columns,
            remedy="choose smaller boxes",
        )

    @property
    def side(self) -> int:
        """n: the number of rows, of columns, of boxes, and of digits."""
        return self.box_rows * self.box_columns

    @property
    def num_cells(self) -> int:
        """T: n * n."""
        return self.side**2

    @property
    def vocabulary_size(self) -> int:
        """V: padding, blank, and n digits."""
        return self.side + 2

    @property
    def name(self) -> str:
        """Its rows and columns, and those of its boxes: "6x6 with boxes of 2x3"."""
        return f"{self.side}x{self.side} with boxes of {self.box_rows}x{self.box_columns}"

    @functools.cached_property
    def candidates(self) -> CandidateGrid:
        """The candidates, with the usual board's relations, so that a model's weights fit."""
        R = self.box_rows
        C = self.box_columns
        return dataclasses.replace(rules.CANDIDATES, sizes=(C, R, R, C, self.side))

    @functools.cached_property
    def units(self) -> Int32[np.ndarray, "units n"]:
        """Cells of the n rows, then the n columns, then the n boxes."""
        n = self.side
        R = self.box_rows
        C = self.box_columns
        cells = np.arange(n * n, dtype=np.int32).reshape(n, n)
        # With row and stack exchanged, the cells of each box lie together.
        boxes = cells.reshape(C, R, R, C).transpose(0, 2, 1, 3).reshape(n, n)
        return np.concatenate([cells, cells.T, boxes])

    @functools.cached_property
    def units_of_cells(self) -> Int32[np.ndarray, "T 3"]:
        """The row, the column and the box that hold each cell."""
        # Each cell is in three units; sorted by cell, their places in `units` tell which.
        order = np.argsort(self.units, axis=None, kind="stable")
        return (order // self.side).reshape(-1, 3).astype(np.int32)

    @functools.cached_property
    def segments(self) -> Int32[np.ndarray, "crossings 4"]:
        """Each crossing of a line and a box: line, box, and the first and the end of its cells.

        The cells are slices of `segment_cells`.
        """
        return self._segments[0]

    @functools.cached_property
    def segment_cells(self) -> Int32[np.ndarray, " cells"]:
        """The cells of all crossings, one crossing after another."""
        return self._segments[1]

    @functools.cached_property
    def _segments(self) -> tuple[np.ndarray, np.ndarray]:
        n = self.side
        rows = []
        cells: list[int] = []
        members = [set(unit.tolist()) for unit in self.units]
        # Rows and columns come first among the units, and boxes last.
        for line in range(2 * n):
            for box in range(2 * n, 3 * n):
                shared = sorted(members[line] & members[box])
                if shared:
                    rows.append((line, box, len(cells), len(cells) + len(shared)))
                    cells += shared
        return np.array(rows, np.int32), np.array(cells, np.int32)


USUAL = Board()
"""Nine rows, boxes of 3 x 3."""


def conflicts(grid: UInt8[np.ndarray, "*B T"], board: Board) -> Bool[np.ndarray, "*B T"]:
    """Marks cells whose digit occurs again in their row, column or box; blanks never conflict."""
    marked = np.zeros(grid.shape, bool)
    for unit in board.units:
        cells = grid[..., unit]
        # Each cell equals itself, so more than one means another.
        repeated = (cells[..., :, None] == cells[..., None, :]).sum(-1) > 1
        marked[..., unit] |= repeated & (cells != rules.BLANK)
    return marked


def is_solution(
    grid: UInt8[np.ndarray, "*B T"], givens: UInt8[np.ndarray, "*B T"], board: Board
) -> Bool[np.ndarray, "*B"]:
    """Returns whether each grid is full, free of conflicts and keeps every given."""
    digits = np.arange(1, board.side + 1)
    full = (np.sort(grid[..., board.units], axis=-1) == digits).all((-1, -2))
    return full & ((givens == rules.BLANK) | (givens == grid)).all(-1)


def format_grid(grid: UInt8[np.ndarray, " T"], board: Board) -> str:
    """Writes a grid as T characters of `SYMBOLS`, row by row.

    Raises:
      ValueError: there are not T cells, or a cell is above n.
    """
    if grid.shape != (board.num_cells,) or grid.max(initial=0) > board.side:
        raise ValueError(
            f"expected {board.num_cells} cells of 0 to {board.side} for {board.name}, got"
            f" {grid.shape} with cells up to {grid.max(initial=0)}"
        )
    return "".join(SYMBOLS[digit] for digit in grid.tolist())


def cell_name(cell: int, board: Board) -> str:
    """Returns the name of a cell, row and column counted from 1: `r1c1` for 0."""
    row, column = divmod(cell, board.side)
    return f"r{row + 1}c{column + 1}"
