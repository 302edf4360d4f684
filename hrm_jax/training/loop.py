"""The training loop: dispatches steps, logs, evaluates, saves, stops and resumes.

What a run computes depends on the state and the batches alone. The loop keeps the device busy: the
metrics of step n are fetched after step n + 1 is dispatched.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.experimental import multihost_utils
from jaxtyping import Array, Bool, PyTree

from hrm_jax.core.config import configclass, field
from hrm_jax.core.errors import UserError
from hrm_jax.core.protocols import RecurrentModel
from hrm_jax.training.batches import BatchIterator
from hrm_jax.training.checkpoint import CheckpointStore
from hrm_jax.training.interrupt import GracefulStop
from hrm_jax.training.progress import StepCallback
from hrm_jax.training.run_log import RunLog
from hrm_jax.training.state import TrainState
from hrm_jax.training.step import TrainStep

Sums = dict[str, float]


@configclass
class LoopConfig:
    """How long a run is, and what happens how often, in optimiser steps."""

    steps: int = field(1000, help="optimiser steps of the run", at_least=1)
    log_every: int = field(20, help="steps whose metrics make one record", at_least=1)
    evaluate_every: int = field(
        500, help="steps between evaluations; one follows the last step", at_least=1
    )
    checkpoint_every: int = field(
        500, help="steps between checkpoints; one follows the last step", at_least=1
    )
    keep_checkpoints: int = field(3, help="newest checkpoints kept", at_least=1)


_REMEDY = (
    "The last checkpoint is from before; resume from it with a lower learning rate, or in float32 "
    "if compute_dtype is lower"
)


class Diverged(UserError, RuntimeError):
    """A loss or a parameter is not a finite number."""


class Ended(UserError, RuntimeError):
    """An evaluation has ended the run before its last step; it is saved."""


@dataclasses.dataclass(frozen=True)
class Hooks:
    """What the loop calls besides the step.

    Attributes:
      summarize: sums of metrics over so many steps -> named averages for the log.
      evaluate: state -> named measures on held-out data; None for no evaluations.
      judge: called after every evaluation with the step and what it found; says why the run must
        end here, if it must. What it changes belongs to the batches, which are saved after it.
    """

    summarize: Callable[[Sums, int], Mapping[str, float]]
    evaluate: Callable[[TrainState], Mapping[str, float]] | None = None
    judge: Callable[[int, Mapping[str, float]], str | None] = lambda step, measures: None


@dataclasses.dataclass
class _Window:
    """Metrics summed since the last record; saved with a checkpoint, so that logs resume too."""

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
) -> TrainState:
    """Runs until `config.steps` steps are done, or a stop is requested.

    Args:
      state: where to start from; donated to the first step.
      train_step: the compiled step.
      model_at: the model that it takes after so many steps.
      batches: at the position that belongs to `state`; `resume` sees to it.
      config: lengths and intervals.
      store, log: where checkpoints and records go.
      hooks: averaging and evaluation.
      progress: called after every fetched step with its number and the newest averages.
      stop: asked after every step; a requested stop saves and returns. Several processes agree on
        it, at the steps that end a record.
      extras: of the checkpoint that `state` comes from; None for a fresh run.

    Returns:
      The state after the last step, saved.

    Raises:
      Diverged: if a loss, or a parameter about to be saved, is not finite; the checkpoints stay
        finite.
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
        averages = _record(number, jax.device_get(metrics), window, config, log, hooks)
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
            fetch()
            measures = hooks.evaluate(state)
            log.write(step, measures, split="validation")
            reason = hooks.judge(step, measures)
        stopping = _agree_to_stop(stop, step, config)
        if last or reason or stopping or step % config.checkpoint_every == 0:
            fetch()
            _save(store, log, step, state, batches, window)
        if reason:
            raise Ended(f"step {step}: {reason}")
    return state


def _agree_to_stop(stop: GracefulStop, step: int, config: LoopConfig) -> bool:
    """Returns whether any process is asked to stop; all of them get the same answer."""
    if jax.process_count() == 1:
        return stop.requested
    if step % config.log_every:  # the question makes the devices wait, so it is a rare one
        return False
    return bool(multihost_utils.process_allgather(np.asarray(stop.requested)).any())


def _record(
    step: int, metrics: Any, window: _Window, config: LoopConfig, log: RunLog, hooks: Hooks
) -> Mapping[str, float]:
    """Adds a step's metrics to the window; writes a record where the window is full.

    Returns:
      The record's averages, empty where the window is not full.
    """
    values = {name: float(value) for name, value in dataclasses.asdict(metrics).items()}
    bad = {name: value for name, value in values.items() if not math.isfinite(value)}
    if bad:
        raise Diverged(f"step {step}: expected finite metrics, got {bad}. {_REMEDY}")
    window.add(values)
    averages: Mapping[str, float] = {}
    if step % config.log_every == 0:
        averages = hooks.summarize(window.sums, window.steps)
        log.write(step, averages)
        window.sums = {}
        window.steps = 0
    return averages


def _save(
    store: CheckpointStore,
    log: RunLog,
    step: int,
    state: TrainState,
    batches: BatchIterator,
    window: _Window,
) -> None:
    """Saves the state with all that a resumed run needs to go on as if nothing had happened."""
    # A loss is of the parameters before the step: it may be finite and they no longer.
    if not _all_finite(state.variables):
        raise Diverged(f"step {step}: expected finite parameters after it, got others. {_REMEDY}")
    log.sync()
    extras = {"batches": batches.get_state(), "window": dataclasses.asdict(window)}
    store.save(step, state, extras)


@jax.jit
def _all_finite(tree: PyTree) -> Bool[Array, ""]:
    """Returns whether no leaf holds a NaN or an infinity."""
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()


def resume(
    store: CheckpointStore, target: TrainState, batches: BatchIterator
) -> tuple[TrainState, dict[str, Any]] | None:
    """The newest intact checkpoint, with `batches` set to where it left off.

    Returns:
      The state, and the extras for `train`; None where there is no checkpoint.
    """
    restored = store.latest(target)
    if restored is None:
        return None
    store.discard_after(restored.step)
    batches.set_state(restored.extras["batches"])
    return restored.state, restored.extras
