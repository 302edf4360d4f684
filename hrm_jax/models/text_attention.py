"""How the tokens of a text attend: in whole texts, in prompts that are cached, and after a cache.

Each method returns an `Attend`, a function that a text model passes to all of its layers.
"""

import dataclasses
from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Int

import hrm_kernels
from hrm_jax.models.call_cache import CallCache, Slot
from hrm_jax.nn.attention import Attend
from hrm_jax.nn.rope import UNSCALED, RopeScaling, rope_table, rotate_at


@dataclasses.dataclass(frozen=True)
class TextAttention:
    """Settings of attention that all layers and calls of a text model share.

    Attributes:
      head_size: K.
      rope_theta: base of the rotary positions.
      rope_scaling: how the rotary frequencies are lowered.
      window: number of tokens that each token sees, itself included; None for all.
      prefix_lm: whether tokens of a prefix see each other; otherwise all is causal.
      backend: a backend of `hrm_kernels.attention`, or "auto" for its choice.
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
        """Returns attention within whole texts, which keeps nothing.

        Args:
          T: tokens of each row.
          token_types: as `TextModel.logits` takes them; so are `segment_ids` and `lengths`.
          segment_ids: [B, T], which of the texts packed into a row a token belongs to.
          lengths: tokens of each row.
        """
        mask = self._mask(token_types, segment_ids, lengths)
        # Nothing is cached, so the rotation can be left to the kernel.
        rope = self._rope(T)

        def attend(query: Array, key: Array, value: Array, _: Any) -> tuple[Array, Any]:
            mixed = hrm_kernels.attention(
                query, key, value, mask=mask, rope=rope, backend=self._backend
            )
            return mixed, None

        return attend

    def keeping(
        self,
        B: int,
        T: int,
        room: int,
        token_types: Int[Array, "B T"] | None,
        lengths: Int[Array, " B"] | None,
    ) -> Attend:
        """Returns attention within prompts, which returns their rotated keys and values as slots.

        Args:
          B: number of prompts.
          T: tokens of each prompt, padding included.
          room: S, tokens that each slot has room for.
          token_types: as `TextModel.logits` takes them; so are `lengths`.
          lengths: tokens of each prompt.
        """
        mask = self._mask(token_types, None, lengths)
        # Rotated here and not in the kernel, because the cache holds rotated keys.
        rope = self._rope(T)
        positions = jnp.broadcast_to(jnp.arange(T, dtype=jnp.int32)[None], (B, T))

        def stored(x: Array) -> Array:
            # Room for the tokens to come; the row's length keeps its zeros from being attended to.
            return jnp.pad(x.reshape(B, T, -1), ((0, 0), (0, room - T), (0, 0)))

        def attend(query: Array, key: Array, value: Array, _: Any) -> tuple[Array, Slot]:
            query = rotate_at(query, rope, positions)
            key = rotate_at(key, rope, positions)
            mixed = hrm_kernels.attention(query, key, value, mask=mask, backend=self._backend)
            return mixed, Slot(stored(key), stored(value))

        return attend

    def continuing(self, cache: CallCache, T: int) -> Attend:
        """Returns causal attention of T more tokens of each row; a layer's memory is its slot.

        Args:
          cache: what each row holds before them.
          T: new tokens.
        """
        rope = self._rope(cache.room)
        positions = positions_after(cache.lengths, T)

        def attend(query: Array, key: Array, value: Array, slot: Slot) -> tuple[Array, Slot]:
            # Every row stands at a position of its own, so the tables are indexed by position.
            query = rotate_at(query, rope, positions)
            key = rotate_at(key, rope, positions)
            before = hrm_kernels.KVCache(slot.key, slot.value, cache.lengths, cache.rows)
            mixed, after = hrm_kernels.decode_attention(
                query, key, value, before, window=self.window, backend=self._backend
            )
            return mixed, Slot(after.key, after.value)

        return attend

    def shifted(self, slot: Slot, by: Int[Array, ""]) -> Slot:
        """Returns a slot with all tokens moved by a number of places, and their keys turned so far.

        Args:
          slot: of one layer, with room for S tokens.
          by: places to move, -S + 1 to S - 1; what leaves one end enters at the other.
        """
        B, S, features = slot.key.shape
        table = self._rope(S)
        # To turn back is to turn by the same angle with the other sign.
        cos = jnp.asarray(table.cos)[jnp.abs(by)]
        sin = jnp.asarray(table.sin)[jnp.abs(by)] * jnp.sign(by)
        # Rotations add up: a key turned for place p and then by `by` is that of place p + by.
        heads = jnp.roll(slot.key, by, axis=1).reshape(B, S, -1, self.head_size)
        # A table of one row, which every token looks up.
        turned = rotate_at(heads, hrm_kernels.Rope(cos[None], sin[None]), jnp.zeros((B, S), int))
        return Slot(turned.reshape(B, S, features), jnp.roll(slot.value, by, axis=1))

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
            # A plain causal model takes no notice of prefixes.
            prefix=None if token_types is None or not self.prefix_lm else token_types == 1,
            segment_ids=segment_ids,
            lengths=lengths,
        )


def positions_after(lengths: Int[Array, " B"], T: int) -> Int[Array, "B T"]:
    """Returns the positions of T tokens after the first `lengths` of each row."""
    return lengths[:, None] + jnp.arange(T, dtype=jnp.int32)[None]
