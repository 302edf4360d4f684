"""What a puzzle of cells that have to differ consists of: pairs of cells, and units.

Latin squares, colourings of graphs and Sudoku are such puzzles. A puzzle's cells are a flat array,
0 for a blank and 1 to n for a symbol; tokens are one more, as in `data.sudoku.rules`.
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Int, Int32, UInt8, UInt32

PAD_TOKEN, BLANK_TOKEN, FIRST_SYMBOL = range(3)
"""Tokens: padding, a blank cell, and from there on the symbols."""


@dataclasses.dataclass(frozen=True)
class Differing:
    """Cells, symbols, and which cells differ.

    Attributes:
      num_symbols: n, at most 32.
      starts: where the neighbours of each cell begin in `neighbours`, and the end of the last.
      neighbours: cells that differ from each cell, one cell's after another.
      units: cells among which every symbol occurs once; all of them differ.
    """

    num_symbols: int
    starts: Int32[np.ndarray, " T+1"]
    neighbours: Int32[np.ndarray, " directed"]
    units: Int32[np.ndarray, "units n"]

    @property
    def num_cells(self) -> int:
        """T."""
        return len(self.starts) - 1


def differing(
    num_cells: int,
    num_symbols: int,
    pairs: Int[np.ndarray, "pairs 2"],
    units: Int[np.ndarray, "units n"] | None = None,
) -> Differing:
    """Returns cells of which the pairs differ, each given once, in any order."""
    # Each pair in both directions, sorted by its first cell: one cell's neighbours lie together.
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.lexsort((both[:, 1], both[:, 0]))]
    starts = np.searchsorted(both[:, 0], np.arange(num_cells + 1))
    if units is None:
        units = np.zeros((0, num_symbols), np.int32)
    return Differing(
        num_symbols, starts.astype(np.int32), both[:, 1].astype(np.int32), units.astype(np.int32)
    )


def is_solution(
    cells: UInt8[np.ndarray, " T"], givens: UInt8[np.ndarray, " T"], problem: Differing
) -> bool:
    """Returns whether every cell has a symbol, neighbours differ, and the givens are kept."""
    proper = (cells >= 1) & (cells <= problem.num_symbols)
    source = np.repeat(np.arange(problem.num_cells), np.diff(problem.starts))
    differ = cells[source] != cells[problem.neighbours]
    return bool(proper.all() and differ.all() and ((givens == 0) | (givens == cells)).all())


def masks_of(cells: UInt8[np.ndarray, " T"], num_symbols: int) -> UInt32[np.ndarray, " T"]:
    """Returns the symbols that every cell may have: bit s - 1 for symbol s."""
    every = np.uint32((1 << num_symbols) - 1)
    own = np.uint32(1) << (np.maximum(cells, 1).astype(np.uint32) - np.uint32(1))
    return np.where(cells == 0, every, own).astype(np.uint32)


def openings(tokens: UInt8[np.ndarray, " T"], num_symbols: int) -> Bool[np.ndarray, "T V"]:
    """Returns the tokens that each cell may have: a given its own, a blank every symbol."""
    every = np.arange(FIRST_SYMBOL + num_symbols)
    allowed = every[None] == tokens[:, None]
    allowed[tokens < FIRST_SYMBOL] = every >= FIRST_SYMBOL
    return allowed
