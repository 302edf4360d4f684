"""How training goes: what `telemetry.jsonl` holds beside the metrics of the log.

One record for each record of the log, version 1:

    version, step, time_seconds    as in `metrics.jsonl`
    learning_rate                  of the parameters, at this step
    gradient_norm                  L2 norm of the parameters' gradient at this step; absent
                                   where it is not finite
    steps_per_second               since the record before, evaluations and checkpoints included;
                                   absent at the first step of a process
    memory_bytes                   resident memory of the process
    device_memory_bytes            in use on the first device; absent where it does not tell

The command of what it costs is in docs/studio.md.
"""

import dataclasses
import functools
import itertools
import math
import os
import resource
import sys
import time
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Float, PyTree
from optax.tree_utils import tree_get

from hrm_jax.core.protocols import RecurrentModel
from hrm_jax.training.side_records import SideRecords
from hrm_jax.training.state import TrainState
from hrm_jax.training.step import TrainStep


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Observed:
    """What a step reports where it is observed.

    Attributes:
      metrics: those of the loss.
      gradient_norm: L2 norm of the parameters' gradient; None at steps that end no record.
    """

    metrics: PyTree[Any]
    gradient_norm: Float[Array, ""] | None


def observed(step: TrainStep, b1: float, log_every: int, first_step: int) -> TrainStep:
    """Returns a compiled step that reports `Observed`, with the norm every `log_every` steps.

    One more result of the step's own program would make XLA fuse it in another way, and the run
    would differ in its last bits from one that is not observed. So the gradient is taken from what
    the step did to the first moments: `mu' = mu + (1 - b1) (g - mu)`.

    Args:
      step: the compiled step, of an optimiser with first moments.
      b1: decay of these moments.
      log_every: steps between records.
      first_step: number of steps that were done before.
    """
    # Counted here: reading `state.step` would wait for the device.
    numbers = itertools.count(first_step + 1)

    def observed_step(
        model: RecurrentModel, state: TrainState, batch: Any
    ) -> tuple[TrainState, Observed]:
        if next(numbers) % log_every:
            # Nothing is copied between records, so most steps cost no more than unobserved ones.
            new_state, metrics = step(model, state, batch)
            return new_state, Observed(metrics, None)
        # A copy, as the state is donated to the step.
        before = _copy(tree_get(state.opt_state, "mu"))
        new_state, metrics = step(model, state, batch)
        norm = _gradient_norm(before, tree_get(new_state.opt_state, "mu"), b1)
        return new_state, Observed(metrics, norm)

    return observed_step


@jax.jit
def _copy(tree: PyTree) -> PyTree:
    return jax.tree.map(jnp.copy, tree)


@functools.partial(jax.jit, static_argnums=2)
def _gradient_norm(before: PyTree, after: PyTree, b1: float) -> Float[Array, ""]:
    # The update of the moments, solved for g.
    gradient = jax.tree.map(lambda old, new: old + (new - old) / (1 - b1), before, after)
    return optax.tree.norm(gradient)


class Telemetry:
    """Writes a record of every step whose gradient's norm is known."""

    def __init__(self, records: SideRecords, learning_rate: optax.Schedule):
        """Stores where to write, and what.

        Args:
          records: the open file.
          learning_rate: maps the number of updates done before to the rate.
        """
        self._records = records
        self._learning_rate = learning_rate
        self._before: tuple[int, float] | None = None

    def __call__(self, step: int, observed: Observed) -> PyTree[Any]:
        """Takes what a step reported, on the host; returns its metrics."""
        if observed.gradient_norm is not None:
            self._write(step, float(observed.gradient_norm))
        if self._before is None:
            self._before = (step, time.time())  # not before it, as the first step compiles
        return observed.metrics

    def _write(self, step: int, gradient_norm: float) -> None:
        now = time.time()
        speed = None
        if self._before is not None:
            first, begun = self._before
            speed = (step - first) / max(now - begun, 1e-9)
            self._before = (step, now)
        fields = {
            "time_seconds": now,
            # The schedule counts the updates done before, one less than this step's number.
            "learning_rate": float(np.asarray(self._learning_rate(step - 1))),
            "gradient_norm": gradient_norm if math.isfinite(gradient_norm) else None,
            "steps_per_second": speed,
            "memory_bytes": resident_bytes(),
            "device_memory_bytes": _device_bytes(),
        }
        self._records.write(step, {name: x for name, x in fields.items() if x is not None})


def resident_bytes() -> int:
    """Returns the resident memory of this process: now, or at its peak where only that is told."""
    try:
        with open("/proc/self/statm", encoding="ascii") as file:
            # The second number is the resident set, in pages.
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # macOS counts in bytes, others in KiB.
        return peak if sys.platform == "darwin" else peak * 1024


def _device_bytes() -> int | None:
    stats = jax.local_devices()[0].memory_stats()
    return stats.get("bytes_in_use") if stats else None
