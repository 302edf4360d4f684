"""What every run is configured by: its length and intervals, its optimiser, devices and seed."""

import dataclasses
from typing import Protocol

from hrm_jax.core.config import configclass, field
from hrm_jax.core.mesh import MeshConfig
from hrm_jax.training.optimizers import OptimConfig


@configclass
class LoopConfig:
    """Length of a run and the intervals of what happens in it, in optimiser steps."""

    steps: int = field(1000, help="optimiser steps of the run", at_least=1)
    log_every: int = field(20, help="steps whose metrics make one record", at_least=1)
    evaluate_every: int = field(
        500, help="steps between evaluations; one follows the last step", at_least=1
    )
    checkpoint_every: int = field(
        500, help="steps between checkpoints; one follows the last step", at_least=1
    )
    keep_checkpoints: int = field(3, help="newest checkpoints kept", at_least=1)
    batch_parts: int = field(
        1,
        help="equal parts of a batch that are differentiated in turn, and their gradients summed: "
        "takes less memory, and less time where a part fits into a processor's cache",
        at_least=1,
    )


class RunConfig(Protocol):
    """The fields that every run's configuration has; it is saved with the run."""

    @property
    def loop(self) -> LoopConfig:
        """Length of the run, and intervals of records, evaluations and checkpoints."""
        ...

    @property
    def optim(self) -> OptimConfig:
        """Learning rates and their schedule."""
        ...

    @property
    def mesh(self) -> MeshConfig:
        """Number of devices that share batches and layers."""
        ...

    @property
    def seed(self) -> int:
        """Seed of everything random."""
        ...


@configclass
class TrainConfig:
    """The configuration of a task that has no fields of its own."""

    loop: LoopConfig = dataclasses.field(default_factory=LoopConfig)
    optim: OptimConfig = dataclasses.field(
        default_factory=lambda: OptimConfig(learning_rate=1e-3, weight_decay=0.1, warmup_steps=100)
    )
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    seed: int = field(0, help="of initialisation and exploration")
