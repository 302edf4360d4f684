import itertools

import numpy as np
import pytest

from experiments.rendering.layout import new_figure, text_width, write
from experiments.rendering.legend import draw_legend, legend_height, legend_rows

EDGE = 0.25


@pytest.mark.parametrize(("width", "rows"), [(12.0, 1), (5.0, 2), (1.0, 5)])
def test_the_legend_breaks_into_rows_that_fit(width, rows):
    found = legend_rows(width)
    assert len(found) == rows
    assert list(itertools.chain(*found)) == list(range(5))
    assert legend_height(width) == pytest.approx(0.3 * rows)


@pytest.mark.parametrize("width", [12.0, 4.0, 3.0])
def test_the_legend_stays_in_its_place(width):
    figure = new_figure(width + 2 * EDGE, legend_height(width) + 2 * EDGE, 100)
    draw_legend(figure, EDGE, EDGE, width)
    figure.canvas.draw()
    rows, columns = np.nonzero((np.asarray(figure.canvas.buffer_rgba())[..., :3] < 255).any(-1))
    for places, length in ((columns, figure.get_figwidth()), (rows, figure.get_figheight())):
        assert places.min() >= 100 * EDGE - 2
        assert places.max() <= 100 * (length - EDGE) + 2


@pytest.mark.parametrize("bold", [False, True])
def test_text_is_as_wide_as_it_is_measured(bold):
    figure = new_figure(4, 1, 200)
    write(figure, 1, 0.5, "Puzzle 12", points=10, bold=bold)
    figure.canvas.draw()
    columns = np.nonzero((np.asarray(figure.canvas.buffer_rgba())[..., :3] < 255).any(-1))[1]
    assert columns.min() / 200 == pytest.approx(1, abs=0.03)
    assert np.ptp(columns) / 200 == pytest.approx(text_width("Puzzle 12", 10, bold=bold), abs=0.05)
    assert text_width("", 10) == 0
