"""The gated feed-forward layer, with a backward pass of its own."""

import math

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from hrm_jax.nn.keys import Keys
from hrm_jax.nn.linear import Linear
from hrm_jax.nn.product import over_tokens, product
from hrm_jax.nn.quantized import QuantizedWeights

_FEW_TOKENS = 1024
"""Number of tokens below which, without a gradient, the result is split and not the kernel. A split
kernel is copied, which in decoding a token would move its bytes three times."""


def swiglu_width(features: int, expansion: float, multiple: int = 256) -> int:
    """Returns F: `round(expansion * features * 2 / 3)`, rounded up to a multiple of `multiple`."""
    return -(-round(expansion * features * 2 / 3) // multiple) * multiple


class SwiGLU(nnx.Module):
    """`down(silu(gate) * up)`, gate and up being the halves of one projection."""

    def __init__(self, features: int, width: int, *, use_bias: bool = False, rngs: Keys):
        """Draws both projections.

        Args:
          features: D, in and out.
          width: F, the size in between, from `swiglu_width` or a config.
          use_bias: whether both projections have biases.
          rngs: source of the initialisation keys.
        """
        self.gate_up_proj = Linear(
            features, 2 * width, axes=("embed", "mlp"), use_bias=use_bias, rngs=rngs
        )
        self.down_proj = Linear(
            width, features, axes=("mlp", "embed"), use_bias=use_bias, rngs=rngs
        )

    def __call__(self, x: Float[Array, "*axes D"]) -> Float[Array, "*axes D"]:
        """Returns the layer applied over the last axis."""
        gate_up = self.gate_up_proj.kernel[...]
        down = self.down_proj.kernel[...]
        # Quantised kernels have no derivative that could be written by hand.
        if not self.gate_up_proj.use_bias and not isinstance(gate_up, QuantizedWeights):
            return _swiglu(x, gate_up, down)
        gate, up = jnp.split(self.gate_up_proj(x), 2, axis=-1)
        return self.down_proj(jax.nn.silu(gate) * up)


@jax.custom_vjp
def _swiglu(
    x: Float[Array, "*axes D"], gate_up: Float[Array, "D 2F"], down: Float[Array, "F D"]
) -> Float[Array, "*axes D"]:
    if math.prod(x.shape[:-1]) >= _FEW_TOKENS:
        return _forward(x, gate_up, down)[0]
    gate, up = jnp.split(product(x, gate_up), 2, axis=-1)
    return product(jax.nn.silu(gate) * up, down)


def _forward(x, gate_up, down):
    # The kernel is split and not the result: see `_backward`.
    gate_kernel, up_kernel = jnp.split(gate_up, 2, axis=-1)
    gate = product(x, gate_kernel)
    up = product(x, up_kernel)
    return product(jax.nn.silu(gate) * up, down), (x, gate, up, gate_up, down)


def _backward(residuals, d_out):
    """Returns the cotangents, computed so that XLA on CPU is fast at it.

    The derivative of splitting the wide result would join the two halves by padding, which takes
    longer than the products; so the kernel is split.
    """
    x, gate, up, gate_up, down = residuals
    gate_kernel, up_kernel = jnp.split(gate_up, 2, axis=-1)
    sigmoid = jax.nn.sigmoid(gate)
    silu = gate * sigmoid
    d_hidden = product(d_out, down.T)
    d_up = d_hidden * silu
    # The derivative of silu, with the sigmoid used again: s + g s (1 - s), where silu = g s.
    d_gate = d_hidden * up * (sigmoid + silu * (1 - sigmoid))
    d_x = product(d_gate, gate_kernel.T) + product(d_up, up_kernel.T)
    d_gate_up = jnp.concatenate([over_tokens(x, d_gate), over_tokens(x, d_up)], axis=-1)
    # `over_tokens` wants the narrower factor first: D is less than F, so the result is turned
    # instead.
    d_down = over_tokens(d_out, silu * up).T
    return d_x, d_gate_up.astype(gate_up.dtype), d_down.astype(down.dtype)


_swiglu.defvjp(_forward, _backward)
