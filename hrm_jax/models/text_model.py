"""What all text models share, as pure functions of their variables: logits, prefill and decode.

A text model is a configuration and a module that embeds, thinks and reads. The module gets its
attention as an argument (`text_attention.py`), so that one module serves training, prefill and
decoding.
"""

import abc
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Generic, Protocol, TypeVar

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int, PRNGKeyArray

from hrm_jax.core.types import Buffer, Variables
from hrm_jax.models.call_cache import CacheOverflowError, CallCache, Calls, CallShape, Slot
from hrm_jax.models.recurrence import Schedule
from hrm_jax.models.text_attention import TextAttention, positions_after
from hrm_jax.nn.attention import Attend
from hrm_jax.nn.keys import Keys, ParamKeys


class TextModelConfig(Protocol):
    """The part of a configuration that every text model has."""

    @property
    def vocab_size(self) -> int:
        """V: number of tokens of the vocabulary."""
        ...

    @property
    def compute_dtype(self) -> str:
        """Dtype of activations and of the cache."""
        ...

    @property
    def attention(self) -> TextAttention:
        """Settings of attention, the same in every layer and call."""
        ...

    @property
    def calls(self) -> tuple[CallShape, ...]:
        """Size of what is cached for each call, in calling order."""
        ...


Config = TypeVar("Config", bound=TextModelConfig)


class TextModule(Protocol):
    """A text model's module, with its values in it."""

    def think(
        self,
        tokens: Int[Array, "B T"],
        attend: Attend,
        memory: Sequence[Any] | None = None,
        schedule: Schedule | None = None,
    ) -> tuple[Float[Array, "B T D"], Calls]:
        """Returns the states that `read` maps to logits, and the new slots of each call.

        Args:
          tokens: the texts.
          attend: attention, used in every layer.
          memory: for each call, a slot for each layer, or None where a call starts without one.
            Without a memory no slots are returned.
          schedule: calls and truncation of gradients, in place of the config's.

        Raises:
          ValueError: there is a schedule, and the module does not recur.
        """
        ...

    def read(self, hidden: Float[Array, "*axes D"]) -> Float[Array, "*axes V"]:
        """Returns the logits of the next token, in the compute dtype."""
        ...


