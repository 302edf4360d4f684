"""What models of text share: who sees whom, how prompts are read and how decoding goes on.

A model gives a module that embeds, thinks and reads; how its tokens attend comes from here, as an
argument: over whole texts, over prompts that are kept, and against what was kept.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, Protocol, TypeAlias

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

import hrm_kernels
from hrm_jax.models.call_cache import CacheOverflowError, CallCache, Slot
from hrm_jax.nn.attention import Attend
from hrm_jax.nn.rope import UNSCALED, RopeScaling, rope_table, rotate_at

Calls: TypeAlias = tuple[tuple[Slot, ...], ...]
"""Slots by the call, then by the layer, as in `CallCache.calls`."""


class TextModule(Protocol):
    """A module of text with its values in it."""

    def think(
        self, tokens: Int[Array, "B T"], attend: Attend, memory: Sequence[Any] | None = None
    ) -> tuple[Float[Array, "B T D"], Calls]:
        """The states that `read` reads, and each call's slots; none without a memory.

        `memory` has an entry for each call: a slot for each layer, or None for an empty one.
        """
        ...

    def read(self, hidden: Float[Array, "*axes D"]) -> Float[Array, "*axes V"]:
        """Logits of the next token, in the compute dtype."""
        ...


@dataclasses.dataclass(frozen=True)
class TextAttention:
    """How the tokens of a text attend, in every layer and call.

    Attributes:
      head_size: K.
      rope_theta: base of the rotary positions.
      rope_scaling: how their frequencies are lowered.
      window: tokens that each one sees, itself included; None for all.
      prefix_lm: tokens of a prefix see each other; if not, all is causal.
      backend: which kernel to take, as `hrm_kernels.attention` has it, or "auto".
    """

    head_size: int
    rope_theta: float
    rope_scaling: RopeScaling = UNSCALED
    window: int | None = None
    prefix_lm: bool = False
    backend: str = "auto"

    def whole(
        self,
        T: int,
        token_types: Int[Array, "B T"] | None,
        segment_ids: Int[Array, "B T"] | None,
        lengths: Int[Array, " B"] | None,
    ) -> Attend:
        """Over texts of T tokens, of which nothing is kept; the arguments as `logits` has them."""
        mask, rope = self._mask(token_types, segment_ids, lengths), self._rope(T)

        def attend(query: Array, key: Array, value: Array, _: Any) -> tuple[Array, Any]:
            backend = self._backend
            return hrm_kernels.attention(
                query, key, value, mask=mask, rope=rope, backend=backend
            ), None

        return attend

    def keeping(
        self,
        B: int,
        T: int,
        room: int,
        token_types: Int[Array, "B T"] | None,
        lengths: Int[Array, " B"] | None,
    ) -> Attend:
        """Over prompts of T tokens, whose keys and values are handed back in slots of `room`."""
        mask, rope = self._mask(token_types, None, lengths), self._rope(T)
        positions = jnp.broadcast_to(jnp.arange(T, dtype=jnp.int32)[None], (B, T))

        def stored(x: Array) -> Array:
            return jnp.pad(x.reshape(B, T, -1), ((0, 0), (0, room - T), (0, 0)))

        def attend(query: Array, key: Array, value: Array, _: Any) -> tuple[Array, Slot]:
            query, key = (rotate_at(x, rope, positions) for x in (query, key))
            mixed = hrm_kernels.attention(query, key, value, mask=mask, backend=self._backend)
            return mixed, Slot(stored(key), stored(value))

        return attend

    def continuing(self, lengths: Int[Array, " B"], T: int, room: int) -> Attend:
        """T more tokens of rows of `lengths`, each layer's slot of `room` being its memory."""
        rope = self._rope(room)
        positions = _positions(lengths, T)

        def attend(query: Array, key: Array, value: Array, slot: Slot) -> tuple[Array, Slot]:
            query, key = (rotate_at(x, rope, positions) for x in (query, key))
            before = hrm_kernels.KVCache(slot.key, slot.value, lengths)
            mixed, after = hrm_kernels.decode_attention(
                query, key, value, before, window=self.window, backend=self._backend
            )
            return mixed, Slot(after.key, after.value)

        return attend

    @property
    def _backend(self) -> str | None:
        return None if self.backend == "auto" else self.backend

    def _rope(self, length: int) -> hrm_kernels.Rope:
        return rope_table(length, self.head_size, self.rope_theta, self.rope_scaling)

    def _mask(
        self,
        token_types: Int[Array, "B T"] | None,
        segment_ids: Int[Array, "B T"] | None,
        lengths: Int[Array, " B"] | None,
    ) -> hrm_kernels.Mask:
        return hrm_kernels.Mask(
            causal=True,
            window=self.window,
            prefix=None if token_types is None or not self.prefix_lm else token_types == 1,
            segment_ids=segment_ids,
            lengths=lengths,
        )


def prefill(
    module: TextModule,
    attention: TextAttention,
    calls: int,
    tokens: Int[Array, "B T"],
    token_types: Int[Array, "B T"] | None,
    lengths: Int[Array, " B"] | None,
    *,
    room: int,
) -> tuple[Float[Array, "B V"], CallCache]:
    """Reads prompts, as `logits` does, and keeps what decoding needs of them.

    Args:
      module: the model with its values.
      attention: how its tokens attend.
      calls: that it makes.
      tokens: the prompts, padded on the right; one compiled program for each T and room.
      token_types: as `logits` of a model has them.
      lengths: tokens of each prompt, 1 or more; None for T.
      room: S, tokens that the cache holds, prompt and all to be decoded (static).

    Returns:
      The logits of the token after each prompt, and the cache.

    Raises:
      CacheOverflowError: if T is more than room.
    """
    B, T = tokens.shape
    if room < T:
        raise CacheOverflowError(f"expected room for the {T} tokens of a prompt, got {room}")
    attend = attention.keeping(B, T, room, token_types, lengths)
    hidden, kept = module.think(tokens, attend, (None,) * calls)
    # A copy: the cache is donated, the caller's lengths are not.
    lengths = jnp.full(B, T, jnp.int32) if lengths is None else jnp.array(lengths, jnp.int32)
    last = jnp.take_along_axis(hidden, (lengths - 1)[:, None, None], axis=1)
    return module.read(last[:, 0]), CallCache(kept, lengths)


def decode(
    module: TextModule, attention: TextAttention, tokens: Int[Array, "B T"], cache: CallCache
) -> tuple[Float[Array, "B T V"], CallCache]:
    """Reads T more tokens of every row, causally: one, or a few.

    Args:
      module: the model with its values.
      attention: how its tokens attend.
      tokens: what comes after the cached text.
      cache: from `prefill` or the last `decode`; donate it.

    Returns:
      The logits of the token after each one, NaN where the row had no room for it, and the cache
      with the new tokens.
    """
    T = tokens.shape[1]
    attend = attention.continuing(cache.lengths, T, cache.room)
    hidden, kept = module.think(tokens, attend, cache.calls)
    has_room = (_positions(cache.lengths, T) < cache.room)[:, :, None]
    logits = jnp.where(has_room, module.read(hidden), jnp.nan)
    return logits, CallCache(kept, jnp.minimum(cache.lengths + T, cache.room))


def _positions(lengths: Int[Array, " B"], T: int) -> Int[Array, "B T"]:
    """Of T tokens after the first `lengths`."""
    return lengths[:, None] + jnp.arange(T, dtype=jnp.int32)[None]
