"""Resumable sources of a run's batches."""

from collections.abc import Callable
from typing import Any, Protocol

from jax.sharding import Mesh

from hrm_jax.core.mesh import global_batch, split_batch


class BatchIterator(Protocol):
    """Resumable iterator of a run's batches."""

    def __next__(self) -> Any:
        """Returns the next batch, placed on the devices."""
        ...

    def get_state(self) -> Any:
        """Returns a JSON value that identifies the next batch."""
        ...

    def set_state(self, state: Any) -> None:
        """Continues from where `get_state` returned `state`."""
        ...


class PlacedBatches:
    """A pipeline's batches, converted to what the model takes, and placed on the devices."""

    def __init__(self, batches: Any, convert: Callable[[Any], Any], mesh: Mesh):
        """Wraps a pipeline.

        Args:
          batches: a resumable iterator of this process's part of each batch, NumPy arrays.
          convert: maps the iterator's item to the pytree that the model takes.
          mesh: the devices.
        """
        self._batches = batches
        self._convert = convert
        self._mesh = mesh

    def __next__(self) -> Any:
        """Returns the next global batch."""
        # Each process converts its own rows; together they are one array over all devices.
        return global_batch(self._convert(next(self._batches)), self._mesh)

    def get_state(self) -> Any:
        """Returns the pipeline's position, as JSON."""
        return self._batches.get_state()

    def set_state(self, state: Any) -> None:
        """Continues from where `get_state` returned `state`."""
        self._batches.set_state(state)


class NumberedBatches:
    """Batches that are a function of their number alone, placed on the devices."""

    def __init__(self, make: Callable[[int], Any], mesh: Mesh):
        """Takes `make`, from a number to a global batch of NumPy arrays, and the devices."""
        self._make = make
        self._mesh = mesh
        self._next = 0

    def __next__(self) -> Any:
        """Returns the next global batch."""
        # Every process makes the whole batch and places those rows of it that its devices hold.
        batch = split_batch(self._make(self._next), self._mesh)
        self._next += 1
        return batch

    def get_state(self) -> int:
        """Returns the number of the next batch."""
        return self._next

    def set_state(self, state: int) -> None:
        """Continues with the batch of this number."""
        self._next = state
