"""The smallest task: a user's own, model and loss included, compiled in a moment."""

import collections
import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from hrm_jax.core.types import Variables
from hrm_jax.training.run_config import LoopConfig, TrainConfig
from hrm_jax.training.task import Task

TRACED = collections.Counter()
"""How often the step of each model was traced."""


@dataclasses.dataclass(frozen=True)
class Table:
    """A model of V symbols: for each a row of scores, `scale` times."""

    scale: float = 1.0

    def init(self, key):
        return Variables({"table": jax.random.normal(key, (6, 6))}, {}, None)

    def initial_carry(self, variables, batch):
        return None

    def begin(self, variables, carry, batch, *, key):
        return batch, None

    def think(self, variables, begun, *, draws=None, row_offsets=None):
        TRACED[self] += 1
        inputs, labels = begun
        return None, (self.scale * variables.params["table"][inputs], labels)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Metrics:
    loss: jax.Array


class TinyTask(Task):
    """The symbol after each of 20 symbols, four rows at a time."""

    def __init__(self, steps: int = 4):
        every = {"log_every": 2, "evaluate_every": 2, "checkpoint_every": 2}
        self.config = TrainConfig(loop=LoopConfig(steps=steps, **every))

    model = Table()

    def loss(self, carry, outputs):
        scores, labels = outputs
        loss = -jnp.take_along_axis(jax.nn.log_softmax(scores), labels[..., None], -1).sum()
        return loss, Metrics(loss)

    def batch(self, number):
        inputs = np.random.default_rng(number).integers(0, 6, (4, 20), np.int32)
        return inputs, (inputs + 1) % 6
