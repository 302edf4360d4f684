"""Root-mean-square normalisation, without weights and with."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float


def rms_norm(x: Float[Array, "*axes"], *, eps: float, axis: int = -1) -> Float[Array, "*axes"]:
    """Returns `x * rsqrt(mean(x^2) + eps)` over `axis`, computed in float32, in the dtype of x."""
    wide = x.astype(jnp.float32)
    mean_square = jnp.mean(jnp.square(wide), axis=axis, keepdims=True)
    return (wide * jax.lax.rsqrt(mean_square + eps)).astype(x.dtype)

_ROWS = 8
"""Number of vectors below which they are filled up: of fewer, XLA on CPU sums the squares in an
order that depends on their number, and a token's last bits would depend on its neighbours."""


class RMSNorm(nnx.Module):
    """`rms_norm(x) * scale` over the last axis, the product in the dtype of x.

    Attributes:
      scale: [D], ones at first.
    """

    def __init__(self, features: int, *, eps: float):
        """Initialises the scale with ones; `features` is D, `eps` as in `rms_norm`."""
        self.eps = eps
        self.scale = nnx.Param(jnp.ones(features, jnp.float32), axes=("embed",))

    def __call__(self, x: Float[Array, "*axes D"]) -> Float[Array, "*axes D"]:
        """Returns `x` normalised and scaled, in its dtype."""
        scale = self.scale[...].astype(x.dtype)
        rows = math.prod(x.shape[:-1])
        if rows >= _ROWS:
            return rms_norm(x, eps=self.eps) * scale[(None,) * (x.ndim - 1)]
        # The barrier keeps XLA from computing only the rows that are wanted.
        padded = jnp.pad(x.reshape(rows, -1), ((0, _ROWS - rows), (0, 0)))
        normed = rms_norm(jax.lax.optimization_barrier(padded), eps=self.eps) * scale[None]
        return jax.lax.optimization_barrier(normed)[:rows].reshape(x.shape)
