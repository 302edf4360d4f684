"""Multi-head self-attention over all tokens."""

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

import kernels
from hrm_jax.nn.linear import Linear
from hrm_jax.nn.rope import rope_table


class SelfAttention(nnx.Module):
    """Unmasked multi-head attention with one fused projection.

    The columns of `qkv_proj` give all query heads, then all key heads, then all value heads.
    """

    def __init__(
        self,
        features: int,
        num_heads: int,
        *,
        rope_theta: float | None,
        backend: str | None = None,
        rngs: nnx.Rngs,
    ):
        """Draws both projections.

        Args:
          features: D.
          num_heads: N, a divisor of D.
          rope_theta: base of the rotary positions; None for no rotation.
          backend: which kernel to take, as `kernels.attention` has it.
          rngs: source of the initialisation keys.
        """
        self.num_heads = num_heads
        self.rope_theta = rope_theta
        self.backend = backend
        self.qkv_proj = Linear(features, 3 * features, axes=("embed", "heads"), rngs=rngs)
        self.o_proj = Linear(features, features, axes=("heads", "embed"), rngs=rngs)

    def __call__(self, x: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        """Mixes the tokens of each sequence."""
        B, L, D = x.shape
        heads = (B, L, self.num_heads, D // self.num_heads)
        query, key, value = (part.reshape(heads) for part in jnp.split(self.qkv_proj(x), 3, -1))
        rope = None if self.rope_theta is None else rope_table(L, heads[-1], self.rope_theta)
        mixed = kernels.attention(query, key, value, rope=rope, backend=self.backend)
        return self.o_proj(mixed.reshape(B, L, D))
