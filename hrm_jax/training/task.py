"""The definition of a training run: a model, a loss and batches, and defaults for the rest."""

import abc
import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float, PyTree

from hrm_jax.core.mesh import check_divisible
from hrm_jax.core.protocols import RecurrentModel
from hrm_jax.core.types import Variables
from hrm_jax.training.batches import BatchIterator, NumberedBatches
from hrm_jax.training.loop import Hooks
from hrm_jax.training.optimizers import make_optimizers
from hrm_jax.training.run_config import RunConfig, TrainConfig
from hrm_jax.training.state import Optimizers


class Task(abc.ABC):
    """Defines a run. A subclass gives `model`, `loss` and `batch`; all else has a default.

        class Reversal(Task):  # writes digits backwards
            model = PuzzleModel(trm(seq_len=8, vocab_size=6, hidden_size=32, num_heads=2))

            def loss(self, carry, outputs):
                return act_loss(carry, outputs)

            def batch(self, number):
                digits = np.random.default_rng(number).integers(1, 6, (32, 8), np.int32)
                return Batch(digits, digits[:, ::-1], np.zeros(32, np.int32))

    A task whose batches come from a pipeline overrides `training_batches` and `abstract_batch`
    instead of `batch`.

    Attributes:
      config: the run's configuration.
    """

    config: RunConfig = TrainConfig()

    @property
    @abc.abstractmethod
    def model(self) -> RecurrentModel:
        """The trained model; hashable, as it is a static argument of the compiled step."""

    @abc.abstractmethod
    def loss(self, carry: Any, outputs: Any, /) -> tuple[Float[Array, ""], PyTree[Any]]:
        """Returns a step's loss and its metrics, a dataclass of scalars, all summed over B."""

    def batch(self, number: int) -> Any:
        """Returns the global batch of a step as NumPy arrays, a function of its number alone."""
        raise NotImplementedError(
            f"{type(self).__name__}: expected batch(number), or training_batches(data, mesh) and "
            "abstract_batch(); define one or the others"
        )

    def model_at(self, step: int) -> RecurrentModel:
        """Returns the model that is trained after `step` steps.

        Each distinct model is compiled once. All of them must take the same variables.
        """
        del step
        return self.model

    @functools.cached_property
    def optimizers(self) -> Optimizers:
        """Both optimisers, with schedules as long as the run."""
        return make_optimizers(self.config.optim, self.config.loop.steps)

    def start_from(self, fresh: Variables) -> Variables:
        """Returns the values from which training starts: `fresh`, unless overridden."""
        return fresh

    def load(self) -> Any:
        """Returns training and held-out data, which are prepared at first use; None by default."""
        return None

    def fingerprint(self, data: Any) -> str | None:
        """Returns a hash of what is learned from, or None where resumed runs need not compare it.

        Args:
          data: as `load` returned them.
        """
        del data
        return None

    def abstract_batch(self) -> Any:
        """Returns the shapes and dtypes of a global batch."""
        # From any batch, as all have one shape.
        as_shape = lambda x: jax.ShapeDtypeStruct(np.shape(x), np.asarray(x).dtype)  # noqa: E731
        return jax.tree.map(as_shape, self.batch(0))

    def training_batches(self, data: Any, mesh: Mesh) -> BatchIterator:
        """Returns endless batches of the data of `load`, of which each process holds its part.

        Raises:
          ConfigError: the devices cannot share a batch equally.
        """
        del data
        check_divisible("batch", self._batch_size, mesh)
        return NumberedBatches(self.batch, mesh)

    def average(self, sums: Mapping[str, float], steps: int) -> Mapping[str, float]:
        """Returns the log's averages of metrics summed over `steps` steps: means over sequences."""
        return {name: value / (steps * self._batch_size) for name, value in sums.items()}

    def hooks(self, data: Any, batches: Any, mesh: Mesh) -> Hooks:
        """Returns the functions that the loop calls besides the step; by default only averages.

        Args:
          data: as `load` returned it.
          batches: as `training_batches` returned them; the loop draws from them.
          mesh: the devices.
        """
        del data, batches, mesh
        return Hooks(self.average)

    @functools.cached_property
    def _batch_size(self) -> int:
        # All leaves of a batch have its rows as their first axis.
        return jax.tree.leaves(self.abstract_batch())[0].shape[0]
