"""What telemetry costs a run, in processor time: the steps of a record, and what it adds."""

import pathlib
import statistics
import tempfile
import time
from typing import Any

import jax
import numpy as np
from rich.console import Console

from experiments.sudoku.presets import PRESETS
from hrm_jax.core.mesh import make_mesh, split_batch
from hrm_jax.core.types import Batch
from hrm_jax.data.sudoku import rules
from hrm_jax.tasks.sudoku.task import SudokuTask
from hrm_jax.training.first_state import abstract_state, begin
from hrm_jax.training.optimizers import make_schedule
from hrm_jax.training.run import compile_step
from hrm_jax.training.run_files import TELEMETRY
from hrm_jax.training.side_records import SideRecords
from hrm_jax.training.state import state_shardings
from hrm_jax.training.telemetry import Telemetry, observed


def run(preset: str, rounds: int, console: Console) -> dict[str, Any]:
    """Measures a preset of the Sudoku experiment, prints a line, and returns the figures.

    Args:
      preset: its name.
      rounds: of as many steps as make a record.
      console: where to print.
    """
    task = SudokuTask(PRESETS[preset])
    mesh = make_mesh(task.config.mesh)
    step = compile_step(task, state_shardings(abstract_state(task), mesh), mesh)
    steps = task.config.loop.log_every
    batch = split_batch(_batch(task), mesh)
    state = begin(task, mesh)
    optim = task.config.optim
    rate = make_schedule(optim, optim.learning_rate, task.config.loop.steps)
    seconds: dict[str, list[float]] = {"steps": [], "telemetry": []}
    with (
        tempfile.TemporaryDirectory() as folder,
        SideRecords(pathlib.Path(folder), TELEMETRY, resume_step=-1) as records,
    ):
        telemetry = Telemetry(records, rate)
        state, metrics = step(task.model, state, batch)
        # A step that does nothing: what is left is what observing adds to the last of a record.
        idle = observed(lambda model, state, batch: (state, metrics), optim.b1, 1, first_step=0)
        # Processor time, as what else the machine does would hide so small a share.
        for turn in range(rounds + 1):
            begun = time.process_time()
            for _ in range(steps):
                state, metrics = step(task.model, state, batch)
                jax.device_get(metrics)
            between = time.process_time()
            state, report = idle(task.model, state, batch)
            telemetry(steps * (turn + 1), jax.device_get(report))
            if turn:  # the first turn compiles
                seconds["steps"].append(between - begun)
                seconds["telemetry"].append(time.process_time() - between)
    return _show(preset, seconds, steps, console)


def _batch(task: SudokuTask) -> Batch:
    B = task.config.batch_size
    # Any tokens: what a step costs does not depend on them.
    random = np.random.default_rng(0)
    tokens = random.integers(rules.BLANK_TOKEN, rules.VOCABULARY_SIZE, (2, B, rules.NUM_CELLS))
    arrays: Any = (*tokens.astype(np.int32), np.zeros(B, np.int32))
    return Batch(*arrays)


def _show(
    preset: str, seconds: dict[str, list[float]], steps: int, console: Console
) -> dict[str, Any]:
    median = {name: statistics.median(times) for name, times in seconds.items()}
    share = median["telemetry"] / median["steps"]
    console.print(
        f"{preset}: {1000 * median['steps']:.0f} ms of processor time for the {steps} steps of a "
        f"record, {1000 * median['telemetry']:.2f} ms for its telemetry: {share:.2%}"
    )
    return {"seconds": seconds, "share": share}
