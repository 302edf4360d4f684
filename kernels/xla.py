"""Attention in plain JAX: the path for CPU and Metal, and the reference for every kernel.

The formulation is the fastest found on CPU for short sequences (`BUILD.md`, "Benchmarks"): heads
moved to the batch, keys transposed beforehand so that both products are plain batched matrix
products, and the softmax normalised after the second product, on [T, K] instead of [T, S].
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def attention(
    query: Float[Array, "B T N K"],
    key: Float[Array, "B S N K"],
    value: Float[Array, "B S N K"],
    scale: float,
) -> Float[Array, "B T N K"]:
    """Softmax attention; scores and sums in float32, the result in the query's dtype."""
    query = jnp.einsum("BTNK->BNTK", query * scale)
    key = jnp.einsum("BSNK->BNKS", key)
    value = jnp.einsum("BSNK->BNSK", value)
    scores = _product(query, key)
    # The maximum only keeps exp in range: the result does not depend on it.
    peak = jax.lax.stop_gradient(scores.max(-1, keepdims=True))
    weights = jnp.exp(scores - peak)
    total = weights.sum(-1, keepdims=True)
    if value.dtype == jnp.float32:
        attended = _product(weights, value) / total
    else:  # normalised before rounding, so that the gradient's two parts cancel as they should
        attended = _product((weights / total).astype(value.dtype), value)
    return jnp.einsum("BNTK->BTNK", attended).astype(value.dtype)


def _product(left: Float[Array, "B N I J"], right: Float[Array, "B N J K"]) -> Array:
    """Batched matrix product with a float32 result."""
    return jnp.matmul(left, right, preferred_element_type=jnp.float32)
