"""What people see of Sudoku."""

import io

import numpy as np
from rich.console import Console

from experiments.sudoku import display
from hrm_jax.data.sudoku import rules


def test_a_grid_is_drawn_in_boxes():
    puzzle = rules.parse("53" + "." * 79)
    lines = display.render_grid(puzzle, puzzle).plain.splitlines()
    assert lines[0] == "5 3 . | . . . | . . . "
    assert lines[3] == "------+-------+------"
    assert len(lines) == 11


def test_givens_proposals_and_conflicts_differ_in_style():
    puzzle = rules.parse("1" + "." * 80)
    proposal = rules.parse("1213" + "." * 77)
    text = display.render_grid(puzzle, proposal)
    styles = [str(text.get_style_at_offset(Console(), offset)) for offset in (0, 2, 4, 8)]
    assert styles == ["bold red", "blue", "red", "blue"]


def test_the_table_has_a_row_a_band_and_one_for_all():
    console = Console(file=io.StringIO(), width=100)
    row = {"count": 2, "cell_accuracy": 0.5, "exact_accuracy": 0.25, "mean_steps": 3.5}
    row |= {"valid_share": 0.375, "puzzles_per_second": 12.25}
    report = {**row, "count": 7, "by_rating": {"0": row, "21+": row}, "puzzles_per_second": 1.0}
    console.print(display.accuracy_table(report, "title [csv]"), markup=False)
    lines = [line.strip("│ ").split("│") for line in console.file.getvalue().splitlines()]
    rows = [[cell.strip() for cell in cells] for cells in lines if len(cells) == 8]
    assert rows == [
        ["0", "25.00%", "2.7-80.2", "2", "50.00%", "37.50%", "3.5", "12.2"],
        ["21+", "25.00%", "2.7-80.2", "2", "50.00%", "37.50%", "3.5", "12.2"],
        ["all", "25.00%", "6.6-61.1", "7", "50.00%", "37.50%", "3.5", "1.0"],
    ]


def test_a_blank_cell_is_a_dot():
    blank = np.zeros(81, np.uint8)
    assert display.render_grid(blank, blank).plain.count(".") == 81
