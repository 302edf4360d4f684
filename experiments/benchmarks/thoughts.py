"""What it costs a run of code to keep what it believes of the same prompts, in processor time."""

import pathlib
import statistics
import tempfile
import time
from typing import Any

import jax
import numpy as np
from rich.console import Console

from experiments.codegen.presets import PRESETS
from hrm_jax.core.mesh import make_mesh, split_batch
from hrm_jax.core.texts import TextBatch
from hrm_jax.data.text.tokenizers import ByteTokenizer
from hrm_jax.tasks.code.data import TOKENIZER
from hrm_jax.tasks.code.probes import PROMPTS, probe
from hrm_jax.tasks.code.samples import Sample
from hrm_jax.tasks.code.task import CodeTask
from hrm_jax.training.first_state import abstract_state, begin
from hrm_jax.training.run import compile_step
from hrm_jax.training.run_files import PROBES
from hrm_jax.training.side_records import SideRecords
from hrm_jax.training.state import state_shardings


def run(preset: str, rounds: int, console: Console) -> dict[str, Any]:
    """Measures a preset of the code experiment, prints a line, and returns the figures.

    Args:
      preset: its name.
      rounds: of a few steps and one record.
      console: where to print.
    """
    with tempfile.TemporaryDirectory() as folder:
        task = CodeTask(PRESETS[preset], pathlib.Path(folder))
        ByteTokenizer().save(task.folder / TOKENIZER)
        with SideRecords(task.folder, PROBES, resume_step=-1) as records:
            seconds = _measure(task, records, rounds)
    steps = task.config.loop.evaluate_every
    median = {name: statistics.median(times) for name, times in seconds.items()}
    share = median["thoughts"] / (steps * median["step"])
    console.print(
        f"code {preset}: {1000 * median['thoughts']:.1f} ms of processor time for the thoughts of "
        f"an evaluation, {1000 * median['step']:.0f} ms for a step, of which there are {steps} "
        f"between: {share:.2%}"
    )
    return {"seconds": seconds, "share": share}


def _measure(task: CodeTask, records: SideRecords, rounds: int) -> dict[str, list[float]]:
    mesh = make_mesh(task.config.mesh)
    step = compile_step(task, state_shardings(abstract_state(task), mesh), mesh)
    batch = split_batch(_batch(task), mesh)
    state = begin(task, mesh)
    samples = [Sample(f"def function_{n}(first, second):\n", "", True) for n in range(PROMPTS)]
    seconds: dict[str, list[float]] = {"step": [], "thoughts": []}
    for turn in range(rounds + 1):
        # Processor time, so that other processes on the machine change little.
        begun = time.process_time()
        state, metrics = step(task.model, state, batch)
        # The step is dispatched asynchronously: only a fetched result says that it is over.
        jax.device_get(metrics)
        between = time.process_time()
        variables = state.averaged_variables
        records.write(turn, probe(task.model.model, variables, task.tokenizer, samples))
        if turn:  # the first turn compiles
            seconds["step"].append(between - begun)
            seconds["thoughts"].append(time.process_time() - between)
    return seconds


def _batch(task: CodeTask) -> TextBatch:
    shape = task.abstract_batch().tokens.shape
    tokens = np.random.default_rng(0).integers(0, 250, shape).astype(np.int32)
    ones: Any = np.ones_like(tokens)
    return TextBatch(tokens, np.roll(tokens, -1, 1), 0 * ones, ones)  # pyright: ignore[reportArgumentType]
