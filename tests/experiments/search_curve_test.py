"""The curve of what a search spends: its numbers, table and picture."""

import json
import subprocess
import sys

import numpy as np
import pytest


@pytest.mark.thorough
def test_the_command_measures_each_and_draws(tmp_path):
    picture = tmp_path / "search.png"
    puzzles = "--puzzles=6"
    command = [sys.executable, "-m", "experiments.search_curve", f"--out={picture}", puzzles]
    command += ["--steps=2", "--attempts=2"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
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
    for one in found.values():
        assert max(one["attempts"]) <= 2
        # What is not solved has spent all, unless its tree was exhausted.
        assert np.all(np.array(one["steps"]) <= 2 * np.array(one["attempts"]))
        assert np.all(np.array(one["steps"])[np.array(one["solved"])] >= 1)
    # The first attempt is the same, however it is searched further, and one that knows nothing
    # solves none at once.
    at_once = np.array(found["trained, tree"]["attempts"]) == 1
    assert (at_once == (np.array(found["trained, restarts"]["attempts"]) == 1)).all()
    assert not (np.array(found["uniform, tree"]["attempts"]) == 1).any()
