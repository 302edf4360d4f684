"""Parts "train_step" and "relational": whole training steps of HRM.

Ours and PyTorch's live in processes of their own and take turns (`alternate`). Both are built, and
PyTorch's compiled, while the part before checks the kernels: that takes a minute, on the host.
"""

import concurrent.futures
import dataclasses
import functools
import itertools
import sys
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmarks import alternate, jax_step, train_step, workload
from experiments.benchmarks.device.card import Program, take_turns
from experiments.benchmarks.device.part import Part, Result, Setting, measure, table_of

ROUNDS = 5
STEPS_PER_ROUND = 5
WARMUP_STEPS = 3
BATCH = 384
REFERENCE = train_step.REFERENCE
RELATIONAL_BATCHES = (16, 256, 2048, 8192)

Building = dict[str, concurrent.futures.Future[alternate.Worker]]
"""Workers that are being built and warmed, by the name of their contestant."""


def start_building(torch_python: str, small: bool) -> Building:
    """Starts building the contestants of the training step, each in a thread that waits for it."""
    shape = dataclasses.replace(
        workload.SHAPES["hrm_tiny" if small else "hrm_paper"], compute_dtype="bfloat16"
    )
    batch_size = 4 if small else BATCH
    contestants = [
        alternate.Contestant(
            name=name,
            function=implementation.function,
            arguments={
                "shape": shape.arguments(),
                "batch_size": batch_size,
                **implementation.arguments,
            },
            # Else the first takes most of the card's memory for itself.
            environment={"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
            python=torch_python if implementation.library == "torch" else sys.executable,
        )
        for name, implementation in train_step.CONTESTANTS.items()
        if name != "torch_eager"
        and (implementation.library == "jax" or alternate.importable("torch", torch_python))
    ]
    pool = concurrent.futures.ThreadPoolExecutor(len(contestants))
    building = {c.name: pool.submit(alternate.prepare, c, WARMUP_STEPS) for c in contestants}
    # Returns at once; the futures are done when their threads are.
    pool.shutdown(wait=False)
    return building


def run_train_step(setting: Setting, building: Building) -> Result:
    """Times the contestants that could be built, in turns."""
    result = Result([])
    workers = {}
    for name, future in building.items():
        try:
            workers[name] = future.result()
        except alternate.ContestantError as error:
            result.wrong.append(f"{name}: {str(error).strip().splitlines()[-1]}")
    try:
        samples = alternate.take_turns(workers, ROUNDS, STEPS_PER_ROUND)
    finally:
        for worker in workers.values():
            worker.close()
    shape = workload.SHAPES["hrm_tiny" if setting.small else "hrm_paper"]
    batch_size = 4 if setting.small else BATCH
    flops = workload.train_step_flops(shape, batch_size)
    for name, turns in samples.items():
        seconds = alternate.step_seconds(turns).median
        row = {
            "name": name,
            "batch_size": batch_size,
            "milliseconds": 1e3 * seconds,
            "puzzles_per_second": batch_size / seconds,
            "teraflops": flops / seconds / 1e12,
            "of_peak": flops / seconds / setting.card.bfloat16_flops,
        }
        if REFERENCE in samples:
            # Absent where PyTorch is not installed: the table leaves the cell empty.
            ratio = alternate.speed_ratio(turns, samples[REFERENCE])
            row |= dataclasses.asdict(ratio)
        result.rows.append(row)
    return result


def _train_step_table(rows: list[dict[str, Any]]):
    columns = {
        "contestant": "{name}",
        "ms/step": "{milliseconds:.2f}",
        "puzzles/s": "{puzzles_per_second:.0f}",
        "TFLOP/s": "{teraflops:.0f}",
        "of peak": "{of_peak:.0%}",
        "x torch.compile": "{median:.2f} ({low:.2f}-{high:.2f})",
    }
    title = f"train_step: HRM as published, bfloat16, batch {rows[0]['batch_size']}"
    return table_of(title, columns, rows)


def run_relational(setting: Setting) -> Result:
    """Times the training step of the shipped Sudoku model by batch size."""
    sizes = (4,) if setting.small else RELATIONAL_BATCHES
    return measure(
        setting, [(f"batch {one}", functools.partial(_relational, one)) for one in sizes]
    )


def _relational(batch_size: int) -> dict[str, Any]:
    """Returns the figures of a training step at a batch size."""
    from experiments.sudoku.presets import PRESETS
    from hrm_jax.tasks.sudoku.task import SudokuTask

    # The shape only sets the sizes of the batches, which are Sudoku's for `hrm_small`.
    task = SudokuTask(dataclasses.replace(PRESETS["relational"], batch_size=batch_size))
    step, state, batches = jax_step.make_step_of(
        task.model, task.loss, task.optimizers, workload.SHAPES["hrm_small"], batch_size
    )
    seconds = take_turns({"step": _training(step, state, batches)}, ROUNDS)["step"]
    return {
        "batch_size": batch_size,
        "milliseconds": 1e3 * seconds,
        "puzzle_steps_per_second": batch_size / seconds,
    }


def _training(step: Any, state: Any, batches: Any) -> Program:
    """Returns a program that takes a training step with every call."""
    first = next(batches)
    compiled = jax.jit(step, donate_argnums=0).lower(state, first).compile()
    stream = itertools.chain([first], batches)

    # The state is donated, so each call passes on the state that the one before returned.
    def dispatch():
        nonlocal state
        state, metrics = compiled(state, next(stream))
        return metrics

    return Program(dispatch, lambda metrics: jnp.asarray(metrics.lm_loss).block_until_ready())


def _relational_table(rows: list[dict[str, Any]]):
    columns = {
        "batch": "{batch_size}",
        "ms/step": "{milliseconds:.2f}",
        "puzzle-steps/s": "{puzzle_steps_per_second:,.0f}",
    }
    return table_of("relational: the shipped Sudoku model's training step", columns, rows)


def train_step_part(building: Building) -> Part:
    """Returns the part for contestants that are being built."""
    return Part(
        "the HRM paper's training step against torch.compile",
        0.5,
        lambda setting: run_train_step(setting, building),
        _train_step_table,
    )


RELATIONAL = Part("the relational Sudoku step", 0.6, run_relational, _relational_table)
