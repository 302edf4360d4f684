"""What all commands that train do alike: the run's folder, progress, curves, and the exit code."""

import pathlib
import time
from collections.abc import Sequence
from typing import Any

import jax
from rich.console import Console

from experiments.common import curves, terminal
from hrm_jax.training.run import train
from hrm_jax.training.run_folder import newest_run
from hrm_jax.training.run_log import read_metrics
from hrm_jax.training.state import TrainState
from hrm_jax.training.task import Task

RUNS = pathlib.Path("runs")
STOPPED_BY_SIGNAL = 3
"""Exit code of a command whose run was stopped; it tells scripts to resume."""


def run_folder(kind: str, run: str | None, *, resume: bool) -> pathlib.Path:
    """Returns the folder to train in: `run` if it is named, else the newest one or a new one.

    Args:
      kind: the first part of a new folder's name.
      run: value of `--run`.
      resume: value of `--resume`.

    Raises:
      RunError: there is no run to resume.
    """
    if run:
        return pathlib.Path(run)
    return newest_run(RUNS) if resume else RUNS / time.strftime(f"{kind}-%Y%m%d-%H%M%S")


def train_in_sight(
    task: Task,
    folder: pathlib.Path,
    console: Console,
    shown: terminal.Shown,
    panels: Sequence[curves.Panel],
    description: str,
    **options: Any,
) -> TrainState:
    """Trains with a line of progress, and draws the curves; see `hrm_jax.training.run.train`.

    Args:
      task: what to train.
      folder: of the run.
      console: for the line of progress.
      shown: what the line tells.
      panels: of `curves.png`.
      description: of the run's config.
      **options: of `train`.
    """
    console.print(f"training in {folder}: {description}", soft_wrap=True)
    progress = terminal.TrainingProgress(console, shown)
    state = train(task, folder, progress=progress, **options)
    # Every process trains; the first one alone writes.
    if jax.process_index() == 0:
        curves.save_curves(read_metrics(folder), folder / "curves.png", panels)
    return state


def is_stopped(task: Task, state: TrainState) -> bool:
    """Returns whether a signal ended the run: its checkpoint is there, and the rest waits."""
    return int(state.step) < task.config.loop.steps
