"""Llama and its family: a decoder of pre-norm blocks with grouped heads and rotary positions.

Equal to transformers' `LlamaForCausalLM`, `MistralForCausalLM`, `Qwen2ForCausalLM` and
`Qwen3ForCausalLM` (5.24). Llama: arXiv 2302.13971; grouped heads: arXiv 2305.13245.
"""

from collections.abc import Sequence
from typing import Any

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from hrm_jax.models.kv_cache import Calls
from hrm_jax.models.llama_config import LlamaConfig
from hrm_jax.models.recurrence import Schedule
from hrm_jax.models.text_model import TextModel
from hrm_jax.nn.attention import Attend
from hrm_jax.nn.decoder_block import DecoderBlock
from hrm_jax.nn.embedding import Embedding
from hrm_jax.nn.linear import Linear
from hrm_jax.nn.norm import RMSNorm
from hrm_jax.nn.product import product


class Decoder(nnx.Module):
    """The parameters of a decoder, which calls all of its blocks once."""

    def __init__(self, config: LlamaConfig, *, rngs: nnx.Rngs):
        """Draws the parameters."""
        V = config.vocab_size
        D = config.hidden_size
        self.config = config
        self.embed_tokens = Embedding(V, D, std=config.initializer_range, rngs=rngs)
        blocks = [DecoderBlock(config.block, rngs=rngs) for _ in range(config.num_layers)]
        self.layers = nnx.List(blocks)
        self.norm = RMSNorm(D, eps=config.rms_norm_eps)
        if not config.tie_embeddings:
            self.lm_head = Linear(D, V, axes=("embed", None), rngs=rngs)

    def think(
        self,
        tokens: Int[Array, "B T"],
        attend: Attend,
        memory: Sequence[Any] | None = None,
        schedule: Schedule | None = None,
    ) -> tuple[Float[Array, "B T D"], Calls]:
        """Returns the normalised states after the last block; see `TextModule.think`."""
        if schedule is not None:
            raise ValueError(f"expected no schedule for a model that does not recur: {schedule}")
        x = self.embed_tokens(tokens, jnp.dtype(self.config.compute_dtype))
        slots = None if memory is None else memory[0]
        kept = []
        for layer, slot in zip(self.layers, slots or [None] * len(self.layers), strict=True):
            x, slot = layer(x, attend, slot)
            kept.append(slot)
        return self.norm(x), () if memory is None else (tuple(kept),)

    def read(self, hidden: Float[Array, "*axes D"]) -> Float[Array, "*axes V"]:
        """Returns the logits of the next token, in the compute dtype."""
        if self.config.tie_embeddings:
            return product(hidden, self.embed_tokens.table[...].T)
        return self.lm_head(hidden)


class Llama(TextModel[LlamaConfig]):
    """A decoder of Llama's family as pure functions of its variables."""

    def module(self, rngs: nnx.Rngs) -> Decoder:
        """Returns fresh parameters."""
        return Decoder(self.config, rngs=rngs)
