"""The curve of what a search spends: its numbers, table and picture."""

import json

import numpy as np
import pytest

from tests import commands


@pytest.mark.thorough
def test_the_command_measures_each_and_draws(tmp_path):
    picture = tmp_path / "search.png"
    flags = (f"--out={picture}", "--puzzles=6", "--steps=2", "--budget=4")
    done = commands.run("experiments.search_curve", *flags)
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "a classical solver: 6 of 6, in" in done.stdout
    assert "6 puzzles of bank, test split" in done.stdout
    assert max(map(len, done.stdout.splitlines()[1:-1])) <= 80
    found = {one["name"]: one for one in json.loads(picture.with_suffix(".json").read_text())}
    assert list(found) == [
        *("trained, tree", "trained, restarts", "trained, one cell assumed"),
        *("untrained, tree", "uniform, tree"),
    ]
    for name, one in found.items():
        each = 1 if name.endswith("tree") else 2
        assert max(one["steps"]) <= 4
        assert max(one["attempts"]) <= 4 // each
        assert np.all(np.array(one["steps"]) <= each * np.array(one["attempts"]))
        assert np.all(np.array(one["steps"])[np.array(one["solved"])] >= 1)
    # The first attempt is the same, however it is searched further, and one that knows nothing
    # solves none at once.
    at_once = np.array(found["trained, one cell assumed"]["attempts"]) == 1
    assert (at_once == (np.array(found["trained, restarts"]["attempts"]) == 1)).all()
    assert not (np.array(found["uniform, tree"]["attempts"]) == 1).any()
    # A node is a single step.
    assert found["uniform, tree"]["steps"] == found["uniform, tree"]["attempts"]
