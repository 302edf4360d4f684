"""Parts of pictures: a grid at one step, and the curve of halting confidence.

Everything in a grid is a path in units of cells, digits included, so it looks the same at any
size.
"""

import dataclasses
import functools
from collections.abc import Iterable
from typing import Any

import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.axes import Axes
from matplotlib.font_manager import FontProperties
from matplotlib.patches import PathPatch, Rectangle
from matplotlib.path import Path
from matplotlib.textpath import TextPath
from matplotlib.transforms import Affine2D

from experiments.rendering.trace import Trace
from hrm_jax.data.sudoku import rules
from hrm_jax.data.sudoku.boards import SYMBOLS

FONT = "DejaVu Sans"  # comes with matplotlib: pictures do not depend on the machine
INK = "#1c2230"
SOFT = "#5d6472"
LINE = "#c9c6bd"
STRONG = "#454b59"
PAPER = "#ffffff"
GIVEN = "#ecebe5"
PREDICTED = "#17508f"
TILE = "#cfe1f6"
CONFLICT = "#a63a0b"
NOW = "#1f6fc4"
_TILE_SIDE = 0.93
_DIGIT_SIZE = 0.62
_RING_RADIUS = 0.41
_CORNER = 0.24


@dataclasses.dataclass(frozen=True)
class Cells:
    """N cells with their marks.

    Attributes:
      corner: top left corner of each, in cells to the right and down.
      digit: what is proposed, 0 for nothing.
      given: what the puzzle says, 0 for nothing.
      confidence: of the proposal, in [0, 1].
      conflict: the digit occurs again in a unit.
      changed: the digit is another than a step before.
    """

    corner: Float[np.ndarray, "N 2"]
    digit: UInt8[np.ndarray, " N"]
    given: UInt8[np.ndarray, " N"]
    confidence: Float[np.ndarray, " N"]
    conflict: Bool[np.ndarray, " N"]
    changed: Bool[np.ndarray, " N"]


def cells_of(trace: Trace, step: int) -> Cells:
    """Returns the cells after a step, which counts from 1."""
    rows, columns = np.divmod(np.arange(trace.board.num_cells), trace.board.side)
    return Cells(
        corner=np.stack([columns, rows], axis=1).astype(float),
        digit=trace.digits[step - 1],
        given=trace.givens,
        confidence=trace.cell_confidence[step - 1],
        conflict=trace.conflicts[step - 1],
        changed=trace.changed[step - 1],
    )


def draw_grid(axes: Axes, trace: Trace, step: int) -> None:
    """Draws the grid after a step, with a frame that is solid at the halt and dashed after it."""
    side = trace.board.side
    # The vertical axis points down, as rows are counted.
    axes.set(xlim=(0, side), ylim=(side, 0), aspect="equal")
    axes.axis("off")
    draw_cells(axes, cells_of(trace, step))
    for line in range(side + 1):
        axes.plot([line, line], [0, side], **_line_style(line % trace.board.box_columns == 0))
        axes.plot([0, side], [line, line], **_line_style(line % trace.board.box_rows == 0))
    if step >= trace.halt:
        halting = step == trace.halt
        style = {} if halting else {"color": SOFT, "width": 1.2, "dashed": True}
        draw_frame(axes, (-0.22, -0.22), side + 0.44, **style)


def _line_style(strong: bool) -> dict[str, Any]:
    style: dict[str, Any] = {"color": STRONG, "lw": 1.3, "zorder": 3}
    if not strong:
        style = {"color": LINE, "lw": 0.5, "zorder": 2}
    return {**style, "clip_on": False, "solid_capstyle": "projecting"}


def draw_frame(
    axes: Axes,
    corner: tuple[float, float],
    side: float,
    color: str = INK,
    width: float = 2.4,
    *,
    dashed: bool = False,
) -> None:
    """Draws a frame around cells; the default style marks the halt."""
    style = {"ec": color, "lw": width, "ls": (0, (3, 2)) if dashed else "-"}
    axes.add_patch(Rectangle(corner, side, side, fill=False, clip_on=False, zorder=3, **style))


def draw_cells(axes: Axes, cells: Cells) -> None:
    """Draws cells with their marks, but without the lines between them."""
    center = cells.corner + 0.5
    is_given = cells.given != rules.BLANK
    filled = cells.digit != rules.BLANK
    # A given that the proposal changed shows the proposed digit, and the given small and crossed
    # out.
    overwritten = is_given & (cells.digit != cells.given)
    kept = is_given & ~overwritten
    # Tiles first: patches are drawn in the order in which they are added, digits on top.
    _fill(axes, (_square(c, 1.0) for c in center[kept]), GIVEN)
    sure = filled & ~kept
    # The area of a tile, not its side, is in proportion to the confidence.
    sides = _TILE_SIDE * np.sqrt(cells.confidence[sure])
    _fill(axes, map(_square, center[sure], sides), TILE)
    for where, weight, color in (
        (kept, "bold", INK),
        (sure & ~cells.conflict, "normal", PREDICTED),
        (sure & cells.conflict, "normal", CONFLICT),
    ):
        _fill(axes, (_digit(d, weight, c) for d, c in _pairs(cells.digit, center, where)), color)
    for digit, c in _pairs(cells.given, center + np.array([[-0.34, 0.3]]), overwritten):
        _fill(axes, [_digit(digit, "bold", c, scale=0.5), _bar(c)], INK)
    corners = cells.corner[cells.changed] + np.array([[1.0, 0.0]])
    _fill(axes, map(_triangle, corners), PREDICTED)
    # Dotted around a given, which is in conflict by what the model wrote elsewhere.
    for where, style in ((cells.conflict & ~kept, "-"), (cells.conflict & kept, (0, (1, 1.2)))):
        rings = [Path.circle(tuple(c), _RING_RADIUS) for c in center[where]]
        _add(axes, rings, fill=False, ec=CONFLICT, lw=1.0, ls=style)


