"""Attention in plain JAX: the path for CPU and Metal, and the reference for every kernel."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def attention(
    query: Float[Array, "B T N K"],
    key: Float[Array, "B S N K"],
    value: Float[Array, "B S N K"],
    scale: float,
) -> Float[Array, "B T N K"]:
    """Softmax attention; scores and softmax in float32, the result in the query's dtype."""
    scores = jnp.einsum("BTNK,BSNK->BNTS", query * scale, key, preferred_element_type=jnp.float32)
    weights = jax.nn.softmax(scores, axis=-1).astype(value.dtype)
    return jnp.einsum("BNTS,BSNK->BTNK", weights, value)
