"""The pre-norm block with grouped attention, of Llama and similar models."""

import dataclasses
from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from hrm_jax.nn.attention import Attend, GroupedAttention
from hrm_jax.nn.keys import Keys
from hrm_jax.nn.norm import RMSNorm
from hrm_jax.nn.swiglu import SwiGLU


@dataclasses.dataclass(frozen=True)
class DecoderBlockConfig:
    """Sizes and options of one block.

    Attributes:
      features: D.
      num_heads: N.
      num_key_heads: M, a divisor of N.
      head_size: K.
      width: F, of the SwiGLU.
      norm_eps: epsilon of the RMS norms.
      qkv_bias, out_bias, mlp_bias: whether queries, keys and values, attention's output, and both
        projections of the SwiGLU have biases.
      qk_norm: whether each head of queries and keys is normalised before it is rotated.
    """

    features: int
    num_heads: int
    num_key_heads: int
    head_size: int
    width: int
    norm_eps: float
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False


class DecoderBlock(nnx.Module):
    """`x = x + attention(norm(x)); x = x + swiglu(norm(x))`, the norms with learned scales."""

    def __init__(self, config: DecoderBlockConfig, *, rngs: Keys):
        """Draws the parameters of both sub-layers."""
        D = config.features
        eps = config.norm_eps
        # Named as in transformers, since weights are loaded by these paths.
        self.input_layernorm = RMSNorm(D, eps=eps)
        self.self_attn = GroupedAttention(
            D,
            config.num_heads,
            config.num_key_heads,
            config.head_size,
            qkv_bias=config.qkv_bias,
            out_bias=config.out_bias,
            qk_norm_eps=eps if config.qk_norm else None,
            rngs=rngs,
        )
        self.post_attention_layernorm = RMSNorm(D, eps=eps)
        self.mlp = SwiGLU(D, config.width, use_bias=config.mlp_bias, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B T D"], attend: Attend, memory: Any = None
    ) -> tuple[Float[Array, "B T D"], Any]:
        """Mixes over tokens, then over features; returns the states and attention's new memory."""
        mixed, memory = self.self_attn(self.input_layernorm(x), attend, memory)
        x = x + mixed
        return x + self.mlp(self.post_attention_layernorm(x)), memory
