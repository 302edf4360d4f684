"""The complete solver of `solver`, for boards of every size.

The same rules (singles and segments, see `propagation`), the same guesses, and so the same ratings
on the usual board. Masks of candidates are 32 bits wide; what belongs to a board comes in tables.
A search on a large board may take for ever, so it ends after a number of guesses, and says so.
"""

import dataclasses

import numba
import numpy as np
from jaxtyping import Bool, Int32, UInt8, UInt32

from hrm_jax.data.guessing import (
    MOST_GUESSES,
    cell_with_fewest,
    count_bits,
    guess,
    write_solution,
)
from hrm_jax.data.sudoku.boards import Board

SINGLES, SEGMENTS, PAIRS = range(3)
"""Which rules are used: singles; and segments; and pairs of cells that share two candidates."""


@dataclasses.dataclass(frozen=True)
class BoardSearch:
    """The results of a search, for every puzzle of a batch.

    Attributes:
      solutions: the first solution found; all 0 where there is none.
      counts: solutions found, at most the limit of the search.
      guesses: guesses made; the rating where `counts` is 1 and the limit was 2.
      finished: False where the search ended at its number of guesses: there may be more solutions.
    """

    solutions: UInt8[np.ndarray, "B T"]
    counts: Int32[np.ndarray, " B"]
    guesses: Int32[np.ndarray, " B"]
    finished: Bool[np.ndarray, " B"]


def search_many(
    puzzles: UInt8[np.ndarray, "B T"],
    board: Board,
    *,
    limit: int = 2,
    most_guesses: int = MOST_GUESSES,
    seed: int | None = None,
) -> BoardSearch:
    """Searches every puzzle for up to `limit` solutions; 2 proves uniqueness.

    Args:
      puzzles: cells, 0 for a blank.
      board: their board.
      limit: solutions after which a search stops.
      most_guesses: guesses after which it gives up.
      seed: guesses are random instead of the lowest digit; for generators.

    Raises:
      ValueError: the shape is not [B, T], or a cell is above n.
    """
    if (
        puzzles.ndim != 2
        or puzzles.shape[1] != board.num_cells
        or puzzles.max(initial=0) > board.side
    ):
        raise ValueError(
            f"expected puzzles [B, {board.num_cells}] of cells 0 to {board.side} for a board of"
            f" {board.name}, got {puzzles.shape} with cells up to {puzzles.max(initial=0)}"
        )
    B, T = puzzles.shape
    found = BoardSearch(
        np.zeros((B, T), np.uint8), np.zeros(B, np.int32), np.zeros(B, np.int32), np.zeros(B, bool)
    )
    rng = np.random.default_rng(seed)
    for i in range(B):
        order = np.arange(board.side, dtype=np.int64)
        if seed is not None:
            order = rng.permutation(board.side)
        masks = masks_of(puzzles[i], board)
        found.counts[i], found.guesses[i], found.finished[i] = _search(
            masks, *_tables(board), limit, most_guesses, order, found.solutions[i]
        )
    return found


def narrow(
    masks: UInt32[np.ndarray, "B T"], board: Board, rules: int = SEGMENTS
) -> Bool[np.ndarray, " B"]:
    """Narrows candidates in place until nothing changes; returns which may have a solution."""
    # Where the other cells of a unit still hold all digits, an empty cell is not noticed at once.
    return _narrow_each(masks, *_tables(board), rules) & masks.all(-1)


def masks_of(puzzle: UInt8[np.ndarray, " T"], board: Board) -> UInt32[np.ndarray, " T"]:
    """Returns the candidates of every cell: bit d - 1 for digit d."""
    every = np.uint32((1 << board.side) - 1)
    own = np.uint32(1) << (np.maximum(puzzle, 1).astype(np.uint32) - np.uint32(1))
    return np.where(puzzle == 0, every, own).astype(np.uint32)


def _tables(board: Board) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    return board.units, board.units_of_cells, board.segments, board.segment_cells


@numba.njit(cache=True)
def _narrow_unit(masks, cells, units_of, stale):
    """Applies singles within one unit; returns whether a solution may still exist."""
    once = np.uint32(0)
    twice = np.uint32(0)
    solved = np.uint32(0)
    for cell in cells:
        mask = masks[cell]
        twice |= once & mask
        once |= mask
        if mask & (mask - np.uint32(1)) == 0:
            # Two cells of the unit are decided to be the same digit.
            if mask & solved:
                return False
            solved |= mask
    if once != np.uint32((np.int64(1) << cells.size) - 1):
        return False
    # All cells are decided, and differ.
    if solved == once:
        return True
    # Digits with a single place in the unit, whose cell may still have others.
    hidden = once & ~twice & ~solved
    for cell in cells:
        mask = masks[cell]
        if mask & (mask - np.uint32(1)) == 0:
            continue
        narrowed = mask & hidden
        if narrowed == 0:
            narrowed = mask & ~solved
        # Two digits have their only place here.
        elif narrowed & (narrowed - np.uint32(1)):
            return False
        if narrowed == 0:
            return False
        if narrowed != mask:
            masks[cell] = narrowed
            for unit in units_of[cell]:
                stale[unit] = True
    return True


