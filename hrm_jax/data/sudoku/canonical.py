"""Canonical forms of solved grids under Sudoku's symmetries, and names of their classes.

The symmetries relabel the digits, transpose the grid, permute bands, rows within a band, stacks and
columns within a stack: 9! * 2 * 6^8 of them, exactly those of `symmetry`. Augmentation moves a
puzzle within its class, so data is split by class, never by line.

The canonical form is the lexicographically smallest member of a class. Its first row is 123456789,
so a choice of transposition, first row and column order fixes the relabelling, and the order of the
other rows follows by sorting on their first cell: 2 * 9 * 6^4 = 23,328 candidates, nearly all of
which are dropped at the first cells of their second row.
"""

import hashlib
import itertools

import numba
import numpy as np
from jaxtyping import UInt8, UInt64

from hrm_jax.data.sudoku import rules


def _column_orders() -> np.ndarray:
    """Returns all column orders that permute stacks, and columns within stacks: intp [1296, 9]."""
    threes = np.array(list(itertools.permutations(range(3))))
    orders = [
        np.concatenate(
            [3 * stack + threes[inner] for stack, inner in zip(stacks, inners, strict=True)]
        )
        for stacks in threes
        for inners in itertools.product(range(6), repeat=3)
    ]
    return np.stack(orders).astype(np.intp)


_COLUMN_ORDERS = _column_orders()
# Pairs of rows and pairs of columns, as indices into `_UNITS`; boxes (18 to 26) are left out.
_UNIT_PAIRS = np.array(
    [pair for first in (0, 9) for pair in itertools.combinations(range(first, first + 9), 2)]
)
_UNITS = rules.UNITS.astype(np.intp)


@numba.njit(cache=True)
def _order_rows(grid, first_row, first_column, labels, rows):
    """Writes into `rows` the row order of the smallest form that has `first_row` on top."""
    home = first_row // 3
    # The first row fixes the relabelling, so the first cells of the other rows, all different,
    # decide their order.
    heads = np.empty(9, dtype=np.int64)
    for row in range(9):
        heads[row] = labels[grid[row, first_column]]
    # Sort key: own band first, then bands by their smallest head, then rows by head.
    keys = np.empty(9, dtype=np.int64)
    for row in range(9):
        band = row // 3
        smallest = min(heads[3 * band], heads[3 * band + 1], heads[3 * band + 2])
        keys[row] = 100 * (0 if band == home else smallest) + heads[row]
    rows[:] = np.argsort(keys)


@numba.njit(cache=True)
def _second_row(first_row, grid, first_column, labels):
    """Returns the second row of the form: the smaller of the other two rows of the band."""
    band = first_row - first_row % 3
    a = band + (first_row + 1) % 3
    b = band + (first_row + 2) % 3
    return a if labels[grid[a, first_column]] < labels[grid[b, first_column]] else b


