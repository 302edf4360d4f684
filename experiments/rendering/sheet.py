"""Traces as one PNG: a row for each puzzle, a column for each of a few steps, and the curve."""

import io
import itertools
from collections.abc import Sequence

from matplotlib.figure import Figure

from experiments.rendering import board
from experiments.rendering.layout import axes_at, new_figure, text_width, write
from experiments.rendering.legend import draw_legend, legend_height
from experiments.rendering.trace import Trace

COLUMNS = 5
DPI = 110
_GRID = 2.0
_GAP = 0.3
_CURVE = 2.5
_CURVE_HEIGHT = 1.25
_EDGE = 0.35
_ABOVE = 0.62
_BELOW = 0.25
_BETWEEN = 0.22
"""Inches: of grids, between them, of curves, to the edge; over, under and between rows."""


def chosen_steps(trace: Trace, most: int = COLUMNS) -> list[int]:
    """Returns the first step, the halt, the solution, the last step, and what best fills the gaps.

    Args:
      trace: the thoughts.
      most: how many steps to choose, at least 4; all if there are no more.
    """
    chosen = {1, trace.halt, trace.solved or trace.halt, trace.steps}
    while len(chosen) < min(most, trace.steps):
        ordered = sorted(chosen)
        gaps = [(b - a, -a) for a, b in itertools.pairwise(ordered) if b - a > 1]
        # What leads to the halt tells more than what follows it.
        before = [gap for gap in gaps if -gap[1] < trace.halt]
        # Start is negated, so that of equally long gaps the earliest is taken; length // 2 - start
        # is its middle.
        length, start = max(before or gaps)
        chosen.add(length // 2 - start)
    return sorted(chosen)


def to_png(traces: Sequence[Trace]) -> bytes:
    """Returns the picture as a PNG."""
    steps = [chosen_steps(trace) for trace in traces]
    # Puzzles with fewer steps leave columns free, so that all curves stand below each other.
    columns = max(map(len, steps))
    width = 2 * _EDGE + columns * (_GRID + _GAP) + 0.4 + _CURVE
    row = _ABOVE + _GRID + _BELOW + _BETWEEN
    legend = legend_height(width - 2 * _EDGE)
    height = _EDGE + len(traces) * row + legend + _EDGE / 2
    figure = new_figure(width, height, DPI)
    for number, (trace, chosen) in enumerate(zip(traces, steps, strict=True)):
        _draw_row(figure, trace, chosen, height - _EDGE / 2 - number * row)
    draw_legend(figure, _EDGE, _EDGE / 2, width - 2 * _EDGE)
    file = io.BytesIO()
    figure.savefig(file, format="png", dpi=DPI)
    return file.getvalue()


def _draw_row(figure: Figure, trace: Trace, steps: Sequence[int], top: float) -> None:
    """Draws a puzzle's title, its grids with their captions, and its curve; `top` in inches."""
    bottom = top - _ABOVE - _GRID
    write(figure, _EDGE, top - 0.14, trace.title, points=10, bold=True, color=board.INK)
    space = 0.2 if trace.title else 0
    after_title = _EDGE + text_width(trace.title, 10, bold=True) + space
    write(figure, after_title, top - 0.14, verdict(trace))
    for column, step in enumerate(steps):
        left = _EDGE + column * (_GRID + _GAP)
        board.draw_grid(axes_at(figure, left, bottom, _GRID, _GRID), trace, step)
        halts = step == trace.halt
        style = {"bold": True, "color": board.INK} if halts else {}
        write(figure, left, top - 0.45, f"step {step}" + (", halts" if halts else ""), **style)
        conflicts = int(trace.conflicts[step - 1].sum())
        sure = f"{trace.halt_confidence[step - 1]:.0%} sure, {conflicts} in conflict"
        write(figure, left, bottom - 0.17, sure, points=8)
    left = figure.get_figwidth() - _EDGE - _CURVE
    middle = bottom + (_GRID - _CURVE_HEIGHT) / 2
    board.draw_curve(axes_at(figure, left, middle, _CURVE, _CURVE_HEIGHT), trace, steps)
    write(figure, left, middle + _CURVE_HEIGHT + 0.2, "sure that all cells are right")


def verdict(trace: Trace) -> str:
    """Returns a line on whether, and when, the puzzle was solved."""
    if trace.solved is None:
        return "✗ not solved"
    late = ", after the halt" if trace.solved > trace.halt else ""
    return f"✓ solved at step {trace.solved}{late}"
