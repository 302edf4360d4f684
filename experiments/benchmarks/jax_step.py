"""Our contestant of the training-step suite: the step that `experiments.sudoku` compiles."""

import functools
import itertools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp

from experiments.benchmarks import workload
from hrm_jax.core.protocols import StepLoss
from hrm_jax.core.types import Batch
from hrm_jax.losses.act import act_loss
from hrm_jax.models.puzzle_config import hrm
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.optim.adam_atan2 import adam_atan2
from hrm_jax.optim.puzzle_rows import sign_sgd_rows
from hrm_jax.optim.schedules import warmup_cosine
from hrm_jax.training.first_state import init_state
from hrm_jax.training.state import Optimizers, TrainState
from hrm_jax.training.step import make_train_step


def make_step(
    shape: dict[str, Any], batch_size: int
) -> tuple[Callable[..., Any], TrainState, Iterator[Batch]]:
    """Returns the step `(state, batch)`, its first state, and endless batches; see `ModelShape`."""
    model = PuzzleModel(hrm(**shape))
    rate = warmup_cosine(1e-4, warmup_steps=2000, total_steps=100_000, min_ratio=1.0)
    optimizers = Optimizers(adam_atan2(rate, weight_decay=1.0), sign_sgd_rows(rate, 1.0))
    return make_step_of(model, act_loss, optimizers, workload.ModelShape(**shape), batch_size)


def make_step_of(
    model: PuzzleModel,
    loss: StepLoss,
    optimizers: Optimizers,
    shape: workload.ModelShape,
    batch_size: int,
) -> tuple[Callable[..., Any], TrainState, Iterator[Batch]]:
    """Returns the same for any model, on puzzles of a shape."""
    arrays = workload.batches(shape, batch_size)
    # On the device before the first step: the transfer of a batch is not part of the measurement.
    batches = itertools.cycle([Batch(**jax.tree.map(jnp.asarray, batch)) for batch in arrays])
    state = init_state(model, optimizers, jax.random.key(0), next(batches))
    step = functools.partial(make_train_step(loss, optimizers), model)
    return step, state, batches


def build(shape: dict[str, Any], batch_size: int) -> Callable[[int], None]:
    """Returns `run(steps)`, which continues training.

    See `alternate.Contestant` and `ModelShape`.
    """
    step, state, batches = make_step(shape, batch_size)
    step = jax.jit(step, donate_argnums=0)

    def run(steps: int) -> None:
        nonlocal state
        metrics = None
        # The host waits for no step; reading the loss at the end waits for all of them.
        for _ in range(steps):
            state, metrics = step(state, next(batches))
        # A training run reads its metrics too; a step that diverged would time another problem.
        if metrics is not None and not jnp.isfinite(metrics.lm_loss):
            raise FloatingPointError(f"loss: expected a finite number, got {metrics.lm_loss}")

    return run
