"""HRM-Text: the two levels as stacks of gated pre-norm blocks over text.

The text is embedded into z_H, z_L starts from a fixed vector, the levels think in nested cycles,
and z_H is read out at every token. Equal to transformers' `HrmTextForCausalLM` (5.23).
"""

import dataclasses
import functools
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

import kernels
from hrm_jax.core.types import Buffer, Latents, Variables
from hrm_jax.models.hrm_text_config import HrmTextConfig
from hrm_jax.models.kv_cache import CacheOverflowError, CallCache, Slot
from hrm_jax.models.recurrence import Level, Schedule, recur, recur_with_memory
from hrm_jax.nn.attention import Attend
from hrm_jax.nn.embedding import Embedding
from hrm_jax.nn.gated_stack import GatedStack
from hrm_jax.nn.linear import Linear, truncated_normal
from hrm_jax.nn.rope import rope_table, rotate_at


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

    def levels(self, attend: Attend) -> tuple[Level, Level]:
        """(H, L), whose tokens attend as `attend` has it."""
        return _as_level(self.H_module, attend), _as_level(self.L_module, attend)

    def read(self, z_H: Float[Array, "*axes D"]) -> Float[Array, "*axes V"]:
        """Logits of the next token, in the compute dtype."""
        if self.config.tie_embeddings:
            return z_H @ self.embed_tokens.table[...].astype(z_H.dtype).T
        return self.lm_head(z_H)


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
        module, mask = self._bind(variables), self._mask(token_types, segment_ids, lengths)
        rope = self._rope(tokens.shape[1])

        def attend(query: Array, key: Array, value: Array, memory: Any) -> tuple[Array, Any]:
            backend = self._backend
            return kernels.attention(query, key, value, mask=mask, rope=rope, backend=backend), None

        H, L = module.levels(attend)
        latents = recur(schedule or self.config.schedule, H, L, module.initial_latents(tokens))
        return module.read(latents.z_H)

    def empty_cache(self, B: int, room: int) -> CallCache:
        """A cache without tokens, for a batch of B with room for `room` tokens in each row."""
        config = self.config
        inner = config.num_heads * config.head_size
        calls, layers = config.num_calls, config.layers_per_stack
        return CallCache.empty(calls, layers, B, room, inner, config.compute_dtype)

    def prefill(
        self,
        variables: Variables,
        tokens: Int[Array, "B T"],
        *,
        room: int,
        token_types: Int[Array, "B T"] | None = None,
        lengths: Int[Array, " B"] | None = None,
    ) -> tuple[Float[Array, "B V"], CallCache]:
        """Reads prompts, as `logits` does, and keeps what decoding needs of them.

        Args:
          variables: the model's values.
          tokens: the prompts, padded on the right; one compiled program for each T and room.
          room: S, tokens that the cache holds, prompt and all to be decoded (static).
          token_types: as in `logits`.
          lengths: tokens of each prompt, 1 or more; None for T.

        Returns:
          The logits of the token after each prompt, and the cache.

        Raises:
          CacheOverflowError: if T is more than room.
        """
        (B, T), module = tokens.shape, self._bind(variables)
        if room < T:
            raise CacheOverflowError(f"expected room for the {T} tokens of a prompt, got {room}")
        mask, rope = self._mask(token_types, None, lengths), self._rope(T)
        positions = jnp.broadcast_to(jnp.arange(T, dtype=jnp.int32)[None], (B, T))

        def stored(x: Array) -> Array:
            return jnp.pad(x.reshape(B, T, -1), ((0, 0), (0, room - T), (0, 0)))

        def attend(query: Array, key: Array, value: Array, _: Any) -> tuple[Array, Slot]:
            query, key = (rotate_at(x, rope, positions) for x in (query, key))
            mixed = kernels.attention(query, key, value, mask=mask, backend=self._backend)
            return mixed, Slot(stored(key), stored(value))

        latents, calls = recur_with_memory(
            self.config.schedule,
            *module.levels(attend),
            module.initial_latents(tokens),
            [None] * self.config.num_calls,
        )
        # A copy: the cache is donated, the caller's lengths are not.
        lengths = jnp.full(B, T, jnp.int32) if lengths is None else jnp.array(lengths, jnp.int32)
        last = jnp.take_along_axis(latents.z_H, (lengths - 1)[:, None, None], axis=1)
        return module.read(last[:, 0]), CallCache(calls, lengths)

    def decode(
        self, variables: Variables, tokens: Int[Array, "B T"], cache: CallCache
    ) -> tuple[Float[Array, "B T V"], CallCache]:
        """Reads T more tokens of every row, causally: one, or a few.

        Args:
          variables: the model's values.
          tokens: what comes after the cached text.
          cache: from `prefill` or the last `decode`; donate it.

        Returns:
          The logits of the token after each one, NaN where the row had no room for it, and the
          cache with the new tokens.
        """
        module, rope = self._bind(variables), self._rope(cache.room)
        T = tokens.shape[1]
        positions = cache.lengths[:, None] + jnp.arange(T, dtype=jnp.int32)[None]

        def attend(query: Array, key: Array, value: Array, slot: Slot) -> tuple[Array, Slot]:
            query, key = (rotate_at(x, rope, positions) for x in (query, key))
            before = kernels.KVCache(slot.key, slot.value, cache.lengths)
            mixed, after = kernels.decode_attention(
                query, key, value, before, backend=self._backend
            )
            return mixed, Slot(after.key, after.value)

        latents, calls = recur_with_memory(
            self.config.schedule,
            *module.levels(attend),
            module.initial_latents(tokens),
            cache.calls,
        )
        has_room = (positions < cache.room)[:, :, None]
        logits = jnp.where(has_room, module.read(latents.z_H), jnp.nan)
        return logits, CallCache(calls, jnp.minimum(cache.lengths + T, cache.room))

    @property
    def _backend(self) -> str | None:
        backend = self.config.attention_backend
        return None if backend == "auto" else backend

    def _rope(self, length: int) -> kernels.Rope:
        return rope_table(length, self.config.head_size, self.config.rope_theta)

    def _mask(
        self,
        token_types: Int[Array, "B T"] | None,
        segment_ids: Int[Array, "B T"] | None,
        lengths: Int[Array, " B"] | None,
    ) -> kernels.Mask:
        prefix = None if token_types is None or not self.config.prefix_lm else token_types == 1
        return kernels.Mask(causal=True, prefix=prefix, segment_ids=segment_ids, lengths=lengths)

    def _bind(self, variables: Variables) -> TextReasoner:
        """The module holding these values."""
        return nnx.merge(_graphdef(self.config), variables.params, variables.buffers)


def _as_level(module: GatedStack, attend: Attend) -> Level:
    """The stack as a pure function of its parameters; with a memory, it hands back the new one."""
    graphdef, params = nnx.split(module)

    def apply(params: Any, hidden: Array, injection: Array, *memory: Any) -> Any:
        hidden, kept = nnx.merge(graphdef, params)(hidden, injection, attend, *memory)
        return (hidden, kept) if memory else hidden

    return Level(params, apply)


@functools.cache
def _graphdef(config: HrmTextConfig) -> nnx.GraphDef:
    """The model's structure without its values."""
    return nnx.graphdef(nnx.eval_shape(lambda: TextReasoner(config, rngs=nnx.Rngs(0))))
