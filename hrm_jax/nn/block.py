"""The post-norm transformer block, and their stack, which is a level of HRM and TRM."""

import dataclasses
from collections.abc import Mapping
from typing import Literal

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from hrm_jax.core.candidates import CandidateGrid
from hrm_jax.core.graphs import Hops
from hrm_jax.nn.attention import SelfAttention
from hrm_jax.nn.edge_mixing import EdgeMixing
from hrm_jax.nn.keys import Keys
from hrm_jax.nn.norm import rms_norm
from hrm_jax.nn.relational import RelationalMixing
from hrm_jax.nn.swiglu import SwiGLU, swiglu_width


@dataclasses.dataclass(frozen=True)
class BlockConfig:
    """Sizes and options of one block.

    Attributes:
      features: D.
      num_heads: N, a divisor of D; read by attention only.
      expansion: SwiGLU width over D, before rounding.
      length: L, the tokens (or candidates) mixed; read by the token MLP only.
      mixing: how tokens exchange information: "attention"; "mlp", a SwiGLU over the token axis; or
        "relational", by the relations of `grid`; or "edges", by relations that come with the batch.
      rope_theta: base of the rotary positions, None for none; read by attention only.
      norm_eps: epsilon of the RMS norms.
      attention_backend: a backend of `hrm_kernels.attention`; None for its choice.
      mlp_multiple: the SwiGLU's width is rounded up to a multiple of it.
      grid: the candidates that the tokens stand for, and their relations; for relational mixing.
      relations: names of the relations that come with the batch; for mixing by edges.
    """

    features: int
    num_heads: int
    expansion: float
    length: int
    mixing: Literal["attention", "mlp", "relational", "edges"]
    rope_theta: float | None
    norm_eps: float
    attention_backend: str | None = None
    mlp_multiple: int = 256
    grid: CandidateGrid | None = None
    relations: tuple[str, ...] = ()


class Block(nnx.Module):
    """`x = rms(x + mix(x)); x = rms(x + swiglu(x))`.

    The token MLP works on the transposed tensor [B, D, L], norm included: its mean square is
    taken over the token axis (TRM's `mlp_t`).
    """

    def __init__(self, config: BlockConfig, *, rngs: Keys):
        """Draws the parameters of both sub-layers."""
        self.config = config
        if config.mixing == "attention":
            self.self_attn = SelfAttention(
                config.features,
                config.num_heads,
                rope_theta=config.rope_theta,
                backend=config.attention_backend,
                rngs=rngs,
            )
        elif config.mixing == "mlp":
            # TRM rounds up to a multiple of 256 here, too; `mlp_multiple` is that of the features
            # alone.
            width = swiglu_width(config.length, config.expansion)
            self.mlp_t = SwiGLU(config.length, width, rngs=rngs)
        elif config.mixing == "edges":
            self.edges = EdgeMixing(config.relations, config.features, rngs=rngs)
        else:
            assert config.grid is not None
            self.relations = RelationalMixing(config.grid, config.features, rngs=rngs)
        width = swiglu_width(config.features, config.expansion, config.mlp_multiple)
        self.mlp = SwiGLU(config.features, width, rngs=rngs)

    def __call__(
        self, x: Float[Array, "B L D"], relations: Mapping[str, Hops] | None = None
    ) -> Float[Array, "B L D"]:
        """Returns `x` after mixing over tokens, then over features.

        Args:
          x: the tokens.
          relations: those of the batch, for mixing by edges, and by grids that name some.
        """
        eps = self.config.norm_eps
        if self.config.mixing == "attention":
            x = rms_norm(x + self.self_attn(x), eps=eps)
        elif self.config.mixing == "relational":
            x = rms_norm(x + self.relations(x, relations), eps=eps)
        elif self.config.mixing == "edges":
            assert relations is not None
            x = rms_norm(x + self.edges(x, relations), eps=eps)
        else:
            mixed = jnp.swapaxes(self.mlp_t(jnp.swapaxes(x, 1, 2)), 1, 2)
            # Over the tokens, axis 1: TRM normalises while the tensor is transposed.
            x = rms_norm(x + mixed, eps=eps, axis=1)
        return rms_norm(x + self.mlp(x), eps=eps)


class BlockStack(nnx.Module):
    """`f(h, injection) = blocks(h + injection)`: one level of the hierarchy."""

    def __init__(self, config: BlockConfig, num_layers: int, *, rngs: Keys):
        """Draws `num_layers` blocks of one shape."""
        self.layers = nnx.List([Block(config, rngs=rngs) for _ in range(num_layers)])

    def __call__(
        self,
        hidden: Float[Array, "B L D"],
        injection: Float[Array, "B L D"],
        relations: Mapping[str, Hops] | None = None,
    ) -> Float[Array, "B L D"]:
        """Returns the level's new state after one call."""
        # The other level is heard once, before the first block.
        hidden = hidden + injection
        for layer in self.layers:
            hidden = layer(hidden, relations)
        return hidden
