"""What people see."""

import io

import pytest
from rich.console import Console

from experiments.common import terminal

FORMS = {"loss": "loss {:.3f}", "cell_accuracy": "cells {:.1%}", "exact_accuracy": "exact {:.1%}"}
SHOWN = terminal.Shown("puzzles", per_step=8, averages=FORMS)


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=100)


@pytest.fixture
def live():
    """A console that takes itself for a terminal."""
    return Console(file=io.StringIO(), width=200, force_terminal=True, color_system=None)


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
