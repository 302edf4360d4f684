"""Experiments as their users run them: a command in a process of its own."""

import contextlib
import dataclasses
import fcntl
import json
import os
import pathlib
import shutil
import signal
import subprocess
from typing import Any

import pytest

from hrm_jax.data.sudoku.source import load_source
from tests import commands

ROOT = pathlib.Path(__file__).parents[2]
TIMEOUT = 60_000
"""Milliseconds that a page may take: a run compiles first, on a machine that is busy."""

TINY = [
    "--preset=minute",
    "--config.model.hidden_size=16",
    "--config.model.puzzle_emb_ndim=16",
    "--config.model.H_cycles=1",
    "--config.model.L_cycles=1",
    "--config.model.halt_max_steps=2",
    "--config.batch_size=8",
    "--config.validation.puzzles=8",
    "--config.validation.batch_size=8",
    "--config.test.puzzles=12",
    "--config.test.batch_size=8",
]
"""The smallest run: flags for `--mode=train`."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """A program, `python -m experiments.sudoku` unless another is named.

    Attributes:
      data: prepared puzzles.
      folder: where it is run.
      program: its module.
    """

    data: pathlib.Path
    folder: pathlib.Path
    program: str = "experiments.sudoku"
    tiny = TINY

    def start(self, *flags: str, **environment: str) -> subprocess.Popen[str]:
        """Starts the command; stderr goes where stdout goes."""
        return commands.start(
            self.program,
            *flags,
            environment=self._environment() | environment,
            cwd=self.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def run(self, *flags: str, text: str = "", **options: Any) -> subprocess.CompletedProcess[str]:
        """Runs the command to its end, `text` on its standard input; options of `commands.run`."""
        environment = self._environment()
        return commands.run(
            self.program, *flags, text=text, environment=environment, cwd=self.folder, **options
        )

    def _environment(self) -> dict[str, str]:
        return {"HRM_JAX_DATA": str(self.data), "COLUMNS": "100"}


@pytest.fixture(scope="session")
def bank(shared_folder):
    """A folder with the bank prepared, by one worker for all."""
    folder = shared_folder / "data"
    with open(shared_folder / "data.lock", "w") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        load_source("bank", "train", folder)
    return folder


@pytest.fixture(scope="module")
def sudoku(bank, tmp_path_factory):
    """The experiment, run in an empty folder."""
    return Experiment(bank, tmp_path_factory.mktemp("work"))


@pytest.fixture(scope="module")
def browser():
    """Debian's Chromium."""
    from playwright.sync_api import expect, sync_playwright  # who uses it skips without it

    expect.set_options(timeout=TIMEOUT)
    with sync_playwright() as driver:
        found = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        yield found
        found.close()


@pytest.fixture
def page(browser):
    """A page on which no script fails."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, reduced_motion="reduce")
    found = context.new_page()
    found.set_default_timeout(TIMEOUT)
    troubles = []
    found.on("pageerror", lambda error: troubles.append(str(error)))
    found.on("dialog", lambda dialog: troubles.append(f"a dialog: {dialog.message}"))
    yield found
    context.close()
    assert troubles == []


@pytest.fixture
def runs(tmp_path):
    """A folder of runs, whose processes end with the test."""
    folder = tmp_path / "runs"
    yield folder
    for path in folder.glob("*/job.json"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(json.loads(path.read_text())["pid"], signal.SIGKILL)
