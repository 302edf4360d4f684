"""One optimiser step, as a pure function."""

import dataclasses
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, PyTree

from hrm_jax.core.protocols import RecurrentModel, StepLoss
from hrm_jax.core.types import Params, Variables
from hrm_jax.optim.puzzle_rows import SparseRows, apply_row_updates
from hrm_jax.training.state import Optimizers, TrainState

TrainStep = Callable[[RecurrentModel, TrainState, Any], tuple[TrainState, PyTree[Any]]]
"""`(model, state, batch) -> (state, metrics)`; `batch` as in `core.protocols.RecurrentModel`."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Gradients:
    """Gradients of one step's loss, divided by the batch size.

    Attributes:
      params: in the structure of the trained parameters.
      rows: gradients of the puzzle rows that the sequences used; None without puzzle rows.
    """

    params: Params
    rows: SparseRows | None


def compute_gradients(
    model: RecurrentModel,
    loss: StepLoss,
    variables: Variables,
    carry: Any,
    batch: Any,
    key: jax.Array,
) -> tuple[Gradients, Any, PyTree[Any]]:
    """Takes one step of the model and returns the gradients of its loss.

    Returns:
      The gradients, the new carry, and the loss's metrics, which are sums over the batch.
    """
    B = jax.tree.leaves(batch)[0].shape[0]
    table = variables.puzzle_rows
    # Zeros added to the rows in use: their gradient is [B, E], whereas that of the table would
    # have a row for every puzzle there is.
    offsets = None if table is None else jnp.zeros((B, table.shape[1]), table.dtype)

    def objective(params: Params, row_offsets: Float[Array, "B E"] | None):
        trained = dataclasses.replace(variables, params=params)
        new_carry, outputs = model.step(trained, carry, batch, key=key, row_offsets=row_offsets)
        loss_sum, metrics = loss(new_carry, outputs)
        return loss_sum / B, (new_carry, metrics)

    (params_grad, rows_grad), (carry, metrics) = jax.grad(objective, (0, 1), has_aux=True)(
        variables.params, offsets
    )
    # The new carry's identifiers: sequences that had halted took new puzzles in this step.
    rows = None if table is None else SparseRows(carry.data.puzzle_identifiers, rows_grad)
    return Gradients(params_grad, rows), carry, metrics


def make_train_step(loss: StepLoss, optimizers: Optimizers) -> TrainStep:
    """Returns the step `(model, state, batch) -> (state, metrics)`, for the caller to compile.

    The model is hashable, for `jit(..., static_argnums=0)`. The batch is the global one: under
    `jit` with sharded arrays, sums over it, and sums of the gradients of equal puzzle identifiers,
    go over all devices.
    """

    def train_step(
        model: RecurrentModel, state: TrainState, batch: Any
    ) -> tuple[TrainState, PyTree[Any]]:
        variables = state.variables
        # The key itself never changes: step n draws the same numbers in a resumed run as in an
        # uninterrupted one.
        key = jax.random.fold_in(state.key, state.step)
        grads, carry, metrics = compute_gradients(model, loss, variables, state.carry, batch, key)
        updates, opt_state = optimizers.dense.update(
            grads.params, state.opt_state, variables.params
        )
        table = variables.puzzle_rows
        row_opt_state = state.row_opt_state
        if grads.rows is not None and table is not None:
            update_rows: Any = optimizers.rows.update  # optax's types allow parameter trees alone
            row_updates, row_opt_state = update_rows(grads.rows, row_opt_state, table)
            table = apply_row_updates(table, row_updates)
        variables = Variables(
            optax.apply_updates(variables.params, updates), variables.buffers, table
        )
        new_state = TrainState(
            state.step + 1, state.key, variables, opt_state, row_opt_state, carry
        )
        return new_state, metrics

    return train_step