@dataclasses.dataclass(frozen=True)
class TextModel(abc.ABC, Generic[Config]):
    """A model of text as pure functions of its variables.

    Hashable and equal by configuration, so that it can be a static argument of `jit`.

    Attributes:
      config: sizes and settings.
    """

    config: Config

    @abc.abstractmethod
    def module(self, rngs: Keys) -> Any:
        """Returns a `TextModule` with values freshly drawn from `rngs`."""

    @property
    def vocab_size(self) -> int:
        """V."""
        return self.config.vocab_size

    def init(self, key: PRNGKeyArray) -> Variables:
        """Returns fresh variables, float32; the same key gives the same values."""
        return variables_of(self.module(ParamKeys(key)))

    def bind(self, variables: Variables) -> TextModule:
        """Returns the module with these values."""
        return nnx.merge(_graphdef(self), variables.params, variables.buffers)

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
        """Returns the logits of the token after each one, in the compute dtype.

        Args:
          variables: the model's values, in float32 or bfloat16; they are cast at use.
          tokens: the texts, int32.
          token_types: 1 for the tokens of a prefix, which see each other in both directions if
            `config.prefix_lm` is on; a text's prefix is one run of tokens. All else is causal.
          segment_ids: number of the packed text that a token belongs to; texts of a row do not see
            each other. A text's tokens are adjacent. Positions run on from one text to the next,
            which changes nothing, as rotary attention depends only on differences of positions.
          lengths: tokens of each row; later ones are seen by none, and their logits mean nothing.
          schedule: calls and truncation of gradients in place of the config's (static): more
            cycles, or gradient through fewer of them.

        Raises:
          ValueError: there is a schedule, and the model does not recur.
        """
        T = tokens.shape[1]
        attend = self.config.attention.whole(T, token_types, segment_ids, lengths)
        module = self.bind(variables)
        hidden, _ = module.think(tokens, attend, schedule=schedule)
        return module.read(hidden)

    def empty_cache(self, B: int, room: int) -> CallCache:
        """Returns an empty cache for a batch of B, with `room` tokens in each row."""
        return CallCache.empty(self.config.calls, B, room, self.config.compute_dtype)

    def prefill(
        self,
        variables: Variables,
        tokens: Int[Array, "B T"],
        *,
        room: int,
        token_types: Int[Array, "B T"] | None = None,
        lengths: Int[Array, " B"] | None = None,
    ) -> tuple[Float[Array, "B V"], CallCache]:
        """Computes the logits after prompts, and caches their keys and values.

        Args:
          variables: the model's values.
          tokens: the prompts, padded on the right; one compiled program for each T and room.
          room: S, the tokens that the cache holds, prompt and decoded ones together (static).
          token_types: as in `logits`.
          lengths: tokens of each prompt, 1 or more; None for T.

        Returns:
          The logits of the token after each prompt, and the cache.

        Raises:
          CacheOverflowError: if T is more than room.
        """
        B, T = tokens.shape
        if room < T:
            raise CacheOverflowError(f"expected room for the {T} tokens of a prompt, got {room}")
        module = self.bind(variables)
        attend = self.config.attention.keeping(B, T, room, token_types, lengths)
        # One None for each call: with a memory, even an empty one, the calls return their slots.
        hidden, kept = module.think(tokens, attend, (None,) * len(self.config.calls))
        # A copy: the cache is donated, the caller's lengths are not.
        lengths = jnp.full(B, T, jnp.int32) if lengths is None else jnp.array(lengths, jnp.int32)
        # Only the last token's state goes through the head, whose product is V wide.
        last = jnp.take_along_axis(hidden, (lengths - 1)[:, None, None], axis=1)
        return module.read(last[:, 0]), CallCache(kept, lengths)

    def extend(
        self,
        variables: Variables,
        tokens: Int[Array, "B T"],
        cache: CallCache,
        counts: Int[Array, " B"],
    ) -> tuple[Float[Array, "B V"], CallCache]:
        """Appends some tokens to every row, causally, and computes the logits after the last.

        Args:
          variables: the model's values.
          tokens: the tokens after the cached text, padded on the right.
          cache: as in `decode`.
          counts: how many of the tokens are appended to each row, 1 to T.

        Returns:
          The logits of the token after each row, and the cache with the new tokens.
        """
        T = tokens.shape[1]
        module = self.bind(variables)
        attend = self.config.attention.continuing(cache, T)
        hidden, kept = module.think(tokens, attend, cache.calls)
        # Only the last token's state goes through the head, whose product is V wide.
        last = jnp.take_along_axis(hidden, (counts - 1)[:, None, None], axis=1)
        # What padding has written lies behind the row's end, and is written over.
        lengths = jnp.minimum(cache.lengths + counts, cache.room)
        return module.read(last[:, 0]), CallCache(kept, lengths, cache.rows)

    def splice(
        self,
        cache: CallCache,
        other: CallCache,
        begin: Int[Array, ""],
        end: Int[Array, ""],
        by: Int[Array, ""],
    ) -> CallCache:
        """Returns a cache with a part of another text's, whose keys are turned to their new places.

        What the part's tokens hold was computed after the other text's beginning, so it is not what
        reading them after this one's gives, but near it where the two begin much alike.

        Args:
          cache: the text so far, `begin` tokens in each row.
          other: of the same room.
          begin: the first place that the part takes.
          end: the first place behind it.
          by: how many places later the part stands than in `other`; negative for earlier.
        """
        # [1, S, 1], against slots [B, S, M * K].
        places = jnp.arange(cache.room)[None, :, None]
        taken = (places >= begin) & (places < end)

        def spliced(slot: Slot, moved: Slot) -> Slot:
            # Whole slots are turned and then masked: no shape depends on the part, so one program
            # serves all.
            moved = self.config.attention.shifted(moved, by)
            key = jnp.where(taken, moved.key, slot.key)
            return Slot(key, jnp.where(taken, moved.value, slot.value))

        calls = jax.tree.map(spliced, cache.calls, other.calls, is_leaf=_is_slot)
        return CallCache(calls, jnp.full_like(cache.lengths, end))

    def decode(
        self, variables: Variables, tokens: Int[Array, "B T"], cache: CallCache
    ) -> tuple[Float[Array, "B T V"], CallCache]:
        """Appends T tokens to every row and computes their logits, causally.

        Args:
          variables: the model's values.
          tokens: the tokens after the cached text, one or a few for each row.
          cache: from `prefill` or the last `decode`; donate it, so that it is updated in place.

        Returns:
          The logits of the token after each one, NaN where the row had no room for it, and the
          cache with the new tokens.
        """
        T = tokens.shape[1]
        module = self.bind(variables)
        attend = self.config.attention.continuing(cache, T)
        hidden, kept = module.think(tokens, attend, cache.calls)
        # The kernel drops what does not fit. NaN keeps such a row from being sampled unnoticed.
        has_room = (positions_after(cache.lengths, T) < cache.room)[:, :, None]
        logits = jnp.where(has_room, module.read(hidden), jnp.nan)
        return logits, CallCache(kept, jnp.minimum(cache.lengths + T, cache.room), cache.rows)


def _is_slot(node: Any) -> bool:
    return isinstance(node, Slot)


def variables_of(module: nnx.Module) -> Variables:
    """Returns the variables of a text module, which has no puzzle rows."""
    _, params, buffers = nnx.split(module, nnx.Param, Buffer)
    return Variables(params, buffers, None)


@functools.cache
def _graphdef(model: TextModel) -> nnx.GraphDef[Any]:
    """Returns the module's structure without its values; cached, as models are hashable."""
    return nnx.graphdef(nnx.eval_shape(lambda: model.module(ParamKeys(jax.random.key(0)))))
