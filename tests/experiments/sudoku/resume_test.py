"""A run that is killed, stopped or damaged, and then resumed, ends with the same bits."""

import json
import random
import re
import shutil
import signal
import time

import jax
import numpy as np
import pytest

from hrm_jax.training.checkpoint import CheckpointReader
from hrm_jax.training.run_log import read_metrics

STOPPED_BY_SIGNAL = 3
STEPS = 24
SCHEDULE = [
    f"--config.loop.steps={STEPS}",
    "--config.loop.log_every=1",
    "--config.loop.evaluate_every=9",
    "--config.loop.checkpoint_every=3",
    "--config.loop.keep_checkpoints=3",
]


@pytest.fixture(scope="module")
def whole(sudoku):
    """The folder of the uninterrupted run, the only one that compiles its programs itself."""
    folder = sudoku.folder / "whole"
    done = sudoku.run(*sudoku.tiny, *SCHEDULE, f"--run={folder}")
    assert done.returncode == 0, done.stderr
    return folder


def read_until_step(process, step):
    """Reads the output up to the line about a step."""
    for line in process.stdout:
        found = re.match(rf"step (\d+)/{STEPS}: ", line)
        if found and int(found[1]) >= step:
            return
    pytest.fail("the run ended before the step")


def final_arrays(folder):
    """All arrays of the last checkpoint, by path, and what was saved beside them."""
    reader = CheckpointReader(folder / "checkpoints")
    described = folder / "checkpoints" / f"step_{STEPS:08d}" / "state.json"
    leaves = json.loads(described.read_text(encoding="utf-8"))["leaves"]
    target = {
        path: jax.random.key(0) if leaf["key_impl"] else np.zeros(leaf["shape"], leaf["dtype"])
        for path, leaf in leaves.items()
    }
    restored = reader.restore(STEPS, target)
    arrays = {
        path: np.asarray(jax.random.key_data(x) if leaves[path]["key_impl"] else x)
        for path, x in restored.state.items()
    }
    return arrays, restored.extras


def assert_same_end(folder, whole):
    found, found_extras = final_arrays(folder)
    expected, expected_extras = final_arrays(whole)
    assert any("/ema/" in path for path in expected)
    assert found.keys() == expected.keys()
    for path, array in expected.items():
        assert found[path].tobytes() == array.tobytes(), path
    assert found_extras == expected_extras
    logs = [
        [{k: v for k, v in record.items() if k != "time_seconds"} for record in read_metrics(f)]
        for f in (folder, whole)
    ]
    assert logs[0] == logs[1]
    assert (folder / "report.json").read_text().split("puzzles_per_second")[0] == (
        whole / "report.json"
    ).read_text().split("puzzles_per_second")[0]


def test_killed_at_random_moments(sudoku, whole):
    folder = sudoku.folder / "killed"
    seed = random.randrange(2**32)
    moments = random.Random(seed)
    flags = [*sudoku.tiny, *SCHEDULE]
    for earliest in (4, 9, 14):
        process = sudoku.start(*flags, f"--run={folder}")
        read_until_step(process, earliest + moments.randrange(3))
        time.sleep(moments.uniform(0, 0.4))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL, f"seed {seed}"
        flags = ["--resume"]
    done = sudoku.run("--resume", f"--run={folder}")
    assert done.returncode == 0, done.stderr
    assert_same_end(folder, whole)


# Both signals have one handler, whose own tests send each.
@pytest.mark.thorough(every=2)
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_stopped_by_a_signal(sudoku, whole, number):
    folder = sudoku.folder / number.name
    process = sudoku.start(*sudoku.tiny, *SCHEDULE, f"--run={folder}")
    read_until_step(process, 7)
    process.send_signal(number)
    output, _ = process.communicate(timeout=120)
    assert process.returncode == STOPPED_BY_SIGNAL, output
    (step,) = re.findall(rf"stopped by {number.name} after step (\d+), saved in", output)
    assert CheckpointReader(folder / "checkpoints").steps()[-1] == int(step)
    assert not (folder / "report.json").exists()

    done = sudoku.run("--resume", f"--run={folder}")
    assert done.returncode == 0, done.stderr
    assert_same_end(folder, whole)


def test_a_damaged_checkpoint_is_named_and_skipped(sudoku, whole):
    folder = sudoku.folder / "damaged"
    shutil.copytree(whole, folder)
    newest = folder / "checkpoints" / f"step_{STEPS:08d}"
    largest = max(newest.rglob("*"), key=lambda path: path.stat().st_size * path.is_file())
    content = bytearray(largest.read_bytes())
    content[random.randrange(len(content))] ^= 1
    largest.write_bytes(content)

    done = sudoku.run("--resume", f"--run={folder}")
    assert done.returncode == 0, done.stderr
    assert f"skipping damaged checkpoint {newest}" in done.stderr
    assert f"step {STEPS}/{STEPS}" in done.stdout
    assert f"step {STEPS - 3}/{STEPS}" not in done.stdout
    assert_same_end(folder, whole)