@numba.njit(cache=True)
def _narrow_segments(masks, units, units_of, segments, segment_cells, stale):
    """Confines digits to the crossings of a line and a box that alone can hold them."""
    changed = False
    for line, box, first, end in segments:
        here = np.uint32(0)
        for cell in segment_cells[first:end]:
            here |= masks[cell]
        for unit, other in ((line, box), (box, line)):
            # Digits that `unit` can place nowhere but here are removed from the rest of `other`.
            elsewhere = np.uint32(0)
            for cell in units[unit]:
                if not _holds(segment_cells[first:end], cell):
                    elsewhere |= masks[cell]
            confined = here & ~elsewhere
            if confined == 0:
                continue
            for cell in units[other]:
                if masks[cell] & confined and not _holds(segment_cells[first:end], cell):
                    masks[cell] &= ~confined
                    changed = True
                    for touched in units_of[cell]:
                        stale[touched] = True
    return changed


@numba.njit(cache=True)
def _narrow_pairs(masks, units, units_of, stale):
    """Where two cells of a unit have the same two candidates, removes them from its other cells."""
    changed = False
    for unit in range(units.shape[0]):
        cells = units[unit]
        for i in range(cells.size):
            pair = masks[cells[i]]
            if count_bits(pair) != 2:
                continue
            for j in range(i + 1, cells.size):
                if masks[cells[j]] != pair:
                    continue
                for k in range(cells.size):
                    if k != i and k != j and masks[cells[k]] & pair:
                        masks[cells[k]] &= ~pair
                        changed = True
                        for touched in units_of[cells[k]]:
                            stale[touched] = True
    return changed


@numba.njit(cache=True)
def _holds(cells, wanted):
    for cell in cells:  # noqa: SIM110, as numba compiles no generator
        if cell == wanted:
            return True
    return False


@numba.njit(cache=True)
def _propagate(masks, units, units_of, segments, segment_cells, stale, rules):
    """Applies singles, then segments, until nothing changes; False if there is no solution."""
    while True:
        again = True
        while again:
            again = False
            for unit in range(units.shape[0]):
                if stale[unit]:
                    stale[unit] = False
                    if not _narrow_unit(masks, units[unit], units_of, stale):
                        return False
                    again = True
        if rules == SINGLES:
            return True
        if _narrow_segments(masks, units, units_of, segments, segment_cells, stale):
            continue
        if rules == SEGMENTS or not _narrow_pairs(masks, units, units_of, stale):
            return True


@numba.njit(cache=True)
def _narrow_each(boards, units, units_of, segments, segment_cells, rules):
    possible = np.empty(boards.shape[0], np.bool_)
    for i in range(boards.shape[0]):
        stale = np.ones(units.shape[0], np.bool_)
        possible[i] = _propagate(boards[i], units, units_of, segments, segment_cells, stale, rules)
    return possible


@numba.njit(cache=True)
def _search(masks, units, units_of, segments, segment_cells, limit, most_guesses, order, solution):
    """Returns (solutions found, guesses made, whether the search came to its end)."""
    depth = masks.size + 1
    states = np.empty((depth, masks.size), dtype=np.uint32)
    # For each state the units that changed since it was propagated.
    stale = np.zeros((depth, units.shape[0]), dtype=np.bool_)
    states[0] = masks
    stale[0] = True
    waiting = 1
    found = 0
    guesses = 0
    while waiting and found < limit:
        state = states[waiting - 1]
        # A contradiction: the guess that led here was wrong, and the state below goes on.
        if not _propagate(
            state, units, units_of, segments, segment_cells, stale[waiting - 1], SEGMENTS
        ):
            waiting -= 1
            continue
        cell = cell_with_fewest(state)
        if cell < 0:
            if found == 0:
                write_solution(state, solution)
            found += 1
            waiting -= 1
            continue
        if guesses >= most_guesses:
            return found, guesses, False
        guesses += 1
        states = guess(states, waiting, cell, order)
        # As many rows as the stack, which may have grown.
        if stale.shape[0] < states.shape[0]:
            stale = np.concatenate((stale, np.zeros_like(stale)))
        # Both states differ from the one before in this cell alone.
        for unit in units_of[cell]:
            stale[waiting - 1, unit] = True
            stale[waiting, unit] = True
        waiting += 1
    return found, guesses, True
