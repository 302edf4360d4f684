"""Sign-SGD on the rows of the puzzle-embedding table that a batch touched."""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class SparseRows:
    """A gradient or an update of some rows of a table; rows may repeat.

    Attributes:
      identifiers: which rows, int32.
      values: one row each, float32.
    """

    identifiers: Int[Array, " B"]
    values: Float[Array, "B E"]


class SignSGDRowsState(NamedTuple):
    """State of `sign_sgd_rows`: `count` updates done, int32."""

    count: Int[Array, ""]


def sign_sgd_rows(
    learning_rate: optax.ScalarOrSchedule, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """`row <- row (1 - lr wd) - lr sign(sum g)` for the rows in the batch, the others untouched.

    The gradients of equal identifiers are summed over the whole batch before the sign is taken.

    Args:
      learning_rate: a number, or a schedule called with the number of updates done before.
      weight_decay: decoupled weight decay, in units of the learning rate.

    Returns:
      A transformation of `SparseRows` gradients, with the table [I, E] as its parameters, into
      `SparseRows` for `apply_row_updates`; repeated identifiers come with equal values.
    """

    def init(table: Float[Array, "I E"]) -> SignSGDRowsState:
        del table
        return SignSGDRowsState(jnp.zeros([], jnp.int32))

    def update(grads: SparseRows, state: SignSGDRowsState, table=None):
        if table is None:
            raise ValueError(optax.NO_PARAMS_MSG)
        rate = learning_rate(state.count) if callable(learning_rate) else learning_rate
        same = grads.identifiers[:, None] == grads.identifiers[None, :]
        first = jnp.argmax(same, axis=1)  # repeats share the place of their first occurrence
        summed = jnp.zeros_like(grads.values).at[first].add(grads.values)[first]
        deltas = -rate * (weight_decay * table[grads.identifiers] + jnp.sign(summed))
        count = optax.safe_int32_increment(state.count)
        return SparseRows(grads.identifiers, deltas), SignSGDRowsState(count)

    return optax.GradientTransformation(init, update)


def apply_row_updates(table: Float[Array, "I E"], updates: SparseRows) -> Float[Array, "I E"]:
    """The table with each updated row moved once, however often its identifier repeats."""
    moved = table[updates.identifiers] + updates.values
    return table.at[updates.identifiers].set(moved)
