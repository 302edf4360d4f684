import dataclasses
import io

import numpy as np
import pytest
from PIL import Image

from experiments.rendering import board, sheet
from experiments.rendering.trace import Trace


def long_trace(steps: int, halt: int) -> Trace:
    return Trace(
        givens=np.zeros(81, np.uint8),
        digits=np.zeros((steps, 81), np.uint8),
        cell_confidence=np.ones((steps, 81)),
        halt_confidence=np.ones(steps),
        halt=halt,
    )


@pytest.mark.parametrize(
    ("steps", "halt", "chosen"),
    [
        (1, 1, [1]),
        (4, 2, [1, 2, 3, 4]),
        (16, 16, [1, 4, 8, 12, 16]),
        (16, 9, [1, 3, 5, 9, 16]),
        (16, 1, [1, 4, 8, 12, 16]),
        (16, 2, [1, 2, 5, 9, 16]),
        (64, 3, [1, 2, 3, 33, 64]),
    ],
)
def test_first_halting_and_last_steps_are_chosen_and_the_way_between(steps, halt, chosen):
    assert sheet.chosen_steps(long_trace(steps, halt)) == chosen


@pytest.mark.parametrize("halt", range(1, 7))
def test_the_solving_step_is_chosen(trace, halt):
    halting = dataclasses.replace(trace, halt=halt)
    chosen = sheet.chosen_steps(halting, most=4)
    assert {1, halt, halting.solved, 6} <= set(chosen)
    assert len(chosen) == 4


def open_png(traces) -> Image.Image:
    image = Image.open(io.BytesIO(sheet.to_png(traces)))
    assert image.format == "PNG"
    return image.convert("RGB")


def test_a_puzzle_is_a_row(traces):
    one = open_png(traces[:1])
    two = open_png(traces)
    assert one.width == two.width == round(sheet.DPI * (0.7 + 5 * 2.3 + 0.4 + 2.5))
    assert two.height - one.height == round(sheet.DPI * 3.09)


def test_grids_are_those_of_the_chosen_steps(traces, monkeypatch):
    drawn = []

    def draw_grid(axes, trace, step):
        box = axes.get_position()
        drawn.append((trace.title, step, round(box.x0, 3), round(box.y0, 3)))

    monkeypatch.setattr(board, "draw_grid", draw_grid)
    sheet.to_png(traces)
    titles, steps, lefts, bottoms = zip(*drawn, strict=True)
    assert titles == (traces[0].title,) * 5 + (traces[1].title,) * 2
    assert steps == (*sheet.chosen_steps(traces[0]), 1, 2)
    assert lefts[:2] == lefts[5:]  # columns
    assert bottoms[0] == bottoms[4] > bottoms[5] == bottoms[6]  # rows, from the top


def test_the_verdict_tells_the_step(traces):
    assert sheet.verdict(traces[0]) == "✓ solved at step 4"
    assert sheet.verdict(traces[1]) == "✗ not solved"
    early = dataclasses.replace(traces[0], halt=2)
    assert sheet.verdict(early) == "✓ solved at step 3, after the halt"


def test_the_same_traces_give_the_same_bytes(traces):
    assert sheet.to_png(traces) == sheet.to_png(traces)
