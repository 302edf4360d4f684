"""Token embeddings and the puzzle prefix."""

import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from hrm_jax.nn.linear import truncated_normal

_FEW_TOKENS = 1024
"""Vocabularies up to here are summed by one-hot codes on accelerators."""


class Embedding(nnx.Module):
    """A table of vectors.

    Attributes:
      table: [V, D].
    """

    def __init__(
        self, num_embeddings: int, features: int, *, std: float | None = None, rngs: nnx.Rngs
    ):
        """Draws the table with standard deviation `std`, `1 / sqrt(D)` when None."""
        shape = (num_embeddings, features)
        table = truncated_normal(rngs.params(), shape, features**-0.5 if std is None else std)
        self.table = nnx.Param(table, axes=(None, "embed"))

    def __call__(self, tokens: Int[Array, "B T"], dtype: jnp.dtype) -> Float[Array, "B T D"]:
        """Looks the tokens up, in `dtype`."""
        return look_up(self.table[...], tokens, dtype)


@functools.partial(jax.custom_vjp, nondiff_argnums=(2,))
def look_up(
    table: Float[Array, "V D"], tokens: Int[Array, "B T"], dtype: jnp.dtype
) -> Float[Array, "B T D"]:
    """Returns rows of a table, in `dtype`, whose gradient is summed in float32.

    Automatic differentiation would add thousands of rows up in `dtype`, and a bfloat16 sum stands
    still once it is 256 times what is added. An accelerator adds rows of a few hundred tokens by
    a product with their one-hot codes: scattered, they would wait for each other (15 of 56 ms of
    the published HRM's training step on an H200), and in an order that changes.
    """
    return table.astype(dtype)[tokens]


def _look_up_forward(table, tokens, dtype):
    return look_up(table, tokens, dtype), (tokens, table.shape[0])


def _look_up_backward(dtype, residuals, d_rows):
    del dtype
    tokens, V = residuals
    if V > _FEW_TOKENS or jax.default_backend() == "cpu":
        zeros = jnp.zeros((V, d_rows.shape[-1]), jnp.float32)
        return zeros.at[tokens].add(d_rows.astype(jnp.float32)), None
    codes = jax.nn.one_hot(tokens, V, dtype=d_rows.dtype)
    exact = jax.lax.Precision.HIGHEST  # as sums are; codes and bfloat16 are exact in any case
    sums = jnp.einsum(
        "BTV,BTD->VD", codes, d_rows, precision=exact, preferred_element_type=jnp.float32
    )
    return sums, None


look_up.defvjp(_look_up_forward, _look_up_backward)


def puzzle_prefix(
    rows: Float[Array, "B E"], prefix_length: int, features: int
) -> Float[Array, "B P D"]:
    """Cuts puzzle rows, padded with zeros to P * D, into P prefix tokens."""
    padding = prefix_length * features - rows.shape[-1]
    padded = jnp.pad(rows, ((0, 0), (0, padding)))
    return padded.reshape(rows.shape[0], prefix_length, features)
