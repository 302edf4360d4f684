"""What Sudoku shows on the terminal: tables of accuracy, and grids."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from jaxtyping import UInt8
from rich.text import Text

from experiments.common.terminal import Table
from hrm_jax.data.sudoku.boards import SYMBOLS, USUAL, Board, conflicts
from hrm_jax.evaluation.accuracy import interval


def accuracy_table(report: Mapping[str, Any], title: str) -> Table:
    """Returns a report's measures by rating band, and over all puzzles."""
    table = Table(title=title)
    table.add_column("rating (guesses)")
    for name in ("solved", "95 %", "puzzles", "cells right", "valid", "mean steps", "puzzles/s"):
        table.add_column(name, justify="right")
    for name, row in [*report["by_rating"].items(), ("all", report)]:
        if name == "all":
            table.add_section()
        table.add_row(
            name,
            f"{row['exact_accuracy']:.2%}",
            show_interval(row["exact_accuracy"], row["count"]),
            str(row["count"]),
            f"{row['cell_accuracy']:.2%}",
            f"{row['valid_share']:.2%}",
            f"{row['mean_steps']:.1f}",
            f"{row['puzzles_per_second']:.1f}",
        )
    return table


def show_interval(share: float, count: int) -> str:
    """Returns the 95 % interval of a share in percent, such as `93.1-97.2`."""
    low, high = interval(share, count)
    return f"{100 * low:.1f}-{100 * high:.1f}"


def render_grid(
    puzzle: UInt8[np.ndarray, " T"], proposal: UInt8[np.ndarray, " T"], board: Board = USUAL
) -> Text:
    """Returns a grid in colour: givens bold, filled cells blue, cells that conflict red.

    Args:
      puzzle: the givens, 0 for a blank.
      proposal: what stands in every cell, 0 for nothing.
      board: where they stand.
    """
    conflicting = conflicts(proposal, board)
    columns = board.box_columns
    # Between the bars of two boxes a space stands before the first digit, at the left edge none.
    bars = ["-" * (2 * columns + bool(box)) for box in range(board.box_rows)]
    between = "+".join([bars[0], *bars[1:]])[:-1] + "\n"
    text = Text()
    for row in range(board.side):
        if row and row % board.box_rows == 0:
            text.append(between, style="dim")
        for column in range(board.side):
            cell = row * board.side + column
            if column and column % columns == 0:
                text.append("| ", style="dim")
            # Red comes beside the other style, so that a given in conflict is still told apart.
            style = "bold" if puzzle[cell] else "blue"
            style += " red" if conflicting[cell] else ""
            text.append(f"{SYMBOLS[proposal[cell]]} ", style=style)
        text.append("\n")
    return text
