"""Each mark is where it should be: pixels are compared with and without it."""

import dataclasses
import itertools

import numpy as np
import pytest
from matplotlib.colors import to_rgb

from experiments.rendering import board
from experiments.rendering.layout import axes_at, new_figure

PIXELS = 20
MARGIN = 2
DPI = 80
"""Of a cell's side; what is left around the grid, in cells; pixels an inch."""
CELL = 40  # r5c5, a blank of the puzzle
AROUND = [30, 31, 32, 39, CELL, 41, 48, 49, 50]


def paint(draw, *arguments) -> np.ndarray:
    """RGB in [0, 1] of what `draw` paints, with so much around the grid."""
    cell = PIXELS / DPI
    figure = new_figure((9 + 2 * MARGIN) * cell, (9 + 2 * MARGIN) * cell, DPI)
    axes = axes_at(figure, MARGIN * cell, MARGIN * cell, 9 * cell, 9 * cell)
    axes.set(xlim=(0, 9), ylim=(9, 0))
    axes.axis("off")
    draw(axes, *arguments)
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())[..., :3] / 255


def cells_that_differ(one: np.ndarray, other: np.ndarray) -> set[int]:
    """The cells where two pictures differ; -1 for around the grid."""
    rows, columns = np.nonzero((one != other).any(-1))
    rows = rows // PIXELS - MARGIN
    columns = columns // PIXELS - MARGIN
    inside = (rows >= 0) & (rows < 9) & (columns >= 0) & (columns < 9)
    return set(np.where(inside, rows * 9 + columns, -1).tolist())


def near(picture: np.ndarray, color: str) -> np.ndarray:
    return np.abs(picture - np.array(to_rgb(color))).max(-1) < 0.02


@pytest.fixture
def cells(trace):
    """The solution in the middle box, with no mark in it."""
    cells = dataclasses.replace(board.cells_of(trace, 4), confidence=np.full(81, 0.5))
    fields = dataclasses.fields(cells)
    return board.Cells(**{field.name: getattr(cells, field.name)[AROUND] for field in fields})


def change(cells, **values):
    arrays = {name: getattr(cells, name).copy() for name in values}
    for name, value in values.items():
        arrays[name][AROUND.index(CELL)] = value
    return dataclasses.replace(cells, **arrays)


@pytest.mark.parametrize(
    "mark",
    [
        {"conflict": True},
        {"changed": True},
        {"given": 4},
        {"given": 5},
        {"digit": 7},
        {"digit": 0},
        {"confidence": 0.9},
        {"given": 5, "conflict": True},
        {"given": 5, "digit": 0},
    ],
    ids=str,
)
def test_a_mark_is_seen_in_its_cell_alone(cells, mark):
    assert cells.digit[AROUND.index(CELL)] == 5
    pictures = [paint(board.draw_cells, given) for given in (cells, change(cells, **mark))]
    assert cells_that_differ(*pictures) == {CELL}


@pytest.mark.parametrize(
    "mark", [{"conflict": True}, {"changed": True}, {"given": 5}, {"confidence": 0.9}], ids=str
)
def test_a_mark_is_seen_without_colour(cells, mark, monkeypatch):
    for name in ("INK", "PREDICTED", "CONFLICT"):
        monkeypatch.setattr(board, name, "#000000")
    for name in ("TILE", "GIVEN"):
        monkeypatch.setattr(board, name, "#cccccc")
    pictures = [paint(board.draw_cells, given) for given in (cells, change(cells, **mark))]
    assert cells_that_differ(*pictures) == {CELL}


@pytest.mark.parametrize("confidence", [0.0, 0.1, 0.3, 1.0])
def test_the_area_of_a_tile_is_the_confidence(trace, confidence, monkeypatch):
    monkeypatch.setattr(board, "_DIGIT_SIZE", 1e-6)  # nothing in front of the tiles
    cells = board.cells_of(trace, 4)
    cells = dataclasses.replace(cells, confidence=np.full(81, confidence))
    blue = (1 - paint(board.draw_cells, cells)[..., 0]) / (1 - to_rgb(board.TILE)[0])
    blanks = (trace.givens == 0).reshape(9, 9).repeat(PIXELS, 0).repeat(PIXELS, 1)
    found = blue[MARGIN * PIXELS : -MARGIN * PIXELS, MARGIN * PIXELS : -MARGIN * PIXELS][blanks]
    assert found.mean() == pytest.approx(0.93**2 * confidence, abs=0.06)


def test_the_frame_tells_the_halt(trace):
    pictures = [paint(board.draw_grid, trace, step) for step in (3, 4, 5)]
    column = int((MARGIN - 0.22) * PIXELS)  # the frame's left side
    rows = slice(MARGIN * PIXELS, -MARGIN * PIXELS)
    # The darkest pixel of each row: a thin line may lie between two columns.
    before, halting, after = (p[rows, column - 1 : column + 2].max(-1).min(-1) for p in pictures)
    assert (before == 1).all()
    assert (halting < 0.5).all()
    assert (after < 0.7).any()
    assert (after > 0.9).any()


def test_the_curve_shows_the_confidence_the_halt_and_the_step(trace):
    picture = paint(board.draw_curve, trace, [2])
    flat = dataclasses.replace(trace, halt_confidence=np.full(6, 0.5, np.float32))
    later = dataclasses.replace(trace, halt=5)
    for other in (flat, later):
        assert cells_that_differ(picture, paint(board.draw_curve, other, [2]))
    assert cells_that_differ(picture, paint(board.draw_curve, trace, [3]))
    assert near(picture, board.PREDICTED).any()
    assert near(picture, board.INK).any()


@pytest.mark.parametrize("halt", range(1, 7))
def test_labels_of_the_curve_do_not_overlap(trace, halt):
    figure = new_figure(4, 2, 100)
    axes = axes_at(figure, 1, 0.5, 2.15, 1)
    board.draw_curve(axes, dataclasses.replace(trace, halt=halt), [])
    figure.canvas.draw()
    labels = [label for label in axes.get_xticklabels() if label.get_text()]
    assert f"halts at {halt}" in [label.get_text() for label in labels]
    boxes = sorted((label.get_window_extent() for label in labels), key=lambda box: box.x0)
    assert all(one.x1 < other.x0 for one, other in itertools.pairwise(boxes))
    assert boxes[0].x0 > 0
    assert boxes[-1].x1 < 400
