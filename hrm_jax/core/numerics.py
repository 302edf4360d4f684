"""Stablemax, the originals' replacement for softmax: `p = s(x) / sum s(x)`."""

import jax.numpy as jnp
from jaxtyping import Array, Float


def stablemax_scores(x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """`s(x) = x + 1` for x >= 0 and `1 / (1 - x)` below: positive, increasing, in the dtype of x.

    The originals add 1e-30 to `1 - x`, which no float can see there.
    """
    return jnp.where(x >= 0, x + 1, 1 / (1 - jnp.minimum(x, 0)))
