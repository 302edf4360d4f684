"""Multi-head self-attention over all tokens."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

import kernels
from hrm_jax.nn.linear import Linear
from hrm_jax.nn.rope import apply_rope, rope_table


class SelfAttention(nnx.Module):
    """Unmasked multi-head attention with one fused projection.

    The columns of `qkv_proj` give all query heads, then all key heads, then all value heads.
    """

    def __init__(self, features: int, num_heads: int, *, rope_theta: float | None, rngs: nnx.Rngs):
        """Args: `rope_theta` is the base of the rotary positions; None for no rotation."""
        self.num_heads = num_heads
        self.rope_theta = rope_theta
        self.qkv_proj = Linear(features, 3 * features, axes=("embed", "heads"), rngs=rngs)
        self.o_proj = Linear(features, features, axes=("heads", "embed"), rngs=rngs)

    def __call__(self, x: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        """Mixes the tokens of each sequence."""
        B, L, D = x.shape
        heads = (B, L, self.num_heads, D // self.num_heads)
        query, key, value = (part.reshape(heads) for part in jnp.split(self.qkv_proj(x), 3, -1))
        if self.rope_theta is not None:
            cos, sin = rope_table(L, heads[-1], self.rope_theta)
            query, key = apply_rope(query, cos, sin), apply_rope(key, cos, sin)
        return self.o_proj(kernels.attention(query, key, value).reshape(B, L, D))
