"""The legend of a picture: samples of cells with their meaning."""

import numpy as np
from matplotlib.figure import Figure

from experiments.rendering import board
from experiments.rendering.board import Cells
from experiments.rendering.layout import axes_at, text_width

_POINTS = 8.0
_CELL = 0.2
_ROW = 0.3
_GAP = 0.3
"""Size of the text; side of a sample, height of a row, space between items: inches."""

# confidence of each sample cell, given, conflict, changed; and what they mean
_ITEMS: tuple[tuple[tuple[tuple[float, bool, bool, bool], ...], str], ...] = (
    (((1.0, True, False, False),), "given"),
    (
        ((0.2, False, False, False), (0.95, False, False, False)),
        "predicted: the larger the tile, the surer",
    ),
    (((0.7, False, False, True),), "changed in this step"),
    (((0.7, False, True, False),), "in conflict"),
    ((), "halts; dashed: has halted"),
)


def legend_rows(width: float) -> list[list[int]]:
    """Returns the items of each row of a legend that is `width` inches wide."""
    rows = [[]]
    used = 0.0
    for number, (samples, text) in enumerate(_ITEMS):
        needed = _item_width(samples, text)
        # An item that is wider than a row has one of its own.
        if rows[-1] and used + needed > width:
            rows.append([])
            used = 0.0
        rows[-1].append(number)
        used += needed + _GAP
    return rows


def legend_height(width: float) -> float:
    """Returns the height in inches of a legend that is `width` inches wide."""
    return _ROW * len(legend_rows(width))


def draw_legend(figure: Figure, left: float, bottom: float, width: float) -> None:
    """Draws the legend; places and sizes are inches from the lower left corner of the figure."""
    height = legend_height(width)
    axes = axes_at(figure, left, bottom, width, height)
    # In cells, as grids are, from the upper left corner.
    axes.set(xlim=(0, width / _CELL), ylim=(height / _CELL, 0))
    axes.axis("off")
    for row, numbers in enumerate(legend_rows(width)):
        x = 0.0
        # A sample is a cell high, and stands in the middle of its row.
        y = (row + 0.5) * _ROW / _CELL - 0.5
        for number in numbers:
            samples, text = _ITEMS[number]
            for place, sample in enumerate(samples):
                board.draw_cells(axes, _sample(x + 1.2 * place, y, *sample))
                board.draw_frame(axes, (x + 1.2 * place, y), 1, board.LINE, width=0.5)
            if not samples:
                board.draw_frame(axes, (x + 0.1, y + 0.1), 0.8)
            words = x + 1.2 * max(len(samples), 1) + 0.2
            meaning = axes.text(words, y + 0.5, text, fontsize=_POINTS, color=board.SOFT)
            meaning.set(fontfamily=board.FONT, va="center")
            x += (_item_width(samples, text) + _GAP) / _CELL


def _item_width(samples: tuple, text: str) -> float:
    """Returns the width of an item in inches."""
    return _CELL * (1.2 * max(len(samples), 1) + 0.2) + text_width(text, _POINTS)


def _sample(
    x: float, y: float, confidence: float, given: bool, conflict: bool, changed: bool
) -> Cells:
    """Returns one cell that holds a 5."""
    return Cells(
        corner=np.array([[x, y]]),
        digit=np.array([5], np.uint8),
        given=np.array([5 if given else 0], np.uint8),
        confidence=np.array([confidence]),
        conflict=np.array([conflict]),
        changed=np.array([changed]),
    )
