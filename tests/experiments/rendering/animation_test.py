import dataclasses
import io

import numpy as np
import pytest
from PIL import Image, ImageSequence

from experiments.rendering import animation, board


def frames_of(traces) -> list[Image.Image]:
    image = Image.open(io.BytesIO(animation.to_gif(traces)))
    assert image.format == "GIF"
    assert image.info["loop"] == 0
    return [frame.copy() for frame in ImageSequence.Iterator(image)]


@pytest.fixture(scope="module")
def frames(traces):
    return frames_of(traces)


def test_a_step_is_a_frame_that_pauses_at_halts_and_at_the_end(frames):
    assert [frame.info["duration"] for frame in frames] == [1600, 700, 700, 1600, 700, 3000]


def test_frames_have_one_size_for_all_puzzles_side_by_side(frames, trace):
    assert {frame.size for frame in frames} == {(610, 562 + 30)}
    (still,) = frames_of([dataclasses.replace(trace, **one_step(trace))])
    assert still.width == 310


def one_step(trace):
    names = ("digits", "cell_confidence", "halt_confidence")
    return {name: getattr(trace, name)[:1] for name in names} | {"halt": 1}


def test_five_puzzles_take_two_rows(trace):
    short = dataclasses.replace(trace, **one_step(trace))
    (four,) = frames_of([short] * 4)
    (five,) = frames_of([short] * 5)
    assert five.width == four.width
    assert five.height > 1.7 * four.height


def test_flat_areas_keep_their_colours(frames):
    for frame in frames:
        colors = {color for _, color in frame.convert("RGB").getcolors(1 << 16)}
        for name in (board.PAPER, board.GIVEN, board.TILE, board.INK):
            rgb = tuple(int(name[i : i + 2], 16) for i in (1, 3, 5))
            assert rgb in colors or (name == board.TILE and frame is frames[0]), name


def test_a_frame_shows_its_step(traces, monkeypatch):
    drawn = []
    monkeypatch.setattr(board, "draw_grid", lambda axes, trace, step: drawn.append(step))
    animation.to_gif(traces)
    first = drawn[::2]
    second = drawn[1::2]
    assert first == [1, 2, 3, 4, 5, 6]
    assert second == [1, 2, 2, 2, 2, 2]  # its last step stays


def test_the_halting_frame_is_framed(trace):
    images = [np.array(frame.convert("RGB")) for frame in frames_of([trace])]
    # the grid's corner; its side is 250
    top = 101
    left = 30
    column = [image[top : top + 250, left - 8 : left - 4].min((1, 2)) for image in images]
    assert [bool((dark < 100).all()) for dark in column] == [False] * 3 + [True] + [False] * 2


def test_words_tell_the_moment(trace):
    assert [animation.moment(trace, step) for step in (1, 3, 4, 5)] == [
        "thinking",
        "thinking ✓ solved",
        "■ halts here ✓ solved",
        "□ halted at step 4, thinking on ✓ solved",
    ]
