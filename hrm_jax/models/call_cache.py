"""The cache of keys and values of a text: one set for every call of a model's layers.

The levels of HRM-Text are called many times over the same tokens with another state each time, so
the keys of one call cannot serve the next. A plain transformer makes one call.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, Self, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class CacheOverflowError(ValueError):
    """A cache has too little room for the tokens to come."""


class CallShape(NamedTuple):
    """Size of what is kept of one call.

    Attributes:
      layers: number of layers that are called.
      features: M * K, the width of each layer's keys and of its values.
    """

    layers: int
    features: int


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Slot:
    """What one layer keeps of one call.

    Attributes:
      key: [C, S, M * K], rotated; arbitrary beyond a row's length. C is B, or more where the cache
        says which rows are its own.
      value: [C, S, M * K], likewise.
    """

    key: Float[Array, "C S M*K"]
    value: Float[Array, "C S M*K"]


Calls: TypeAlias = tuple[tuple[Slot, ...], ...]
"""Slots indexed by call, in calling order, and then by layer."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CallCache:
    """The slots of all calls, with room for S tokens in each row of a batch.

    Only `prefill` and `decode` of a model write it. Every slot is an array of its own, so that a
    compiled step that is given the cache (`donate_argnames="cache"`) updates it in place.

    Attributes:
      calls: slots by call, in calling order, then by layer. In HRM-Text the
        slots of call l of the low level in cycle h are `calls[h * (L_cycles + 1) + l]`, those of
        the high level `calls[h * (L_cycles + 1) + L_cycles]`.
      lengths: [B] int32, tokens of each row so far, at most S.
      rows: [B] int32, where each row stands in the slots, all of them different; None for each in
        its own place. So some rows of a batch are decoded without the others, and nothing is
        copied.
    """

    calls: Calls
    lengths: Int[Array, " B"]
    rows: Int[Array, " B"] | None = None

    @classmethod
    def empty(cls, calls: Sequence[CallShape], B: int, S: int, dtype: Any) -> Self:
        """Returns a cache without tokens.

        Args:
          calls: the size of each call.
          B: batch.
          S: room for tokens.
          dtype: of the keys and values.
        """

        def slot(features: int) -> Slot:
            # Two arrays and not one twice: a buffer that is donated twice is an error.
            return Slot(jnp.zeros((B, S, features), dtype), jnp.zeros((B, S, features), dtype))

        slots = tuple(tuple(slot(call.features) for _ in range(call.layers)) for call in calls)
        return cls(slots, jnp.zeros(B, jnp.int32))

    @property
    def room(self) -> int:
        """S: tokens that each row has room for, those it holds included."""
        return self.calls[0][0].key.shape[1]

    def require_room(self, tokens: int) -> None:
        """Raises CacheOverflowError unless every row has room for `tokens` more.

        Fetches the lengths from the device and waits for them, so call it once before a run of
        steps and not at each. Inside `jit`, where nothing can be raised, the logits of a row
        without room are NaN instead.
        """
        longest = int(jax.device_get(self.lengths).max())
        if longest + tokens > self.room:
            raise CacheOverflowError(
                f"expected room for {tokens} tokens after {longest}, got a cache of {self.room}: "
                f"make it with room={longest + tokens} or more, or decode less"
            )
