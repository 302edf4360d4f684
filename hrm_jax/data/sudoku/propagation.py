"""The rules that narrow the candidates of a Sudoku, compiled.

Every cell holds a mask of its candidates (bit d - 1 for digit d), and two rules narrow them until
nothing changes. *Singles*: a solved cell removes its digit from its units, and a digit with one
place left in a unit goes there. *Segments*: where a line can place a digit in one box only, or a
box in one line only, the digit is removed from the rest of that box or line.
"""

import numba
import numpy as np

from hrm_jax.data.sudoku import rules

BIT_COUNTS = np.array([mask.bit_count() for mask in range(512)], dtype=np.uint8)
"""Number of candidates in every mask, [512]."""

ALL_CANDIDATES = np.uint16(0x1FF)
ALL_UNITS = 2**27 - 1
UNITS_OF_CELL = np.array(
    [sum(1 << u for u, unit in enumerate(rules.UNITS) if cell in unit) for cell in range(81)],
    dtype=np.int32,
)
"""For every cell, a bit mask of the row, the column and the box that hold it, [81]."""

_UNITS = rules.UNITS.astype(np.intp)
# [band, line in band, box, cell of the segment], first for rows, then for columns.
_BANDS = np.concatenate([_UNITS[:9].reshape(3, 3, 3, 3), _UNITS[9:18].reshape(3, 3, 3, 3)])


@numba.njit(cache=True)
def _narrow_unit(candidates, cells):
    """Applies singles within one unit.

    Returns:
      (whether a solution may still exist, bit mask of the units that hold a changed cell).
    """
    # Bits of the digits that some cell can hold, that two or more can hold, and that are solved.
    once = np.uint16(0)
    twice = np.uint16(0)
    solved = np.uint16(0)
    for cell in cells:
        mask = candidates[cell]
        twice |= once & mask
        once |= mask
        if mask & (mask - 1) == 0:
            if mask & solved:
                return False, 0
            solved |= mask
    if once != ALL_CANDIDATES:
        # Some digit has no place left in this unit.
        return False, 0
    touched = 0
    if solved == ALL_CANDIDATES:
        return True, touched
    # Hidden singles: digits that exactly one cell, not yet solved, can hold.
    hidden = once & ~twice & ~solved
    for cell in cells:
        mask = candidates[cell]
        if mask & (mask - 1) == 0:
            continue
        # A hidden single goes first; otherwise the digits of solved cells are removed.
        narrowed = mask & hidden
        if narrowed == 0:
            narrowed = mask & ~solved
        elif narrowed & (narrowed - 1):  # two digits have this cell as their only place
            return False, 0
        if narrowed == 0:
            return False, 0
        if narrowed != mask:
            candidates[cell] = narrowed
            touched |= UNITS_OF_CELL[cell]
    return True, touched


@numba.njit(cache=True)
def _narrow_band(candidates, cells):
    """Confines digits to the segments of a band that alone can hold them.

    A band is three lines crossing three boxes, a segment the three cells where line and box meet. A
    digit that a line can hold in one segment only is removed from the rest of that box; one that a
    box can hold in one segment only is removed from the rest of that line.

    Returns:
      Bit mask of the units that hold a changed cell.
    """
    # Candidates of the three cells of each segment together.
    segment = np.zeros((3, 3), dtype=np.uint16)
    for line in range(3):
        for box in range(3):
            for k in range(3):
                segment[line, box] |= candidates[cells[line, box, k]]
    touched = 0
    for line in range(3):
        for box in range(3):
            barred = np.uint16(0)
            for step in range(1, 3):
                # Digits that another line can place in this box only, ...
                other = (line + step) % 3
                elsewhere = segment[other, (box + 1) % 3] | segment[other, (box + 2) % 3]
                barred |= segment[other, box] & ~elsewhere
                # ... and digits that another box can place in this line only.
                other = (box + step) % 3
                elsewhere = segment[(line + 1) % 3, other] | segment[(line + 2) % 3, other]
                barred |= segment[line, other] & ~elsewhere
            if segment[line, box] & barred == 0:
                continue
            for k in range(3):
                cell = cells[line, box, k]
                if candidates[cell] & barred:
                    candidates[cell] &= ~barred
                    touched |= UNITS_OF_CELL[cell]
    return touched


@numba.njit(cache=True)
def propagate(candidates, stale):
    """Applies singles, then segments, until nothing changes.

    Args:
      candidates: uint16[81], narrowed in place.
      stale: bit mask of the units with a cell that changed since the last propagation.

    Returns:
      Whether a solution may still exist.
    """
    # Segments cost more than singles, so bands wait until no unit is stale. Only rows and columns
    # are looked at to find stale bands: every cell lies in one of each.
    stale_bands = stale
    while stale:
        for unit in range(_UNITS.shape[0]):
            if stale >> unit & 1:
                possible, touched = _narrow_unit(candidates, _UNITS[unit])
                if not possible:
                    return False
                stale = (stale & ~(1 << unit)) | touched
                stale_bands |= touched
        if not stale:
            for band in range(_BANDS.shape[0]):
                if stale_bands >> (3 * band) & 0b111:
                    stale |= _narrow_band(candidates, _BANDS[band])
            stale_bands = stale
    return True