def draw_curve(axes: Axes, trace: Trace, steps: Iterable[int]) -> None:
    """Draws halting confidence over all steps: the halt a square and a line, `steps` as rings."""
    places = np.arange(1, trace.steps + 1)
    values = trace.halt_confidence
    halt = trace.halt
    style = {"color": PREDICTED, "lw": 1.6, "clip_on": False}
    # Both parts have the point of the halt, so that the curve has no gap.
    axes.plot(places[:halt], values[:halt], **style)
    axes.plot(places[halt - 1 :], values[halt - 1 :], ls=":", **style)
    axes.plot([halt, halt], [0, 1], color=INK, lw=1.4, clip_on=False)
    marked = [step for step in steps if step != halt]
    ring = {"marker": "o", "ls": "", "mfc": PAPER, "mec": NOW, "mew": 1.6, "ms": 5.5}
    axes.plot(marked, values[np.array(marked, int) - 1], **ring, clip_on=False, zorder=4)
    square = {"marker": "s", "color": INK, "ms": 5.5, "clip_on": False, "zorder": 5}
    axes.plot([halt], [values[halt - 1]], **square)
    axes.set(ylim=(0, 1), xlim=(1, max(trace.steps, 2)), yticks=(0, 0.5, 1))
    axes.set_yticklabels(["0%", "50%", "100%"])
    # The halt has its label; the ends of the scale make room for it.
    room = 0.2 * trace.steps
    ends = [end for end in (1, trace.steps) if abs(end - halt) > room]
    axes.set_xticks([*ends, halt], [*map(str, ends), f"halts at {halt}"])
    if abs(halt - 1) <= room:
        axes.get_xticklabels()[-1].set_horizontalalignment("left")
    elif abs(halt - trace.steps) <= room:
        axes.get_xticklabels()[-1].set_horizontalalignment("right")
    axes.grid(axis="y", color=LINE, lw=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(length=0, pad=6, labelsize=7.5, labelcolor=SOFT, labelfontfamily=FONT)
    axes.get_xticklabels()[-1].set(color=INK, weight="bold")
    axes.spines[:].set_visible(False)


def _pairs(digits: np.ndarray, places: np.ndarray, where: np.ndarray) -> Iterable:
    """Returns digits and places of the chosen cells."""
    return zip(digits[where].tolist(), places[where], strict=True)


def _fill(axes: Axes, paths: Iterable[Path], color: str) -> None:
    _add(axes, paths, fc=color, ec="none", lw=0)


def _add(axes: Axes, paths: Iterable[Path], **style) -> None:
    """Adds one patch made of many paths.

    One patch is drawn much faster than a patch for each path.
    """
    found = list(paths)
    if found:
        patch = PathPatch(Path.make_compound_path(*found), clip_on=False, **style)
        axes.add_patch(patch)


def _square(center: np.ndarray, side: float) -> Path:
    return Path.unit_rectangle().transformed(
        Affine2D().translate(-0.5, -0.5).scale(side).translate(*center)
    )


def _triangle(corner: np.ndarray) -> Path:
    x, y = corner
    return Path([(x - _CORNER, y), (x, y), (x, y + _CORNER), (x - _CORNER, y)], closed=True)


def _bar(center: np.ndarray) -> Path:
    """Returns the bar that crosses out a small digit."""
    return Path.unit_rectangle().transformed(
        Affine2D().translate(-0.5, -0.5).scale(0.26, 0.04).translate(*center)
    )


def _digit(digit: int, weight: str, center: np.ndarray, scale: float = 1.0) -> Path:
    size = _DIGIT_SIZE * scale
    # The vertical axis points down, so the glyph is mirrored.
    return _glyph(digit, weight).transformed(Affine2D().scale(size, -size).translate(*center))


@functools.cache
def _glyph(digit: int, weight: str) -> Path:
    """Returns a digit of size 1, centred on the origin."""
    font = FontProperties(family=FONT, weight=weight)
    path = TextPath((0, 0), SYMBOLS[digit], size=1, prop=font)
    # By the ink, not by the font's box: digits differ in width.
    box = path.get_extents()
    return path.transformed(Affine2D().translate(-(box.x0 + box.x1) / 2, -(box.y0 + box.y1) / 2))
