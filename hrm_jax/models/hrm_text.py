"""HRM-Text: the two levels as stacks of gated pre-norm blocks over text.

The text is embedded into z_H, z_L starts from a fixed vector, the levels think in nested cycles,
and z_H is read out at every token. Equal to transformers' `HrmTextForCausalLM` (5.23).
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from hrm_jax.core.types import Buffer, Latents
from hrm_jax.models.hrm_text_config import HrmTextConfig
from hrm_jax.models.kv_cache import Calls
from hrm_jax.models.recurrence import Schedule
from hrm_jax.models.text_model import TextModel
from hrm_jax.models.text_recurrence import recur_over_text
from hrm_jax.nn.attention import Attend
from hrm_jax.nn.embedding import Embedding
from hrm_jax.nn.gated_stack import GatedStack
from hrm_jax.nn.linear import Linear, truncated_normal
from hrm_jax.nn.product import product


class TextReasoner(nnx.Module):
    """The parameters of HRM-Text, and what happens to a text before and after the cycles."""

    def __init__(self, config: HrmTextConfig, *, rngs: nnx.Rngs):
        """Draws parameters and the low level's initial state."""
        V = config.vocab_size
        D = config.hidden_size
        self.config = config
        self.embed_tokens = Embedding(V, D, std=config.embedding_std, rngs=rngs)
        self.H_module = GatedStack(config.block, config.layers_per_stack, rngs=rngs)
        self.L_module = GatedStack(config.block, config.layers_per_stack, rngs=rngs)
        if not config.tie_embeddings:
            self.lm_head = Linear(D, V, axes=("embed", None), rngs=rngs)
        self.z_L_init = Buffer(truncated_normal(rngs.params(), (D,), 1.0))

    def initial_latents(self, tokens: Int[Array, "B T"]) -> Latents:
        """Returns z_H, the scaled embeddings, and z_L, the same vector at every token."""
        config = self.config
        dtype = jnp.dtype(config.compute_dtype)
        embedded = self.embed_tokens(tokens, dtype)
        if config.pad_token is not None:
            # PyTorch's `padding_idx`, with which the originals were trained.
            is_pad = (tokens == config.pad_token)[..., None]
            embedded = jnp.where(is_pad, jax.lax.stop_gradient(embedded), embedded)
        z_H = config.input_scale * embedded
        z_L = jnp.broadcast_to(self.z_L_init[...].astype(dtype)[None, None], z_H.shape)
        return Latents(z_H, z_L)

    def think(
        self,
        tokens: Int[Array, "B T"],
        attend: Attend,
        memory: Sequence[Any] | None = None,
        schedule: Schedule | None = None,
    ) -> tuple[Float[Array, "B T D"], Calls]:
        """Returns z_H after all cycles; see `TextModule.think`."""
        latents, calls = recur_over_text(
            schedule or self.config.schedule,
            self.H_module,
            self.L_module,
            self.initial_latents(tokens),
            attend,
            memory,
        )
        return latents.z_H, calls

    def read(self, hidden: Float[Array, "*axes D"]) -> Float[Array, "*axes V"]:
        """Returns the logits of the next token, in the compute dtype."""
        if self.config.tie_embeddings:
            return product(hidden, self.embed_tokens.table[...].T)
        return self.lm_head(hidden)


class HrmText(TextModel[HrmTextConfig]):
    """HRM-Text as pure functions of its variables."""

    def module(self, rngs: nnx.Rngs) -> TextReasoner:
        """Returns fresh parameters, and a fresh initial state of the low level."""
        return TextReasoner(self.config, rngs=rngs)
