"""What an experiment shows on the terminal: progress, tables and Sudoku grids."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import UInt8
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from hrm_jax.data.sudoku import rules

ProgressCallback = Callable[[int, Mapping[str, float]], None]


@dataclasses.dataclass(frozen=True)
class Shown:
    """What the progress of a run says besides its steps.

    Attributes:
      unit: what a step is over, such as "puzzles".
      per_step: how many of them.
      averages: how each of a record's averages is written, by name.
    """

    unit: str
    per_step: int
    averages: Mapping[str, str]

    def text(self, averages: Mapping[str, float]) -> str:
        """The averages that are there."""
        forms = self.averages.items()
        return ", ".join(form.format(averages[name]) for name, form in forms if name in averages)


@contextmanager
def training_progress(
    console: Console, first_step: int, steps: int, shown: Shown
) -> Iterator[ProgressCallback]:
    """A live bar: steps and units a second, averages, time left.

    Where there is no terminal each record is a line instead.

    Args:
      console: where to show it.
      first_step: steps done before.
      steps: steps of the whole run.
      shown: the unit, and which averages.

    Yields:
      A callback for the step and its record (empty between records).
    """
    columns = [
        TextColumn("training"),
        BarColumn(bar_width=20),
        TextColumn("{task.completed:.0f}/{task.total:.0f}"),
        TextColumn("{task.fields[status]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
    with Progress(*columns, console=console, disable=not console.is_terminal) as progress:
        bar = progress.add_task("training", total=steps, completed=first_step, status="compiling")
        status: dict[str, float] = {}

        def update(step: int, averages: Mapping[str, float]) -> None:
            status.update(averages)
            rate = progress.tasks[bar].finished_speed or progress.tasks[bar].speed or 0.0
            text = f"{rate:.2f} steps/s, {rate * shown.per_step:,.0f} {shown.unit}/s"
            text += f", {shown.text(status)}" if status else ""
            progress.update(bar, completed=step, status=text)
            if averages and not console.is_terminal:
                console.print(f"step {step}/{steps}: {shown.text(averages)}", soft_wrap=True)

        yield update


@contextmanager
def counting_progress(
    console: Console, name: str, total: int, unit: str = "puzzles"
) -> Iterator[Callable[[int], None]]:
    """A live bar over a number of things; yields a callback for how many more are done."""
    columns = [
        TextColumn(name),
        BarColumn(bar_width=20),
        TextColumn(f"{{task.completed:.0f}}/{{task.total:.0f}} {unit}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    ]
    with Progress(
        *columns, console=console, disable=not console.is_terminal, transient=True
    ) as progress:
        bar = progress.add_task(name, total=total)
        yield lambda count: progress.update(bar, advance=count)


def accuracy_table(report: Mapping[str, Any], title: str) -> Table:
    """A report's measures by rating band, and over all puzzles."""
    table = Table(title=title)
    table.add_column("rating (guesses)")
    for name in ("puzzles", "cells right", "solved", "valid", "mean steps", "puzzles/s"):
        table.add_column(name, justify="right")
    for name, row in [*report["by_rating"].items(), ("all", report)]:
        if name == "all":
            table.add_section()
        table.add_row(
            name,
            str(row["count"]),
            f"{row['cell_accuracy']:.2%}",
            f"{row['exact_accuracy']:.2%}",
            f"{row['valid_share']:.2%}",
            f"{row['mean_steps']:.1f}",
            f"{row['puzzles_per_second']:.1f}",
        )
    return table


def render_grid(puzzle: UInt8[np.ndarray, "81"], proposal: UInt8[np.ndarray, "81"]) -> Text:
    """A grid in colour: givens bold, filled cells blue, cells that conflict red.

    Args:
      puzzle: the givens, 0 for a blank.
      proposal: what stands in every cell, 0 for nothing.
    """
    conflicting = rules.conflicts(proposal)
    text = Text()
    for row in range(rules.SIDE):
        if row in (3, 6):
            text.append("------+-------+------\n", style="dim")
        for column in range(rules.SIDE):
            cell = row * rules.SIDE + column
            if column in (3, 6):
                text.append("| ", style="dim")
            style = "bold" if puzzle[cell] else "blue"
            style += " red" if conflicting[cell] else ""
            text.append(f"{proposal[cell] or '.'} ", style=style)
        text.append("\n")
    return text
