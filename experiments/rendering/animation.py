"""Traces as an animated GIF: a frame for each step, the puzzles side by side."""

import io
from collections.abc import Sequence

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from experiments.rendering import board
from experiments.rendering.layout import axes_at, new_figure, write
from experiments.rendering.legend import draw_legend, legend_height
from experiments.rendering.trace import Trace

DPI = 100
STEP_MILLISECONDS = 700
HALT_MILLISECONDS = 1600
LAST_MILLISECONDS = 3000
_MOST_COLUMNS = 4
_GRID = 2.5
_GAP = 0.5
_EDGE = 0.3
_HEAD = 0.4
_ABOVE = 0.62
_BETWEEN = 0.3
_CURVE = 0.75
_SCALE = 0.35
_BELOW = 0.45
"""Inches: of grids, between them, to the edge, of the headline.

In a panel above the grid, between grid and curve, of the curve, of its scale, and below it.
"""
_PANEL = _ABOVE + _GRID + _BETWEEN + _CURVE + _BELOW


def to_gif(traces: Sequence[Trace]) -> bytes:
    """Returns the animation as a GIF; it pauses where a puzzle's model halts, and at the end."""
    last = max(trace.steps for trace in traces)
    frames = [_draw_frame(traces, step, last) for step in range(1, last + 1)]
    images = _in_few_colors(frames)
    file = io.BytesIO()
    images[0].save(
        file,
        format="GIF",
        save_all=True,
        append_images=images[1:],
        duration=durations(traces, last),
        loop=0,
        optimize=False,
    )
    return file.getvalue()


def _in_few_colors(frames: Sequence[np.ndarray]) -> list[Image.Image]:
    """Returns frames with one palette of their 256 most frequent colours, so that nothing flickers.

    Flat areas keep their colours exactly; other pixels, on edges, take the nearest. Pillow's own
    `quantize` is off by a few levels even where the palette has the colour.
    """
    # A colour as one integer, 0xRRGGBB, which `np.unique` sorts and counts quickly.
    weights = np.array([1 << 16, 1 << 8, 1], np.uint32)
    packed = [frame.astype(np.uint32) @ weights for frame in frames]
    found, counts = zip(*(np.unique(frame, return_counts=True) for frame in packed), strict=True)
    colors, place = np.unique(np.concatenate(found), return_inverse=True)
    total = np.bincount(place, weights=np.concatenate(counts))
    chosen = np.argsort(-total, kind="stable")[:256]
    # int: differences of uint8 would wrap around.
    channels = np.stack([colors >> 16, (colors >> 8) & 255, colors & 255], axis=1).astype(int)
    distance = ((channels[:, None] - channels[chosen][None]) ** 2).sum(-1)
    # A colour that was chosen has distance 0 to itself and stays exact.
    nearest = distance.argmin(1).astype(np.uint8)
    images = []
    for frame in packed:
        image = Image.fromarray(nearest[np.searchsorted(colors, frame)])
        image.putpalette(channels[chosen].ravel().tolist())
        images.append(image)
    return images


def durations(traces: Sequence[Trace], last: int) -> list[int]:
    """Returns for each of the steps 1..last how many milliseconds it is shown."""
    halts = {trace.halt for trace in traces}
    times = [HALT_MILLISECONDS if s in halts else STEP_MILLISECONDS for s in range(1, last + 1)]
    return [*times[:-1], LAST_MILLISECONDS]


def _draw_frame(traces: Sequence[Trace], step: int, last: int) -> np.ndarray:
    """Returns all puzzles after a step, uint8 [height, width, 3].

    A puzzle with fewer steps shows its last one.
    """
    columns = min(len(traces), _MOST_COLUMNS)
    rows = -(-len(traces) // columns)
    width = 2 * _EDGE + columns * (_GRID + _GAP) - _GAP
    legend = legend_height(width - 2 * _EDGE)
    height = _HEAD + rows * _PANEL + legend + _EDGE
    # All frames have one size, which a GIF requires.
    figure = new_figure(width, height, DPI)
    headline = f"step {step} of {last}"
    write(figure, _EDGE, height - 0.27, headline, points=11, bold=True, color=board.INK)
    for number, trace in enumerate(traces):
        row, column = divmod(number, columns)
        left = _EDGE + column * (_GRID + _GAP)
        _draw_panel(figure, trace, min(step, trace.steps), left, height - _HEAD - row * _PANEL)
    draw_legend(figure, _EDGE, _EDGE / 2, width - 2 * _EDGE)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    # Copied, as the buffer belongs to the canvas.
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _draw_panel(figure: Figure, trace: Trace, step: int, left: float, top: float) -> None:
    """Draws one puzzle: title, grid, and curve; `left` and `top` in inches."""
    bottom = top - _ABOVE - _GRID
    halts = step == trace.halt
    write(figure, left, top - 0.14, trace.title, points=9.5, bold=True, color=board.INK)
    color = board.INK if halts else board.SOFT
    write(figure, left, top - 0.37, moment(trace, step), bold=halts, color=color)
    board.draw_grid(axes_at(figure, left, bottom, _GRID, _GRID), trace, step)
    below = bottom - _BETWEEN - _CURVE
    curve = axes_at(figure, left + _SCALE, below, _GRID - _SCALE, _CURVE)
    board.draw_curve(curve, trace, [step])


def moment(trace: Trace, step: int) -> str:
    """Returns a line on whether the model is thinking or has halted, and whether it is right."""
    if step < trace.halt:
        where = "thinking"
    elif step == trace.halt:
        where = "■ halts here"
    else:
        where = f"□ halted at step {trace.halt}, thinking on"
    return where + (" ✓ solved" if trace.right[step - 1] else "")
