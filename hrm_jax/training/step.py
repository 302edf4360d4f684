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
from hrm_jax.training.parts import sum_over_parts
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
    *,
    parts: int = 1,
) -> tuple[Gradients, Any, PyTree[Any]]:
    """Takes one step of the model and returns the gradients of its loss.

    Args:
      model: makes the step.
      loss: of the step, summed over the batch.
      variables: the model's values.
      carry: what the last step returned.
      batch: leaves [B, ...].
      key: of everything random.
      parts: equal parts of the batch that are differentiated one after another, as
        `sum_over_parts` does. All that is random is drawn before.

    Returns:
      The gradients, the new carry, and the loss's metrics, which are sums over the batch.
    """
    begun, draws = model.begin(variables, carry, batch, key=key)
    B = jax.tree.leaves(batch)[0].shape[0]
    table = variables.puzzle_rows
    # Zeros added to the rows in use: their gradient is [B, E], whereas that of the table would
    # have a row for every puzzle there is.
    offsets = None if table is None else jnp.zeros((B, table.shape[1]), table.dtype)

    def differentiate(rows: Any) -> tuple[Params, PyTree[Any], tuple[Any, Any]]:
        """Returns the parameters' gradients, the metrics, and what there is for each row."""
        part, part_draws, part_offsets = rows

        def objective(params: Params, row_offsets: Float[Array, "B E"] | None):
            trained = dataclasses.replace(variables, params=params)
            new_carry, outputs = model.think(
                trained, part, draws=part_draws, row_offsets=row_offsets
            )
            loss_sum, metrics = loss(new_carry, outputs)
            return loss_sum / B, (new_carry, metrics)

        grads, (new_carry, metrics) = jax.grad(objective, (0, 1), has_aux=True)(
            variables.params, part_offsets
        )
        return grads[0], metrics, (grads[1], new_carry)

    rows = begun, draws, offsets
    zeros = jax.tree.map(jnp.zeros_like, variables.params)
    params_grad, metrics, (rows_grad, carry) = sum_over_parts(
        differentiate, rows, parts, zeros=zeros
    )
    # The new carry's identifiers: sequences that had halted took new puzzles in this step.
    sparse = None if table is None else SparseRows(carry.data.puzzle_identifiers, rows_grad)
    return Gradients(params_grad, sparse), carry, metrics


def make_train_step(loss: StepLoss, optimizers: Optimizers, *, parts: int = 1) -> TrainStep:
    """Returns the step `(model, state, batch) -> (state, metrics)`, for the caller to compile.

    The model is hashable, for `jit(..., static_argnums=0)`. The batch is the global one: under
    `jit` with sharded arrays, sums over it, and sums of the gradients of equal puzzle identifiers,
    go over all devices. `parts` is that of `compute_gradients`.
    """

    def train_step(
        model: RecurrentModel, state: TrainState, batch: Any
    ) -> tuple[TrainState, PyTree[Any]]:
        variables = state.variables
        # The key itself never changes: step n draws the same numbers in a resumed run as in an
        # uninterrupted one.
        key = jax.random.fold_in(state.key, state.step)
        grads, carry, metrics = compute_gradients(
            model, loss, variables, state.carry, batch, key, parts=parts
        )
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
