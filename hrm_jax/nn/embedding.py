"""Token embeddings and the puzzle prefix."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from hrm_jax.nn.linear import truncated_normal


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
        return self.table[...].astype(dtype)[tokens]


def puzzle_prefix(
    rows: Float[Array, "B E"], prefix_length: int, features: int
) -> Float[Array, "B P D"]:
    """Cuts puzzle rows, padded with zeros to P * D, into P prefix tokens."""
    padding = prefix_length * features - rows.shape[-1]
    padded = jnp.pad(rows, ((0, 0), (0, padding)))
    return padded.reshape(rows.shape[0], prefix_length, features)
