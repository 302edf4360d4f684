"""The gated feed-forward layer."""

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from hrm_jax.nn.linear import Linear


def swiglu_width(features: int, expansion: float) -> int:
    """F: `round(expansion * features * 2 / 3)`, rounded up to a multiple of 256."""
    return -(-round(expansion * features * 2 / 3) // 256) * 256


class SwiGLU(nnx.Module):
    """`down(silu(gate) * up)`, gate and up being the halves of one projection."""

    def __init__(self, features: int, width: int, *, rngs: nnx.Rngs):
        """Args: `features` in and out; `width` between, F, as `swiglu_width` or a config has it."""
        self.gate_up_proj = Linear(features, 2 * width, axes=("embed", "mlp"), rngs=rngs)
        self.down_proj = Linear(width, features, axes=("mlp", "embed"), rngs=rngs)

    def __call__(self, x: Float[Array, "*axes D"]) -> Float[Array, "*axes D"]:
        """Applies the layer over the last axis."""
        gate, up = jnp.split(self.gate_up_proj(x), 2, axis=-1)
        return self.down_proj(jax.nn.silu(gate) * up)
