"""Root-mean-square normalisation without weights."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def rms_norm(x: Float[Array, "*axes"], *, eps: float, axis: int = -1) -> Float[Array, "*axes"]:
    """`x * rsqrt(mean(x^2) + eps)` over `axis`, computed in float32, returned in x's dtype."""
    wide = x.astype(jnp.float32)
    mean_square = jnp.mean(jnp.square(wide), axis=axis, keepdims=True)
    return (wide * jax.lax.rsqrt(mean_square + eps)).astype(x.dtype)
