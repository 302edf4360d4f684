"""What a run's telemetry costs: the same steps with and without it, in turns."""

import itertools
import pathlib
import statistics
import tempfile
import time
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from rich.console import Console

from experiments.common.terminal import Table
from experiments.sudoku.presets import PRESETS
from hrm_jax.core.mesh import make_mesh, split_batch
from hrm_jax.core.types import Batch
from hrm_jax.data.sudoku import rules
from hrm_jax.tasks.sudoku.task import SudokuTask
from hrm_jax.training.optimizers import make_schedule
from hrm_jax.training.run import abstract_state, begin, compile_step
from hrm_jax.training.side_records import TELEMETRY, SideRecords
from hrm_jax.training.state import state_shardings
from hrm_jax.training.telemetry import Telemetry, observed


def run(preset: str, rounds: int, console: Console) -> dict[str, Any]:
    """Measures a preset of the Sudoku experiment, prints a table, and returns the figures.

    Args:
      preset: its name.
      rounds: of as many steps as make a record, of each contestant.
      console: where to print.
    """
    task = SudokuTask(PRESETS[preset])
    mesh = make_mesh(task.config.mesh)
    step = compile_step(task, state_shardings(abstract_state(task), mesh), mesh)
    steps = task.config.loop.log_every
    batch = split_batch(_batch(task), mesh)
    state = begin(task, mesh)
    seconds: dict[str, list[float]] = {"plain": [], "observed": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        SideRecords(pathlib.Path(folder), TELEMETRY, resume_step=-1) as records,
    ):
        optim = task.config.optim
        rate = make_schedule(optim, optim.learning_rate, task.config.loop.steps)
        watched = observed(step, optim.b1, steps, first_step=0)
        contestants: dict[str, tuple[Any, Callable[[int, Any], Any]]] = {
            "plain": (step, lambda number, metrics: metrics),
            "observed": (watched, Telemetry(records, rate)),
        }
        numbers = itertools.count(1)
        for turn in range(rounds + 1):
            for name, (take, watch) in contestants.items():
                begun = time.perf_counter()
                for _ in range(steps):
                    state, metrics = take(task.model, state, batch)
                    watch(next(numbers), jax.device_get(metrics))
                if turn:  # the first turn compiles
                    seconds[name].append(time.perf_counter() - begun)
    pairs = zip(seconds["observed"], seconds["plain"], strict=True)
    ratios = [ours / plain for ours, plain in pairs]
    return _show(preset, seconds, ratios, steps, console)


def _batch(task: SudokuTask) -> Batch:
    B = task.config.batch_size
    random = np.random.default_rng(0)
    tokens = random.integers(rules.BLANK_TOKEN, rules.VOCABULARY_SIZE, (2, B, rules.NUM_CELLS))
    inputs, labels = tokens.astype(np.int32)
    return Batch(inputs, labels, np.zeros(B, np.int32))


def _show(
    preset: str,
    seconds: dict[str, list[float]],
    ratios: list[float],
    steps: int,
    console: Console,
) -> dict[str, Any]:
    table = Table(title=f"preset {preset}, {len(ratios)} rounds of {steps} steps in turns")
    for title in ("", "ms/step, median"):
        table.add_column(title, justify="right")
    for name, times in seconds.items():
        table.add_row(name, f"{1000 * statistics.median(times) / steps:.2f}")
    console.print(table)
    median = statistics.median(ratios)
    console.print(f"observed over plain: {median:.4f} ({min(ratios):.3f}-{max(ratios):.3f})")
    return {"seconds": seconds, "ratio": median}
