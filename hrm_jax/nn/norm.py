"""Root-mean-square normalisation, without weights and with."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from hrm_jax.nn.quantized import ExactScale


def rms_norm(x: Float[Array, "*axes"], *, eps: float, axis: int = -1) -> Float[Array, "*axes"]:
    """Returns `x * rsqrt(mean(x^2) + eps)` over `axis`, computed in float32, in the dtype of x."""
    wide = x.astype(jnp.float32)
    mean_square = jnp.mean(jnp.square(wide), axis=axis, keepdims=True)
    return (wide * jax.lax.rsqrt(mean_square + eps)).astype(x.dtype)


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
        scale = self.scale[...]
        # In models that are not trained; a row is then normalised to the same bits in any batch.
        if isinstance(scale, ExactScale):
            return scale.norm(x, self.eps)
        return rms_norm(x, eps=self.eps) * scale.astype(x.dtype)[(None,) * (x.ndim - 1)]
