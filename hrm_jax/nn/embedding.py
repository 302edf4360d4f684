"""Token embeddings and the puzzle prefix."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from hrm_jax.nn.keys import Keys
from hrm_jax.nn.linear import truncated_normal
from hrm_jax.nn.product import product
from hrm_jax.nn.quantized import QuantizedWeights

_FEW_TOKENS = 1024
"""Largest vocabulary whose gradient accelerators sum by a product with one-hot codes."""


class Embedding(nnx.Module):
    """A table of vectors.

    Attributes:
      table: [V, D].
    """

    def __init__(self, num_embeddings: int, features: int, *, std: float | None = None, rngs: Keys):
        """Draws the table with standard deviation `std`, or `1 / sqrt(D)` if None."""
        shape = (num_embeddings, features)
        table = truncated_normal(rngs.params(), shape, features**-0.5 if std is None else std)
        self.table = nnx.Param(table, axes=("entries", "embed"))

    def __call__(self, tokens: Int[Array, "B T"], dtype: jnp.dtype) -> Float[Array, "B T D"]:
        """Returns the tokens' vectors, in `dtype`."""
        table = self.table[...]
        if isinstance(table, QuantizedWeights):
            # Only the rows in use are widened.
            return table.look_up(tokens).astype(dtype)
        return look_up(table, tokens, dtype)

    def logits(self, hidden: Float[Array, "*axes D"]) -> Float[Array, "*axes V"]:
        """Returns the products of states with all vectors, for a head that shares the table."""
        table = self.table[...]
        # Quantised weights are outputs by inputs, as the table is, and take no transpose.
        return product(hidden, table if isinstance(table, QuantizedWeights) else table.T)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def look_up(
    table: Float[Array, "V D"], tokens: Int[Array, "B T"], dtype: jnp.dtype
) -> Float[Array, "B T D"]:
    """Returns rows of a table in `dtype`; the table's gradient is summed in float32.

    Automatic differentiation would sum thousands of rows in `dtype`, and a bfloat16 sum stops
    changing once it is 256 times what is added. Up to `_FEW_TOKENS` tokens an accelerator sums the
    rows by a product with one-hot codes: a scatter would serialise additions to the same row (15 of
    56 ms of the published HRM's training step on an H200), in an order that varies.
    """
    return table.astype(dtype)[tokens]


def _look_up_forward(table, tokens, dtype):
    # The table is no residual: its gradient depends on its length alone.
    return look_up(table, tokens, dtype), (tokens, table.shape[0])


def _look_up_backward(dtype, residuals, d_rows):
    del dtype
    tokens, V = residuals
    if V > _FEW_TOKENS or jax.default_backend() == "cpu":
        # float32 before the sum, not after it: that is what the custom derivative is for.
        zeros = jnp.zeros((V, d_rows.shape[-1]), jnp.float32)
        return zeros.at[tokens].add(d_rows.astype(jnp.float32)), None
    codes = jax.nn.one_hot(tokens, V, dtype=d_rows.dtype)
    # The sums need all bits of float32 rows; codes and bfloat16 rows are exact in any case.
    exact = jax.lax.Precision.HIGHEST
    sums = jnp.einsum(
        "BTV,BTD->VD", codes, d_rows, precision=exact, preferred_element_type=jnp.float32
    )
    return sums, None


look_up.defvjp(_look_up_forward, _look_up_backward)


def puzzle_prefix(
    rows: Float[Array, "B E"], prefix_length: int, features: int
) -> Float[Array, "B P D"]:
    """Returns the puzzle rows, padded with zeros to P * D, as P prefix tokens."""
    padding = prefix_length * features - rows.shape[-1]
    padded = jnp.pad(rows, ((0, 0), (0, padding)))
    return padded.reshape(rows.shape[0], prefix_length, features)
