"""What the training floor asks of a model and of a loss, so that it need know neither by name."""

from typing import Any, Protocol

from jaxtyping import Array, Float, PRNGKeyArray, PyTree

from hrm_jax.core.types import Batch, Carry, Outputs, Variables


class RecurrentModel(Protocol):
    """A model that takes one step of thought at a time."""

    def init(self, key: PRNGKeyArray) -> Variables:
        """Fresh variables."""
        ...

    def initial_carry(self, variables: Variables, batch: Batch) -> Carry:
        """The carry before the first step on batches shaped like `batch`."""
        ...

    def step(
        self,
        variables: Variables,
        carry: Carry,
        batch: Batch,
        *,
        key: PRNGKeyArray | None = None,
        row_offsets: Float[Array, "B E"] | None = None,
    ) -> tuple[Carry, Outputs]:
        """One step; see `hrm_jax.models.act.Model.step`."""
        ...


class StepLoss(Protocol):
    """A loss of one step, summed over the batch."""

    def __call__(self, carry: Carry, outputs: Outputs) -> tuple[Float[Array, ""], PyTree[Any]]:
        """The summed loss, and metrics summed over the batch."""
        ...
