"""Sign-SGD on those rows of the puzzle-embedding table that a batch used."""

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
    """A gradient, or an update, of some rows of a table; a row may occur several times.

    Attributes:
      identifiers: numbers of the rows, int32.
      values: one vector for each, float32.
    """

    identifiers: Int[Array, " B"]
    values: Float[Array, "B E"]


class SignSGDRowsState(NamedTuple):
    """State of `sign_sgd_rows`: `count` updates done, int32."""

    count: Int[Array, ""]


def sign_sgd_rows(
    learning_rate: optax.ScalarOrSchedule, weight_decay: float = 0.0
) -> optax.GradientTransformation:
    """Returns sign-SGD for rows: `row <- row (1 - lr wd) - lr sign(sum g)`.

    Rows that are not in the batch stay unchanged.

    The gradients of equal identifiers are summed over the whole batch before the sign is taken.

    Args:
      learning_rate: a number, or a schedule called with the number of updates done before.
      weight_decay: decoupled weight decay, multiplied by the learning rate.

    Returns:
      A transformation of `SparseRows` gradients, with the table [I, E] as its parameters. It
      returns `SparseRows` for `apply_row_updates`, equal values for equal identifiers.
    """

    def init(params) -> SignSGDRowsState:
        del params
        return SignSGDRowsState(jnp.zeros([], jnp.int32))

    def update(updates, state, params=None) -> tuple[Any, SignSGDRowsState]:
        if params is None:
            raise ValueError("sign_sgd_rows needs the table: call update(grads, state, table)")
        rate = rate_at(learning_rate, state.count)
        # [B, B], where a one-hot matrix over the table would have a column for every puzzle.
        same = updates.identifiers[:, None] == updates.identifiers[None, :]
        summed = _sums_of_equals(same, updates.values)
        deltas = -rate * (weight_decay * params[updates.identifiers] + jnp.sign(summed))
        count = state.count + 1
        return SparseRows(updates.identifiers, deltas), SignSGDRowsState(count)

    return optax.GradientTransformation(init, update)


def _sums_of_equals(same: Bool[Array, "B B"], values: Float[Array, "B E"]) -> Float[Array, "B E"]:
    """Returns for each row the sum of all rows with its identifier."""
    if jax.default_backend() == "cpu":
        # Rows with the same identifier add up at the place of the first of them.
        first = jnp.argmax(same, axis=1)
        return jnp.zeros_like(values).at[first].add(values)[first]
    # A scatter on an accelerator adds in an order that varies from run to run, and rounding can
    # then change a sum's sign. A product with the one-hot matrix has a fixed order.
    return jnp.dot(same.astype(values.dtype), values, precision=jax.lax.Precision.HIGHEST)


def apply_row_updates(table: Float[Array, "I E"], updates: SparseRows) -> Float[Array, "I E"]:
    """Returns the table with each updated row moved once, even if its identifier repeats."""
    # `set` and not `add`: repeated identifiers write equal values, and so move their row once.
    moved = table[updates.identifiers] + updates.values
    return table.at[updates.identifiers].set(moved)
