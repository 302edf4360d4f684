"""The pre-norm block with gated attention, and their stack, which is a level of HRM-Text."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from flax import nnx
from jaxtyping import Array, Float

from hrm_jax.nn.attention import Attend, GatedAttention
from hrm_jax.nn.keys import Keys
from hrm_jax.nn.norm import rms_norm
from hrm_jax.nn.swiglu import SwiGLU


@dataclasses.dataclass(frozen=True)
class GatedBlockConfig:
    """Sizes of one block.

    Attributes:
      features: D.
      num_heads: N.
      head_size: K.
      width: F, of the SwiGLU.
      norm_eps: epsilon of the RMS norms.
    """

    features: int
    num_heads: int
    head_size: int
    width: int
    norm_eps: float


class GatedBlock(nnx.Module):
    """`x = x + attention(rms(x)); x = x + swiglu(rms(x))`."""

    def __init__(self, config: GatedBlockConfig, *, rngs: Keys):
        """Draws the parameters of both sub-layers."""
        self.eps = config.norm_eps
        self.attn = GatedAttention(config.features, config.num_heads, config.head_size, rngs=rngs)
        self.mlp = SwiGLU(config.features, config.width, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B T D"], attend: Attend, memory: Any = None
    ) -> tuple[Float[Array, "B T D"], Any]:
        """Mixes over tokens, then over features; returns the states and attention's new memory."""
        mixed, memory = self.attn(rms_norm(x, eps=self.eps), attend, memory)
        x = x + mixed
        return x + self.mlp(rms_norm(x, eps=self.eps)), memory


class GatedStack(nnx.Module):
    """`rms(blocks(hidden + injection))`: one level of the hierarchy."""

    def __init__(self, config: GatedBlockConfig, num_layers: int, *, rngs: Keys):
        """Draws `num_layers` blocks of one shape."""
        self.eps = config.norm_eps
        self.layers = nnx.List([GatedBlock(config, rngs=rngs) for _ in range(num_layers)])

    def __call__(
        self,
        hidden: Float[Array, "B T D"],
        injection: Float[Array, "B T D"],
        attend: Attend,
        memory: Sequence[Any] | None = None,
    ) -> tuple[Float[Array, "B T D"], tuple[Any, ...]]:
        """Calls the level once.

        Args:
          hidden: the level's own state.
          injection: the other level's state.
          attend: attention, used in every block.
          memory: one for each block; None where nothing is kept.

        Returns:
          The new state, and the blocks' new memories.
        """
        x = hidden + injection
        kept = []
        for layer, own in zip(self.layers, memory or [None] * len(self.layers), strict=True):
            x, own = layer(x, attend, own)
            kept.append(own)
        # Pre-norm blocks let their sum grow, which the other level will add to its own state.
        return rms_norm(x, eps=self.eps), tuple(kept)