@numba.njit(cache=True)
def _try_candidate(grid, first_row, columns, labels, rows, best):
    """Replaces `best` [9, 9] by the form with this first row and column order, if smaller."""
    for position in range(9):
        labels[grid[first_row, columns[position]]] = position + 1
    # The second row rejects nearly all candidates, so it is compared before the other rows are
    # ordered.
    second = _second_row(first_row, grid, columns[0], labels)
    smaller = False
    for position in range(9):
        label = labels[grid[second, columns[position]]]
        if label != best[1, position]:
            if label > best[1, position]:
                return
            smaller = True
            break
    _order_rows(grid, first_row, columns[0], labels, rows)
    # `best` is overwritten while it is compared: up to the first smaller cell both are equal, and
    # from there on all cells are replaced.
    for position in range(9, 81):
        label = labels[grid[rows[position // 9], columns[position % 9]]]
        if not smaller:
            if label > best[position // 9, position % 9]:
                return
            smaller = label < best[position // 9, position % 9]
        best[position // 9, position % 9] = label


@numba.njit(cache=True)
def _canonical_many(grids):
    # 10 is above every label, so the first candidate replaces it. The first row of every form is
    # 1..9.
    forms = np.full(grids.shape, 10, dtype=np.uint8)
    labels = np.zeros(10, dtype=np.uint8)
    rows = np.empty(9, dtype=np.int64)
    for i in range(grids.shape[0]):
        best = forms[i].reshape(9, 9)
        best[0] = np.arange(1, 10)
        upright = grids[i].reshape(9, 9)
        for transposed in range(2):
            # The copy keeps both orientations C-contiguous: the inner functions are compiled for
            # one array type.
            grid = np.ascontiguousarray(upright.T) if transposed else upright
            for first_row in range(9):
                for order in range(_COLUMN_ORDERS.shape[0]):
                    _try_candidate(grid, first_row, _COLUMN_ORDERS[order], labels, rows, best)
    return forms


@numba.njit(cache=True)
def _cycle_code(grid, first, second):
    """Returns a code of the cycle lengths of the permutation between the digits of two lines."""
    image = np.zeros(10, dtype=np.int64)
    for k in range(9):
        image[grid[first[k]]] = grid[second[k]]
    code = 0
    for start in range(1, 10):
        length = 0
        digit = start
        # A digit that was visited has its image set to 0, so each cycle is counted once.
        while image[digit] != 0:
            following = image[digit]
            image[digit] = 0
            digit = following
            length += 1
        if length:
            code += 1 << (4 * (length - 2))  # at most four cycles of each length, none of length 1
    return code


@numba.njit(cache=True)
def _mix(value):
    """Scrambles 64 bits by shifts and products with odd constants, which is a bijection."""
    value = (value ^ (value >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    value = (value ^ (value >> np.uint64(32))) * np.uint64(0xD6E8FEB86659FD93)
    return value ^ (value >> np.uint64(32))


@numba.njit(cache=True)
def _fingerprints(grids, pairs):
    prints = np.zeros(grids.shape[0], dtype=np.uint64)
    for i in range(grids.shape[0]):
        # Sums do not depend on order: over pairs within a direction, then over both directions.
        sums = np.zeros(2, dtype=np.uint64)
        for first, second in pairs:
            same_band = np.uint64(first // 3 == second // 3)
            code = np.uint64(_cycle_code(grids[i], _UNITS[first], _UNITS[second]))
            sums[first // 9] += _mix(code * np.uint64(2) + same_band + np.uint64(1))
        prints[i] = _mix(_mix(sums[0]) + _mix(sums[1]))
    return prints


def _require_solved(grids: UInt8[np.ndarray, "B 81"]) -> np.ndarray:
    if grids.ndim != 2 or grids.shape[1] != rules.NUM_CELLS:
        raise rules.PuzzleLengthError(
            f"a batch of grids has shape [B, {rules.NUM_CELLS}], but this one {grids.shape}"
        )
    grids = np.ascontiguousarray(grids, dtype=np.uint8)
    bad = np.flatnonzero(~rules.is_solution(grids, grids))
    if bad.size:
        raise rules.PuzzleError(
            f"classes are defined for solved grids, but grid {bad[0]} of the batch is not one"
            f" ({bad.size} such grids): pass the answers, not the puzzles"
        )
    return grids


def canonical(grids: UInt8[np.ndarray, "B 81"]) -> UInt8[np.ndarray, "B 81"]:
    """Returns the smallest grid in the class of each solved grid; about 1 ms a grid.

    Raises:
      PuzzleError: a grid is not solved (PuzzleLengthError: or not of shape [B, 81]).
    """
    return _canonical_many(_require_solved(grids))


def grid_classes(grids: UInt8[np.ndarray, "B 81"]) -> list[str]:
    """Returns the class names of solved grids, 16 hexadecimal digits each.

    Raises as `canonical`.
    """
    return [hashlib.blake2b(form.tobytes(), digest_size=8).hexdigest() for form in canonical(grids)]


def grid_class(grid: UInt8[np.ndarray, "81"]) -> str:
    """Returns the name of the class of one solved grid; errors as `canonical`."""
    return grid_classes(rules.as_grid(grid)[None])[0]


def class_fingerprints(grids: UInt8[np.ndarray, "B 81"]) -> UInt64[np.ndarray, "B"]:
    """Returns a number for each solved grid, equal within a class: uint64 [B], about 10 us a grid.

    It is made of the cycle lengths of the permutations between rows and between columns. Different
    classes may share a number, so it does not name a class. A split by it is nevertheless a split
    by class, and takes seconds for millions of puzzles.

    Raises:
      PuzzleError: as `canonical`.
    """
    return _fingerprints(_require_solved(grids), _UNIT_PAIRS)
