"""Sign-SGD on the rows of the puzzle-embedding table that a batch touched."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float, Int

from hrm_jax.optim.schedules import rate_at


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

    def init(params) -> SignSGDRowsState:
        del params
        return SignSGDRowsState(jnp.zeros([], jnp.int32))

    def update(updates, state, params=None) -> tuple[Any, SignSGDRowsState]:
        if params is None:
            raise ValueError("sign_sgd_rows needs the table: call update(grads, state, table)")
        rate = rate_at(learning_rate, state.count)
        same = updates.identifiers[:, None] == updates.identifiers[None, :]
        summed = _sums_of_equals(same, updates.values)
        deltas = -rate * (weight_decay * params[updates.identifiers] + jnp.sign(summed))
        count = state.count + 1
        return SparseRows(updates.identifiers, deltas), SignSGDRowsState(count)

    return optax.GradientTransformation(init, update)


def _sums_of_equals(same: Bool[Array, "B B"], values: Float[Array, "B E"]) -> Float[Array, "B E"]:
    """Returns for each row the sum of the rows that are the same as it."""
    if jax.default_backend() == "cpu":
        first = jnp.argmax(same, axis=1)  # repeats share the place of their first occurrence
        return jnp.zeros_like(values).at[first].add(values)[first]
    # A scatter would add in an order that changes from run to run, and with it a sum's sign.
    return jnp.dot(same.astype(values.dtype), values, precision=jax.lax.Precision.HIGHEST)


def apply_row_updates(table: Float[Array, "I E"], updates: SparseRows) -> Float[Array, "I E"]:
    """Returns the table with each updated row moved once, however often its identifier repeats."""
    moved = table[updates.identifiers] + updates.values
    return table.at[updates.identifiers].set(moved)
