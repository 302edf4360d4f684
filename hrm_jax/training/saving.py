"""Saves a run so that it goes on as if it had never stopped, and restores it."""

from collections.abc import Callable, Mapping
from typing import Any

from hrm_jax.training.batches import BatchIterator
from hrm_jax.training.checkpoint import CheckpointStore
from hrm_jax.training.divergence import check_variables
from hrm_jax.training.run_log import RunLog
from hrm_jax.training.state import TrainState


def save(
    store: CheckpointStore,
    log: RunLog,
    step: int,
    state: TrainState,
    batches: BatchIterator,
    window: Mapping[str, Any],
) -> None:
    """Saves the state after a step, with what else a resumed run needs to continue identically.

    Args:
      store, log: where checkpoints and records go.
      step: number of steps taken.
      state: the state after it.
      batches: their position is saved.
      window: metrics of steps that are in no record yet, as JSON holds them.

    Raises:
      Diverged: a parameter is not finite; nothing is saved then.
    """
    # The loss of this step is that of the parameters before its update, so it may be finite when
    # the parameters no longer are.
    check_variables(step, state.variables)
    # The log is made durable first: no checkpoint may be ahead of its records.
    log.sync()
    store.save(step, state, {"batches": batches.get_state(), "window": window})


def resume(
    store: CheckpointStore,
    target: TrainState,
    batches: BatchIterator,
    check: Callable[[int], None] = lambda step: None,
) -> tuple[TrainState, dict[str, Any]] | None:
    """Restores the newest intact checkpoint, and sets `batches` to where it left off.

    Args:
      store: where the checkpoints are.
      target: a state like the saved one.
      batches: of the data that the run goes on with.
      check: takes the step; nothing has changed yet where it raises.

    Returns:
      The state, and the extras for `run_steps`; None where there is no checkpoint.
    """
    restored = store.latest(target)
    if restored is None:
        return None
    check(restored.step)
    # The checkpoints left are damaged ones. The run will save at the same steps again, and until
    # then they must not be taken for later progress.
    store.discard_after(restored.step)
    batches.set_state(restored.extras["batches"])
    return restored.state, restored.extras
