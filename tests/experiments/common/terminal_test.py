"""What people see: progress and tables that fit."""

import io
import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from experiments.common import terminal

FORMS = {"exact_accuracy": "exact {:.1%}", "loss": "loss {:.3f}", "cell_accuracy": "cells {:.1%}"}
SHOWN = terminal.Shown("puzzles", per_step=8, averages=FORMS)
RECORD = {"loss": 1.25, "cell_accuracy": 0.5, "exact_accuracy": 0.125, "steps": 3.0}


@pytest.fixture
def console():
    return Console(file=io.StringIO(), width=100)


def live(width):
    """A console that takes itself for a terminal."""
    return Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)


def last_line(console):
    text = re.sub(r"\x1b\[[\d;?]*[a-zA-Z]", "", console.file.getvalue())
    return [line for line in re.split(r"[\r\n]", text) if line.strip()][-1]


def test_without_a_terminal_each_record_is_a_line(console):
    with terminal.training_progress(console, first_step=0, steps=4, shown=SHOWN) as progress:
        progress(1, {})
        progress(2, RECORD)
        progress(3, {})
        progress(4, {"loss": 1.0})
    lines = console.file.getvalue().strip().splitlines()
    assert len(lines) == 2
    assert lines[0].startswith("step 2/4: 50%, ")
    assert "exact 12.5%, loss 1.250, " in lines[0]
    assert "cells 50.0%, " in lines[0]
    assert "steps/s" in lines[0]
    assert lines[1].startswith("step 4/4: 100%, ")


def test_without_a_terminal_a_long_silence_is_broken(console, monkeypatch):
    monkeypatch.setattr(terminal, "SILENCE_SECONDS", 0.05)
    with terminal.live_line(console, "measure", 9, waits_for="writing") as line:
        time.sleep(0.2)
        line.update(3, ["50.0% pass"])
        time.sleep(0.2)
    lines = console.file.getvalue().splitlines()
    assert 4 <= len(lines) <= 8
    assert lines[0].startswith("measure 0/9, 0%, writing, ")
    assert lines[-1].startswith("measure 3/9, 33%, ")
    assert "50.0% pass" in lines[-1]


def test_what_says_enough_is_not_interrupted(console, monkeypatch):
    monkeypatch.setattr(terminal, "SILENCE_SECONDS", 0.5)
    with terminal.live_line(console, "measure", 9) as line:
        for count in range(9):
            line.update(count, record=f"{count}: ")
            time.sleep(0.01)
    assert len(console.file.getvalue().splitlines()) == 9


@pytest.mark.parametrize(
    ("width", "seen", "unseen"),
    [
        (40, [], ["exact", "loss", "steps/s"]),
        (60, ["exact 12.5%", "loss 1.250"], ["steps/s"]),
        (80, ["exact 12.5%", "loss 1.250", "steps/s"], ["━", "so far"]),
        (160, ["loss 1.250", "steps/s", "puzzles/s", "cells 50.0%", "so far", "━"], []),
    ],
)
def test_on_a_terminal_a_line_has_what_fits_and_what_matters_first(width, seen, unseen):
    console = live(width)
    with terminal.training_progress(console, first_step=2, steps=10_000, shown=SHOWN) as progress:
        progress(3, RECORD)
        progress(269, {})
    line = last_line(console)
    assert line.startswith("train 269/10000")
    assert "3%  left " in line
    for text in seen:
        assert text in line
    for text in unseen:
        assert text not in line
    assert len(line) < width


def test_evaluation_counts_puzzles():
    console = live(80)
    with terminal.counting_progress(console, "evaluating", total=10) as progress:
        progress(4)
        progress(6)
    assert "evaluating 10/10 puzzles  100%" in console.file.getvalue()


@given(
    st.lists(st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1), min_size=1),
    st.integers(1, 200),
    st.floats(0, 1),
)
def test_a_line_is_never_wider_than_the_terminal_but_for_its_first_part(parts, width, share):
    text = terminal.fit_line(parts, width, share)
    assert text.plain.startswith(parts[0])
    assert text.cell_len <= max(width, len(parts[0]))


def wide_table():
    table = terminal.Table(title="a title that is much longer than the table may well be at forty")
    for heading in ("model", "puzzles solved", "cells right", "mean steps", "puzzles a second"):
        table.add_column(heading, justify="left" if heading == "model" else "right")
    table.add_row("hrm", "12.3 %", "99.99 %", "12.25", "1,234.5")
    return table


def printed(table, width):
    console = Console(file=io.StringIO(), width=width)
    console.print(table)
    return console.file.getvalue()


def test_a_table_with_room_is_as_rich_has_it():
    text = printed(wide_table(), 100)
    assert "puzzles solved" in text
    assert "puzzles a second" in text


def test_headings_are_stacked_before_anything_is_left_out():
    text = printed(wide_table(), 60)
    assert "puzzles solved" not in text
    assert "1,234.5" in text
    assert "more columns" not in text
    assert "…" not in text


def test_the_last_columns_are_left_out_where_they_do_not_fit_and_the_caption_says_so():
    text = printed(wide_table(), 36)
    assert "12.3 %" in text
    assert "1,234.5" not in text
    assert "more columns" in text.replace("\n", " ")
    assert max(map(len, text.splitlines())) <= 36
    assert "…" not in text


def test_a_table_is_not_changed_by_being_printed():
    table = wide_table()
    printed(table, 36)
    assert len(table.columns) == 5
    assert "1,234.5" in printed(table, 100)


def test_a_file_has_room_for_wide_tables():
    console = terminal.make_console(file=io.StringIO())
    assert console.width == terminal.FILE_COLUMNS
    assert terminal.make_console(file=io.StringIO(), width=50).width == 50


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (59.6, "1:00"), (3599, "59:59"), (3600, "1:00:00")]
)
def test_times(seconds, text):
    assert terminal._clock(seconds) == text
