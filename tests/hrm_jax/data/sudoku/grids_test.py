"""Rows become grids, however blank lines part them; what does not make one is a problem."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.data.sudoku.grids import Row, read_grids
from hrm_jax.data.sudoku.tables import Problem, Record


def read(*sizes, width=9):
    """Reads groups of so many rows, a blank line between them."""
    groups = []
    line = 1
    for size in sizes:
        groups.append([Row(number, width * "1") for number in range(line, line + size)])
        line += size + 1
    return list(read_grids(groups))


@pytest.mark.parametrize(
    ("sizes", "lines"),
    [
        ((9,), [1]),
        ((3, 3, 3), [1]),
        ((1,) * 9, [1]),
        ((6, 3), [1]),
        ((18,), [1, 10]),
        ((9, 0, 9), [1, 12]),
        ((3, 3, 3, 9), [1, 13]),
    ],
)
def test_nine_rows_are_a_grid(sizes, lines):
    assert read(*sizes) == [Record(line, 81 * "1") for line in lines]


@pytest.mark.parametrize(
    ("sizes", "kinds"),
    [
        ((8,), [Problem]),
        ((8, 9), [Problem, Record]),
        ((9, 8), [Record, Problem]),
        ((3, 3, 2, 9), [Problem, Record]),
        ((10,), [Problem]),
        ((17,), [Problem]),
        ((9, 17, 9), [Record, Problem, Record]),
        ((), []),
    ],
)
def test_other_rows_are_a_problem_and_leave_grids_beside_them(sizes, kinds):
    assert [type(item) for item in read(*sizes)] == kinds


@pytest.mark.parametrize("width", [4, 6, 16, 25])
def test_grids_of_other_sizes_are_named(width):
    (problem,) = read(width, width=width)
    assert isinstance(problem, Problem)
    assert f"a puzzle of {width}x{width} cells" in problem.message


@given(st.lists(st.integers(0, 20), max_size=8))
def test_no_row_is_lost(sizes):
    found = read(*sizes)
    whole = sum(isinstance(item, Record) for item in found)
    rows = sum(sizes)
    assert 9 * whole <= rows
    assert (9 * whole < rows) == any(isinstance(item, Problem) for item in found)
