"""Places on a figure in inches, from its lower left corner."""

import functools

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties
from matplotlib.textpath import TextPath

from experiments.rendering import board


def new_figure(width: float, height: float, dpi: int) -> Figure:
    """Returns an empty figure with a canvas of its own: no display, no global state."""
    figure = Figure(figsize=(width, height), dpi=dpi, facecolor=board.PAPER)
    FigureCanvasAgg(figure)
    return figure


def axes_at(figure: Figure, left: float, bottom: float, width: float, height: float) -> Axes:
    """Returns new axes that fill a rectangle."""
    across, up = figure.get_size_inches()
    return figure.add_axes((left / across, bottom / up, width / across, height / up))


def write(
    figure: Figure,
    left: float,
    middle: float,
    text: str,
    *,
    points: float = 8.5,
    bold: bool = False,
    color: str = board.SOFT,
) -> None:
    """Writes a line that begins at `left` and is centred vertically on `middle`."""
    across, up = figure.get_size_inches()
    weight = "bold" if bold else "normal"
    line = figure.text(left / across, middle / up, text, fontsize=points, color=color, va="center")
    line.set(fontfamily=board.FONT, weight=weight)


@functools.cache
def text_width(text: str, points: float, *, bold: bool = False) -> float:
    """Returns the width of a line in inches."""
    font = FontProperties(family=board.FONT, weight="bold" if bold else "normal")
    # 72 points are an inch. The width of the path, not of a rendered text: no canvas is needed.
    return TextPath((0, 0), text, size=points, prop=font).get_extents().width / 72 if text else 0.0
