"""One run of two processes, started by hand as on two plain hosts."""

import json
import re
import socket

import numpy as np
import pytest

from hrm_jax.data.sudoku import csv_format, generator
from hrm_jax.data.sudoku.canonical import class_fingerprints
from hrm_jax.training.checkpoint import CheckpointReader
from hrm_jax.training.run_log import read_metrics

SCHEDULE = [
    "--config.loop.steps=4",
    "--config.loop.log_every=2",
    "--config.loop.evaluate_every=2",
    "--config.loop.checkpoint_every=2",
]


def free_address():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        return f"localhost:{free.getsockname()[1]}"


def start(sudoku, *flags, **environment):
    address = free_address()
    return [
        sudoku.start(
            *flags,
            f"--coordinator_address={address}",
            "--num_processes=2",
            f"--process_id={process}",
            **environment,
        )
        for process in range(2)
    ]


def finish(processes):
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0], outputs
    return outputs


@pytest.fixture(scope="module")
def puzzles(tmp_path_factory):
    """A file of which some puzzles are held out, and a folder where nothing is prepared."""
    folder = tmp_path_factory.mktemp("puzzles")
    made = generator.generate(np.random.default_rng(0), 300)
    assert (class_fingerprints(made.answers) % 100 == 0).any()
    csv_format.write(folder / "puzzles.csv", made, ["here"] * len(made))
    return folder


def test_two_processes_make_one_run_and_go_on_with_it(sudoku, puzzles):
    folder = sudoku.folder / "run"
    data = [f"--data={puzzles / 'puzzles.csv'}", f"--run={folder}"]
    prepared = {"HRM_JAX_DATA": str(puzzles / "prepared")}
    first, second = finish(start(sudoku, *sudoku.tiny, *SCHEDULE, *data, **prepared))
    assert "step 4/4" in first
    assert "not solved" in first
    assert "step" not in second  # process 0 speaks for all
    assert CheckpointReader(folder / "checkpoints").steps() == [2, 4]
    records = [(r["step"], r["split"]) for r in read_metrics(folder)]
    assert records == [(2, "train"), (2, "validation"), (4, "train"), (4, "validation")]
    assert json.loads((folder / "environment.json").read_text())["process_count"] == 2
    assert (folder / "report.json").exists()

    resume = ["--resume", "--config.loop.steps=6", f"--run={folder}"]
    first, _ = finish(start(sudoku, *resume, **prepared))
    assert "step 6/6" in first
    assert CheckpointReader(folder / "checkpoints").steps() == [2, 4, 6]

    # One process can go on alone.
    done = sudoku.run("--resume", "--config.loop.steps=8", data[0], f"--run={folder}")
    assert done.returncode == 0, done.stderr
    assert re.findall(r"step (\d)/8", done.stdout) == ["8"]
    assert [r["step"] for r in read_metrics(folder) if r["split"] == "train"] == [2, 4, 6, 8]


@pytest.mark.parametrize(
    "flags",
    [
        ["--coordinator_address=localhost:1", "--num_processes=2"],
        ["--process_id=0"],
        ["--distributed", "--coordinator_address=a:1", "--num_processes=2", "--process_id=0"],
    ],
)
def test_flags_that_do_not_say_which_process_this_is_are_refused(sudoku, flags):
    done = sudoku.run(*flags)
    assert done.returncode == 2
    assert "error: expected --distributed alone, or all of" in done.stderr
