"""Puts grids together of lines that hold a row each."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence

from hrm_jax.data.sudoku import cell_text, rules
from hrm_jax.data.sudoku.tables import Problem, Record


@dataclasses.dataclass(frozen=True)
class Row:
    """A line that may be a row of a grid.

    Attributes:
      line: its number.
      cells: as `cell_text.compact` returns them.
    """

    line: int
    cells: str

    @property
    def usable(self) -> bool:
        """Whether it is a row of nine cells."""
        return len(self.cells) == rules.SIDE and cell_text.are_cells(self.cells)

    @property
    def has_digit(self) -> bool:
        """Whether a cell is not blank."""
        return not set("123456789").isdisjoint(self.cells)

    @property
    def frame_blanks(self) -> frozenset[str]:
        """Those of `cell_text.FRAME_BLANKS` that occur."""
        return cell_text.FRAME_BLANKS.intersection(self.cells)


def read_grids(groups: Iterable[Sequence[Row]]) -> Iterator[Record | Problem]:
    """Yields the grids of rows that stand between two boundaries.

    Args:
      groups: rows between blank lines. Those that together make a grid are one; a group that does
        not fit behind the rows before it begins another grid.
    """
    pending: list[Row] = []
    for rows in groups:
        # Rows that would overfill a grid begin the next one; what came before is judged by itself.
        if pending and len(pending) + len(rows) > _side_of([*pending, *rows]):
            yield from _cut(pending)
            pending = []
        pending += rows
        if len(pending) % _side_of(pending) == 0:
            yield from _cut(pending)
            pending = []
    yield from _cut(pending)


def _side_of(rows: Sequence[Row]) -> int:
    """Returns how many rows make a grid."""
    widths = {len(row.cells) for row in rows}
    width = widths.pop() if len(widths) == 1 else rules.SIDE
    # Rows of fewer cells are more often damaged ones than those of a small puzzle.
    whole = width > rules.SIDE or len(rows) % max(width, 1) == 0
    return width if width in cell_text.OTHER_SIDES and whole else rules.SIDE


def _cut(rows: Sequence[Row]) -> Iterator[Record | Problem]:
    """Yields the grids of successive rows."""
    side = _side_of(rows)
    if len(rows) > side and len(rows) % side:
        # Which row is missing is not known: any cut would make puzzles that nobody gave.
        yield Problem(rows[0].line, _explain_rows(rows, side))
        return
    # Fewer rows than a grid has are one piece here, and `_of_rows` says what is missing.
    for first in range(0, len(rows), side):
        yield _of_rows(rows[first : first + side], side)


def _explain_rows(rows: Sequence[Row], side: int) -> str:
    odd = next((row for row in rows if len(row.cells) != side), None)
    hint = "" if odd is None else f"; line {odd.line} has {len(odd.cells)} cell(s)"
    return (
        f"up to line {rows[-1].line} there are {len(rows)} rows, which is no multiple of"
        f" {side}{hint}: complete the grids, and part them by a blank line"
    )


def _of_rows(rows: Sequence[Row], side: int) -> Record | Problem:
    """Returns the grid of rows, at most as many as make one."""
    first = rows[0]
    if side != rules.SIDE and len(rows) == side:
        return Problem(first.line, cell_text.explain_side(side))
    if len(rows) == 1:
        return Problem(first.line, cell_text.explain(first.cells))
    if len(rows) < rules.SIDE or side != rules.SIDE:
        return Problem(
            first.line,
            f"a grid has {rules.SIDE} rows of {rules.SIDE} cells, but up to line {rows[-1].line}"
            f" there are {len(rows)} rows, the first of {len(first.cells)} cells: complete it, and"
            " part grids by a blank line",
        )
    for row in rows:
        if not row.usable:
            return Problem(row.line, cell_text.explain_row(row.cells))
    return Record(first.line, "".join(row.cells for row in rows))
