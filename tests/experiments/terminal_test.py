"""What people see."""

import io

import numpy as np
import pytest
from rich.console import Console

from experiments import terminal
from hrm_jax.data.sudoku import rules

FORMS = {"loss": "loss {:.3f}", "cell_accuracy": "cells {:.1%}", "exact_accuracy": "exact {:.1%}"}
SHOWN = terminal.Shown("puzzles", per_step=8, averages=FORMS)


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=100)


@pytest.fixture
def live():
    """A console that takes itself for a terminal."""
    return Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)


def test_a_grid_is_drawn_in_boxes():
    puzzle = rules.parse("53" + "." * 79)
    lines = terminal.render_grid(puzzle, puzzle).plain.splitlines()
    assert lines[0] == "5 3 . | . . . | . . . "
    assert lines[3] == "------+-------+------"
    assert len(lines) == 11


def test_givens_proposals_and_conflicts_differ_in_style():
    puzzle = rules.parse("1" + "." * 80)
    proposal = rules.parse("1213" + "." * 77)
    text = terminal.render_grid(puzzle, proposal)
    styles = [str(text.get_style_at_offset(Console(), offset)) for offset in (0, 2, 4, 8)]
    assert styles == ["bold red", "blue", "red", "blue"]


def test_without_a_terminal_each_record_is_a_line(console):
    with terminal.training_progress(console, first_step=0, steps=4, shown=SHOWN) as progress:
        progress(1, {})
        progress(2, {"loss": 1.25, "cell_accuracy": 0.5, "exact_accuracy": 0.125, "steps": 3.0})
        progress(3, {})
        progress(4, {"loss": 1.0})
    assert console.file.getvalue().strip().splitlines() == [
        "step 2/4: loss 1.250, cells 50.0%, exact 12.5%",
        "step 4/4: loss 1.000",
    ]


def test_on_a_terminal_a_bar_shows_steps_speed_and_measures(live):
    with terminal.training_progress(live, first_step=2, steps=4, shown=SHOWN) as progress:
        progress(3, {"loss": 1.25})
        progress(4, {})
    text = live.file.getvalue()
    assert "training" in text
    assert "4/4" in text
    assert "puzzles/s, loss 1.250" in text
    assert "step 3/4:" not in text


def test_evaluation_counts_puzzles(live):
    with terminal.counting_progress(live, "evaluating", total=10) as progress:
        progress(4)
        progress(6)
    assert "evaluating" in live.file.getvalue()
    assert "10/10 puzzles" in live.file.getvalue()


def test_the_table_has_a_row_a_band_and_one_for_all(console):
    row = {"count": 2, "cell_accuracy": 0.5, "exact_accuracy": 0.25, "mean_steps": 3.5}
    row |= {"valid_share": 0.375, "puzzles_per_second": 12.25}
    report = {**row, "count": 7, "by_rating": {"0": row, "21+": row}, "puzzles_per_second": 1.0}
    console.print(terminal.accuracy_table(report, "title [csv]"), markup=False)
    lines = [line.strip("│ ").split("│") for line in console.file.getvalue().splitlines()]
    rows = [[cell.strip() for cell in cells] for cells in lines if len(cells) == 7]
    assert rows == [
        ["0", "2", "50.00%", "25.00%", "37.50%", "3.5", "12.2"],
        ["21+", "2", "50.00%", "25.00%", "37.50%", "3.5", "12.2"],
        ["all", "7", "50.00%", "25.00%", "37.50%", "3.5", "1.0"],
    ]


def test_a_blank_cell_is_a_dot():
    blank = np.zeros(81, np.uint8)
    assert terminal.render_grid(blank, blank).plain.count(".") == 81
