"""HRM-Text: the two levels as stacks of gated pre-norm blocks over text.

The text is embedded into z_H, z_L starts from a fixed vector, the levels think in nested cycles,
and z_H is read out at every token. Equal to transformers' `HrmTextForCausalLM` (5.23).
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from hrm_jax.core.types import Buffer, Latents, Variables
from hrm_jax.models import text
from hrm_jax.models.hrm_text_config import HrmTextConfig
from hrm_jax.models.kv_cache import CallCache, CallShape
from hrm_jax.models.recurrence import Schedule
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
        V, D = config.vocab_size, config.hidden_size
        self.config = config
        self.embed_tokens = Embedding(V, D, std=config.embedding_std, rngs=rngs)
        self.H_module = GatedStack(config.block, config.layers_per_stack, rngs=rngs)
        self.L_module = GatedStack(config.block, config.layers_per_stack, rngs=rngs)
        if not config.tie_embeddings:
            self.lm_head = Linear(D, V, axes=("embed", None), rngs=rngs)
        self.z_L_init = Buffer(truncated_normal(rngs.params(), (D,), 1.0))

    def initial_latents(self, tokens: Int[Array, "B T"]) -> Latents:
        """z_H, the scaled embeddings, and z_L, the same vector at every token."""
        config, dtype = self.config, jnp.dtype(self.config.compute_dtype)
        embedded = self.embed_tokens(tokens, dtype)
        if config.pad_token is not None:  # as PyTorch's `padding_idx` has it
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
    ) -> tuple[Float[Array, "B T D"], text.Calls]:
        """z_H after all cycles; see `text.TextModule`. `schedule` is in place of the config's."""
        schedule, latents = schedule or self.config.schedule, self.initial_latents(tokens)
        levels = self.H_module, self.L_module
        latents, calls = recur_over_text(schedule, *levels, latents, attend, memory)
        return latents.z_H, calls

    def read(self, hidden: Float[Array, "*axes D"]) -> Float[Array, "*axes V"]:
        """Logits of the next token, in the compute dtype."""
        if self.config.tie_embeddings:
            return product(hidden, self.embed_tokens.table[...].T)
        return self.lm_head(hidden)


@dataclasses.dataclass(frozen=True)
class HrmText:
    """HRM-Text as pure functions of its variables.

    Hashable and equal by configuration, so that it can be a static argument of `jit`.
    """

    config: HrmTextConfig

    @property
    def vocab_size(self) -> int:
        """V."""
        return self.config.vocab_size

    def init(self, key: PRNGKeyArray) -> Variables:
        """Fresh variables, float32; the same key gives the same values."""
        module = TextReasoner(self.config, rngs=nnx.Rngs(params=key))
        _, params, buffers = nnx.split(module, nnx.Param, Buffer)
        return Variables(params, buffers, None)

    def logits(
        self,
        variables: Variables,
        tokens: Int[Array, "B T"],
        *,
        token_types: Int[Array, "B T"] | None = None,
        segment_ids: Int[Array, "B T"] | None = None,
        lengths: Int[Array, " B"] | None = None,
        schedule: Schedule | None = None,
    ) -> Float[Array, "B T V"]:
        """Scores of the token after each one.

        Args:
          variables: the model's values.
          tokens: the texts, int32.
          token_types: 1 for the tokens of a prefix, which see each other in both directions; they
            are neighbours, one run in each text. All else is causal, as everything is without
            types or if `config.prefix_lm` is off.
          segment_ids: of texts packed into a row; they do not see each other. The tokens of a
            segment are neighbours. Positions go on from one to the next, which changes nothing:
            rotary attention depends on their differences alone.
          lengths: tokens of each row; none sees those beyond, whose logits mean nothing.
          schedule: calls and gradient border in place of the config's (static): a border that warms
            up, or more cycles.

        Returns:
          The logits, in the compute dtype.
        """
        module = self._bind(variables)
        attend = self._attention.whole(tokens.shape[1], token_types, segment_ids, lengths)
        return module.read(module.think(tokens, attend, schedule=schedule)[0])

    def empty_cache(self, B: int, room: int) -> CallCache:
        """A cache without tokens, for a batch of B with room for `room` tokens in each row."""
        config = self.config
        call = CallShape(config.layers_per_stack, config.num_heads * config.head_size)
        return CallCache.empty([call] * config.schedule.num_calls, B, room, config.compute_dtype)

    def prefill(
        self,
        variables: Variables,
        tokens: Int[Array, "B T"],
        *,
        room: int,
        token_types: Int[Array, "B T"] | None = None,
        lengths: Int[Array, " B"] | None = None,
    ) -> tuple[Float[Array, "B V"], CallCache]:
        """Reads prompts, as `logits` does, and keeps what decoding needs: `text.prefill`."""
        calls, masks = self.config.schedule.num_calls, (token_types, lengths)
        return text.prefill(
            self._bind(variables), self._attention, calls, tokens, *masks, room=room
        )

    def decode(
        self, variables: Variables, tokens: Int[Array, "B T"], cache: CallCache
    ) -> tuple[Float[Array, "B T V"], CallCache]:
        """Reads T more tokens of every row, causally: `text.decode`."""
        return text.decode(self._bind(variables), self._attention, tokens, cache)

    @property
    def _attention(self) -> text.TextAttention:
        config = self.config
        return text.TextAttention(
            config.head_size,
            config.rope_theta,
            prefix_lm=config.prefix_lm,
            backend=config.attention_backend,
        )

    def _bind(self, variables: Variables) -> TextReasoner:
        """The module holding these values."""
        return nnx.merge(_graphdef(self.config), variables.params, variables.buffers)


@functools.cache
def _graphdef(config: HrmTextConfig) -> nnx.GraphDef:
    """The model's structure without its values."""
    return nnx.graphdef(nnx.eval_shape(lambda: TextReasoner(config, rngs=nnx.Rngs(0))))
