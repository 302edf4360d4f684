"""What misses do: how they are told apart, and the command with its picture."""

import numpy as np
import pytest

from experiments.sudoku.misses import kind_of
from tests import commands

RNG = np.random.default_rng(0)
NOISE = RNG.integers(0, 5, (100, 6))


@pytest.mark.parametrize(
    ("tokens", "kind"),
    [
        (np.concatenate([NOISE[:60], np.ones((40, 6))]), "still"),
        (np.tile(NOISE[:7], (20, 1)), "cycle"),
        (np.tile(NOISE[:2], (50, 1)), "cycle"),
        (NOISE, "wander"),
        (np.concatenate([NOISE[:90], np.ones((10, 6))]), "wander"),
    ],
)
def test_the_last_proposals_tell_what_a_miss_does(tokens, kind):
    assert kind_of(tokens) == kind


@pytest.mark.thorough
def test_the_command_draws_and_counts(tmp_path):
    picture = tmp_path / "misses.png"
    flags = ("--looked_at=8", "--puzzles=2", "--first_steps=1", "--steps=64")
    done = commands.run("experiments.draw_misses", f"--out={picture}", *flags)
    assert done.returncode == 0, done.stderr
    assert "of 8 are missed within 1 steps" in done.stdout
    assert "2 misses over 64 steps" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")
