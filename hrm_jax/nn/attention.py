"""Self-attention: over all tokens of a puzzle; and gated or grouped, with attention passed in."""

from collections.abc import Callable
from typing import Any, TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

import hrm_kernels
from hrm_jax.nn.keys import Keys
from hrm_jax.nn.linear import Linear
from hrm_jax.nn.norm import RMSNorm
from hrm_jax.nn.rope import rope_table

Attend: TypeAlias = Callable[[Array, Array, Array, Any], tuple[Array, Any]]
"""`(query, key, value, memory) -> (mixed, memory)`: query and mixed [B, T, N, K], the others
[B, T, M, K].

It owns mask, rotation and cache, of which the layers know nothing. `memory` is that of one layer;
None where nothing is kept.
"""


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
        rngs: Keys,
    ):
        """Draws both projections.

        Args:
          features: D.
          num_heads: N, a divisor of D.
          rope_theta: base of the rotary positions; None for no rotation.
          backend: a backend of `hrm_kernels.attention`; None for its choice.
          rngs: source of the initialisation keys.
        """
        self.num_heads = num_heads
        self.rope_theta = rope_theta
        self.backend = backend
        self.qkv_proj = Linear(features, 3 * features, axes=("embed", "heads"), rngs=rngs)
        self.o_proj = Linear(features, features, axes=("heads", "embed"), rngs=rngs)

    def __call__(self, x: Float[Array, "B L D"]) -> Float[Array, "B L D"]:
        """Returns the mixed tokens of each sequence."""
        B, L, D = x.shape
        heads = (B, L, self.num_heads, D // self.num_heads)
        query, key, value = (part.reshape(heads) for part in jnp.split(self.qkv_proj(x), 3, -1))
        # Tables are computed by NumPy at trace time, and are constants of the program.
        rope = None if self.rope_theta is None else rope_table(L, heads[-1], self.rope_theta)
        mixed = hrm_kernels.attention(query, key, value, rope=rope, backend=self.backend)
        return self.o_proj(mixed.reshape(B, L, D))


class GatedAttention(nnx.Module):
    """Multi-head attention with a sigmoid gate on each element of its output.

    The columns of `gqkv_proj` give all gates, then all query heads, all key heads, all value heads.
    """

    def __init__(self, features: int, num_heads: int, head_size: int, *, rngs: Keys):
        """Draws both projections.

        Args:
          features: D.
          num_heads: N.
          head_size: K; N * K need not be D.
          rngs: source of the initialisation keys.
        """
        self.num_heads = num_heads
        inner = num_heads * head_size
        self.gqkv_proj = Linear(features, 4 * inner, axes=("embed", "heads"), rngs=rngs)
        self.o_proj = Linear(inner, features, axes=("heads", "embed"), rngs=rngs)

    def __call__(
        self, x: Float[Array, "B T D"], attend: Attend, memory: Any = None
    ) -> tuple[Float[Array, "B T D"], Any]:
        """Mixes the tokens by `attend`; returns them and the new memory."""
        B, T, _ = x.shape
        gate, *parts = jnp.split(self.gqkv_proj(x), 4, -1)
        query, key, value = (part.reshape(B, T, self.num_heads, -1) for part in parts)
        mixed, memory = attend(query, key, value, memory)
        return self.o_proj(jax.nn.sigmoid(gate) * mixed.reshape(B, T, -1)), memory


class GroupedAttention(nnx.Module):
    """Attention in which N / M query heads share each key head.

    The columns of `qkv_proj` give all query heads, then all key heads, then all value heads.
    """

    def __init__(
        self,
        features: int,
        num_heads: int,
        num_key_heads: int,
        head_size: int,
        *,
        qkv_bias: bool = False,
        out_bias: bool = False,
        qk_norm_eps: float | None = None,
        rngs: Keys,
    ):
        """Draws both projections.

        Args:
          features: D.
          num_heads: N.
          num_key_heads: M, a divisor of N.
          head_size: K; N * K need not be D.
          qkv_bias: whether queries, keys and values have biases.
          out_bias: whether the output has one.
          qk_norm_eps: epsilon of norms over each head of queries and keys; None for no norms.
          rngs: source of the initialisation keys.
        """
        self.head_size = head_size
        inner = num_heads * head_size
        shared = num_key_heads * head_size
        # Where queries end, and where keys do: no thirds, as there may be fewer key heads.
        self.split_points = (inner, inner + shared)
        self.qkv_proj = Linear(
            features, inner + 2 * shared, axes=("embed", "heads"), use_bias=qkv_bias, rngs=rngs
        )
        self.o_proj = Linear(inner, features, axes=("heads", "embed"), use_bias=out_bias, rngs=rngs)
        self.qk_norm = qk_norm_eps is not None
        if qk_norm_eps is not None:
            self.q_norm = RMSNorm(head_size, eps=qk_norm_eps)
            self.k_norm = RMSNorm(head_size, eps=qk_norm_eps)

    def __call__(
        self, x: Float[Array, "B T D"], attend: Attend, memory: Any = None
    ) -> tuple[Float[Array, "B T D"], Any]:
        """Mixes the tokens by `attend`; returns them and the new memory."""
        B, T, _ = x.shape
        parts = jnp.split(self.qkv_proj(x), self.split_points, axis=-1)
        query, key, value = (part.reshape(B, T, -1, self.head_size) for part in parts)
        if self.qk_norm:
            # Normalised before `attend` rotates them: a norm's scale differs by element, so the
            # order counts.
            query = self.q_norm(query)
            key = self.k_norm(key)
        mixed, memory = attend(query, key, value, memory)
        return self.o_proj(mixed.reshape(B, T, -1)), memory
