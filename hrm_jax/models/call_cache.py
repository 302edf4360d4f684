"""The keys and values that a model keeps of the text so far: a set for every call of its layers.

The levels of HRM-Text are called many times over the same tokens and see another state at each
call, so what a layer keeps of one call is of no use to the next. A plain transformer is one call.
"""

import dataclasses
from collections.abc import Sequence
from typing import Any, NamedTuple, Self, TypeAlias

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int


class CacheOverflowError(ValueError):
    """A cache has no room for the tokens to come."""


class CallShape(NamedTuple):
    """What is kept of one call.

    Attributes:
      layers: called.
      features: M * K, of the keys of each.
    """

    layers: int
    features: int


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Slot:
    """What one layer keeps of one call.

    Attributes:
      key: [B, S, M * K], rotated; what is beyond a row's length may hold anything.
      value: [B, S, M * K], likewise.
    """

    key: Float[Array, "B S M*K"]
    value: Float[Array, "B S M*K"]


Calls: TypeAlias = tuple[tuple[Slot, ...], ...]
"""Slots by the call, in the order in which calls are made, then by the layer."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class CallCache:
    """The slots of all calls, with room for S tokens in each row of a batch.

    Written by `prefill` and `decode` of a model alone. Every slot is an array of its own, so that
    a compiled step which is given the cache (`donate_argnames="cache"`) writes in place.

    Attributes:
      calls: by the call, in the order in which they are made, then by the layer. In HRM-Text the
        slots of call l of the low level in cycle h are `calls[h * (L_cycles + 1) + l]`, those of
        the high level `calls[h * (L_cycles + 1) + L_cycles]`.
      lengths: [B] int32, tokens of each row so far, at most S.
    """

    calls: Calls
    lengths: Int[Array, " B"]

    @classmethod
    def empty(cls, calls: Sequence[CallShape], B: int, S: int, dtype: Any) -> Self:
        """Returns a cache without tokens.

        Args:
          calls: what is kept of each.
          B: batch.
          S: room for tokens.
          dtype: of the keys and values.
        """

        def slot(features: int) -> Slot:
            return Slot(jnp.zeros((B, S, features), dtype), jnp.zeros((B, S, features), dtype))

        slots = tuple(tuple(slot(call.features) for _ in range(call.layers)) for call in calls)
        return cls(slots, jnp.zeros(B, jnp.int32))

    @property
    def room(self) -> int:
        """S: tokens that each row has room for, those it holds included."""
        return self.calls[0][0].key.shape[1]

    def require_room(self, tokens: int) -> None:
        """Raises CacheOverflowError unless every row has room for `tokens` more.

        Reads the lengths, so it waits for them: once before a run of steps, not at each. Inside
        `jit`, where nothing can be raised, a row without room gets NaN for its logits.
        """
        longest = int(jax.device_get(self.lengths).max())
        if longest + tokens > self.room:
            raise CacheOverflowError(
                f"expected room for {tokens} tokens after {longest}, got a cache of {self.room}: "
                f"make it with room={longest + tokens} or more, or decode less"
            )
