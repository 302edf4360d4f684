"""The training loop: dispatches steps, logs, evaluates, saves and stops.

The result of a run depends only on its state and its batches. The device is kept busy: the metrics
of step n are fetched after step n + 1 is dispatched.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from hrm_jax.core.errors import UserError
from hrm_jax.core.protocols import RecurrentModel
from hrm_jax.training.batches import BatchIterator
from hrm_jax.training.checkpoint import CheckpointStore
from hrm_jax.training.divergence import check_metrics
from hrm_jax.training.interrupt import GracefulStop
from hrm_jax.training.progress import StepCallback
from hrm_jax.training.run_config import LoopConfig
from hrm_jax.training.run_log import RunLog
from hrm_jax.training.saving import save
from hrm_jax.training.state import TrainState
from hrm_jax.training.step import TrainStep

Sums = dict[str, float]


class Ended(UserError, RuntimeError):
    """An evaluation has ended the run before its last step; it is saved."""


@dataclasses.dataclass(frozen=True)
class Hooks:
    """What the loop calls besides the step.

    Attributes:
      summarize: maps metrics summed over steps, and the number of steps, to named averages.
      evaluate: maps a state to named measures on held-out data; None for no evaluations.
      judge: called after every evaluation with the step and its measures; returns why the run
        must end, or None. It may change the batches, whose state is saved after it.
      probe: maps a state to what is kept of it after every evaluation, as JSON holds it, to see how
        the model's answers to the same questions change; None to keep nothing.
    """

    summarize: Callable[[Sums, int], Mapping[str, float]]
    evaluate: Callable[[TrainState], Mapping[str, float]] | None = None
    judge: Callable[[int, Mapping[str, float]], str | None] = lambda step, measures: None
    probe: Callable[[TrainState], Mapping[str, Any]] | None = None


@dataclasses.dataclass
class _Window:
    """Metrics summed since the last record; saved in checkpoints, so that logs resume, too."""

    sums: Sums
    steps: int

    def add(self, metrics: Mapping[str, float]) -> None:
        self.sums = {name: self.sums.get(name, 0.0) + value for name, value in metrics.items()}
        self.steps += 1


def run_steps(
    state: TrainState,
    train_step: TrainStep,
    model_at: Callable[[int], RecurrentModel],
    batches: BatchIterator,
    *,
    config: LoopConfig,
    store: CheckpointStore,
    log: RunLog,
    hooks: Hooks,
    progress: StepCallback,
    stop: GracefulStop,
    extras: Mapping[str, Any] | None = None,
    watch: Callable[[int, Any], Any] = lambda step, reported: reported,
) -> TrainState:
    """Runs until `config.steps` steps are done, or a stop is requested.

    Args:
      state: where to start from; donated to the first step.
      train_step: the compiled step.
      model_at: returns the model that is trained after a number of steps.
      batches: at the position that belongs to `state`, as `saving.resume` leaves them.
      config: lengths and intervals.
      store, log: where checkpoints and records go.
      hooks: averaging and evaluation.
      progress: called after every fetched step with its number and the newest averages.
      stop: checked after every step; when requested, the loop saves and returns. With several
        processes it is checked at the steps that end a record, and all of them stop together.
      extras: of the checkpoint that `state` comes from; None for a fresh run.
      watch: takes the number of every fetched step and what the step reported; returns its metrics.

    Returns:
      The state after the last step, saved.

    Raises:
      Diverged: if a loss, or a parameter about to be saved, is not finite. No checkpoint is then
        written, so those there are finite.
      Ended: if an evaluation ended the run.
    """
    window = _Window(**(extras or {}).get("window", {"sums": {}, "steps": 0}))
    step = int(state.step)
    stopping = False
    reason = None
    pending = None

    def fetch() -> None:
        nonlocal pending
        if pending is None:
            return
        number, metrics = pending
        pending = None
        values = watch(number, jax.device_get(metrics))
        averages = _record(number, values, window, config, log, hooks)
        progress(number, averages)

    while step < config.steps and not stopping:
        state, metrics = train_step(model_at(step), state, next(batches))
        step += 1
        # Fetch the metrics of the step before only now: this one is already dispatched, so the
        # device never waits.
        fetch()
        pending = (step, metrics)
        last = step == config.steps
        if hooks.evaluate and (last or step % config.evaluate_every == 0):
            # This step's record comes before the evaluation's, so that the log stays in order.
            fetch()
            measures = hooks.evaluate(state)
            log.write(step, measures, split="validation")
            # Before the save: where the judge begins another phase, the saved batches are its.
            reason = hooks.judge(step, measures)
        stopping = _agree_to_stop(stop, step, config)
        if last or reason or stopping or step % config.checkpoint_every == 0:
            # The window saved with this step must hold its metrics, and a loss that is not finite
            # must raise before a checkpoint is written.
            fetch()
            save(store, log, step, state, batches, dataclasses.asdict(window))
        if reason:
            raise Ended(f"step {step}: {reason}")
    return state


def _agree_to_stop(stop: GracefulStop, step: int, config: LoopConfig) -> bool:
    """Returns whether any process was asked to stop; the same answer for all of them."""
    if jax.process_count() == 1:
        return stop.requested
    # The collective waits for the devices, so it is done only once in a record.
    if step % config.log_every:
        return False
    return bool(multihost_utils.process_allgather(np.asarray(stop.requested)).any())


def _record(
    step: int, metrics: Any, window: _Window, config: LoopConfig, log: RunLog, hooks: Hooks
) -> Mapping[str, float]:
    """Adds a step's metrics to the window, and writes a record when the window is full.

    Returns:
      The record's averages; empty when none was written.
    """
    values = {name: float(value) for name, value in dataclasses.asdict(metrics).items()}
    check_metrics(step, values)
    window.add(values)
    averages: Mapping[str, float] = {}
    if step % config.log_every == 0:
        averages = hooks.summarize(window.sums, window.steps)
        log.write(step, averages)
        window.sums = {}
        window.steps = 0
    return averages
