"""The exact method for cells that have to differ, and the rules that a search may use.

Rules: a symbol that is decided is none of its neighbours'; a symbol that one cell of a unit alone
may have is that cell's. Where they stall, the solver guesses a symbol of a cell with fewest, depth
first.
"""

import dataclasses

import numba
import numpy as np
from jaxtyping import Bool, Int32, UInt8

from hrm_jax.data.differing.problem import FIRST_SYMBOL, Differing, masks_of
from hrm_jax.data.guessing import MOST_GUESSES, cell_with_fewest, guess, write_solution


@dataclasses.dataclass(frozen=True)
class Found:
    """What a search found.

    Attributes:
      solution: the first solution; all 0 if there is none.
      count: solutions found, at most the limit.
      guesses: guesses made.
      finished: False where the search ended at its number of guesses: there may be more.
    """

    solution: UInt8[np.ndarray, " T"]
    count: int
    guesses: int
    finished: bool


def search(
    cells: UInt8[np.ndarray, " T"],
    problem: Differing,
    *,
    limit: int = 2,
    most_guesses: int = MOST_GUESSES,
    order: Int32[np.ndarray, " n"] | None = None,
) -> Found:
    """Searches for up to `limit` solutions; 2 proves that there is only one.

    Args:
      cells: 0 for a blank.
      problem: which cells differ.
      limit: solutions after which the search stops.
      most_guesses: guesses after which it gives up.
      order: symbols from 0 on, in the order in which they are guessed; ascending if None.
    """
    if order is None:
        order = np.arange(problem.num_symbols, dtype=np.int32)
    masks = masks_of(cells, problem.num_symbols)
    solution = np.zeros(problem.num_cells, np.uint8)
    count, guesses, finished = _search(
        masks, *_tables(problem), limit, most_guesses, order, solution
    )
    return Found(solution, int(count), int(guesses), bool(finished))


def narrow(
    allowed: Bool[np.ndarray, "n T V"], problem: Differing
) -> tuple[Bool[np.ndarray, "n T V"], Bool[np.ndarray, " n"]]:
    """Returns what the rules leave of the tokens allowed, and which may have a solution.

    What is left where there is no solution means nothing.
    """
    bits = np.uint32(1) << np.arange(problem.num_symbols, dtype=np.uint32)
    masks = np.where(allowed[..., FIRST_SYMBOL:], bits, 0).sum(-1, dtype=np.uint32)
    possible = _narrow_each(masks, *_tables(problem))
    left = np.zeros_like(allowed)
    left[..., FIRST_SYMBOL:] = masks[..., None] & bits
    return left, possible


def _tables(problem: Differing) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return problem.starts, problem.neighbours, problem.units


@numba.njit(cache=True)
def _is_decided(mask):
    return mask & (mask - np.uint32(1)) == 0


@numba.njit(cache=True)
def _narrow_neighbours(masks, starts, neighbours, told):
    """Takes decided symbols from neighbours, until nothing changes; False at a contradiction."""
    changed = True
    while changed:
        changed = False
        for cell in range(masks.size):
            mask = masks[cell]
            if mask == 0:
                return False
            # A decided cell tells its neighbours once.
            if told[cell] or not _is_decided(mask):
                continue
            told[cell] = True
            for other in neighbours[starts[cell] : starts[cell + 1]]:
                if masks[other] & mask:
                    masks[other] &= ~mask
                    changed = True
    return True


@numba.njit(cache=True)
def _narrow_unit(masks, cells):
    """Gives symbols with one place in a unit to that cell.

    Returns whether a solution may still exist, and whether anything changed.
    """
    once = np.uint32(0)
    twice = np.uint32(0)
    for cell in cells:
        twice |= once & masks[cell]
        once |= masks[cell]
    # Some symbol has no place in the unit. In 64 bits, as a unit may have 32 cells.
    if once != np.uint32((np.int64(1) << cells.size) - 1):
        return False, False
    changed = False
    for cell in cells:
        own = masks[cell] & once & ~twice
        if own == 0 or own == masks[cell]:
            continue
        # Two symbols have their only place in the same cell.
        if not _is_decided(own):
            return False, False
        masks[cell] = own
        changed = True
    return True, changed


@numba.njit(cache=True)
def _propagate(masks, starts, neighbours, units):
    """Narrows in place until nothing changes; returns whether a solution may exist."""
    told = np.zeros(masks.size, np.bool_)
    changed = True
    while changed:
        if not _narrow_neighbours(masks, starts, neighbours, told):
            return False
        changed = False
        for unit in range(units.shape[0]):
            possible, narrowed = _narrow_unit(masks, units[unit])
            if not possible:
                return False
            changed |= narrowed
    return True


@numba.njit(cache=True)
def _narrow_each(puzzles, starts, neighbours, units):
    possible = np.empty(puzzles.shape[0], np.bool_)
    for i in range(puzzles.shape[0]):
        possible[i] = _propagate(puzzles[i], starts, neighbours, units)
    return possible


@numba.njit(cache=True)
def _search(masks, starts, neighbours, units, limit, most_guesses, order, solution):
    """Returns (solutions found, guesses made, whether the search came to its end)."""
    states = np.empty((masks.size + 1, masks.size), np.uint32)
    states[0] = masks
    waiting = 1
    found = 0
    guesses = 0
    while waiting and found < limit:
        state = states[waiting - 1]
        # A contradiction: the guess that led here was wrong, and the state below goes on.
        if not _propagate(state, starts, neighbours, units):
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
        waiting += 1
    return found, guesses, True
