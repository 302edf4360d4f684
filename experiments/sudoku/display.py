"""What Sudoku shows on the terminal: tables of accuracy, and grids."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8
from rich.text import Text

from experiments.common.terminal import Table
from hrm_jax.data.sudoku import rules


def accuracy_table(report: Mapping[str, Any], title: str) -> Table:
    """Returns a report's measures by rating band, and over all puzzles."""
    table = Table(title=title)
    table.add_column("rating (guesses)")
    for name in ("solved", "puzzles", "cells right", "valid", "mean steps", "puzzles/s"):
        table.add_column(name, justify="right")
    for name, row in [*report["by_rating"].items(), ("all", report)]:
        if name == "all":
            table.add_section()
        table.add_row(
            name,
            f"{row['exact_accuracy']:.2%}",
            str(row["count"]),
            f"{row['cell_accuracy']:.2%}",
            f"{row['valid_share']:.2%}",
            f"{row['mean_steps']:.1f}",
            f"{row['puzzles_per_second']:.1f}",
        )
    return table


def render_grid(puzzle: UInt8[np.ndarray, "81"], proposal: UInt8[np.ndarray, "81"]) -> Text:
    """Returns a grid in colour: givens bold, filled cells blue, cells that conflict red.

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
