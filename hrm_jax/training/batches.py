"""Where a run's batches come from, and how it goes on after the last one it has seen."""

from collections.abc import Callable
from typing import Any, Protocol

from jax.sharding import Mesh

from hrm_jax.training.mesh import split_batch


class BatchIterator(Protocol):
    """Batches of this process, resumable."""

    def __next__(self) -> Any:
        """Returns the next batch, placed on the devices."""
        ...

    def get_state(self) -> Any:
        """Returns a JSON value that says which batch comes next."""
        ...

    def set_state(self, state: Any) -> None:
        """Goes to where `get_state` was called."""
        ...


class NumberedBatches:
    """Batches that are a function of their number, placed on the devices."""

    def __init__(self, make: Callable[[int], Any], mesh: Mesh):
        """Args: `make`, from a number to a global batch of NumPy arrays; `mesh`, where it goes."""
        self._make = make
        self._mesh = mesh
        self._next = 0

    def __next__(self) -> Any:
        """Returns the next global batch."""
        batch = split_batch(self._make(self._next), self._mesh)
        self._next += 1
        return batch

    def get_state(self) -> int:
        """Returns the number of the next batch."""
        return self._next

    def set_state(self, state: int) -> None:
        """Goes to the batch of this number."""
        self._next = state
