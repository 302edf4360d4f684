"""Which keys a query attends to: a typed description, and the form in which kernels read it.

Causality, prefixes, windows, packed segments and valid lengths each leave a query one run of
consecutive keys, and an intersection of runs is a run. A kernel therefore reads two integers for
each query, `first <= s < end`, whatever the combination, and from their extremes over a block of
queries it knows which blocks of keys to skip.
"""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Int


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Mask:
    """What a query may attend to: the keys that all given conditions allow; by default all.

    Positions count the keys of a row from 0; query t stands at position `query_offset + t`.

    Attributes:
      causal: no key after the query's own position; static.
      window: only keys less than this many positions away, on either side; static.
      query_offset: position of the first query: an int, or [B] int32. 0 where queries and keys
        are the same tokens.
      lengths: [B] int32, keys of each row that exist; the others are never attended to.
      prefix: tokens that see each other in both directions, while all else is causal (implies
        `causal`): [B] int32, the length of each row's prefix; or [B, S] bool, true for the tokens
        of a prefix, which must be the first ones of a packed segment.
      segment_ids: [B, S] int32 of packed sequences; a query attends within its own segment. A
        segment is a run of equal ids: two runs with the same id are two segments.
    """

    causal: bool = dataclasses.field(default=False, metadata={"static": True})
    window: int | None = dataclasses.field(default=None, metadata={"static": True})
    query_offset: int | Int[Array, " B"] = 0
    lengths: Int[Array, " B"] | None = None
    prefix: Int[Array, " B"] | Bool[Array, "B S"] | None = None
    segment_ids: Int[Array, "B S"] | None = None

    @property
    def is_full(self) -> bool:
        """Whether every query attends to every key."""
        limits = (self.window, self.lengths, self.prefix, self.segment_ids)
        return not self.causal and all(limit is None for limit in limits)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class KeyRanges:
    """The keys of each query, `first <= s < end`; none where `first >= end`.

    Attributes:
      first: [B, T] int32, at least 0.
      end: [B, T] int32, at most S.
    """

    first: Int[Array, "B T"]
    end: Int[Array, "B T"]


def key_ranges(mask: Mask, B: int, T: int, S: int) -> KeyRanges | None:
    """Returns the mask as ranges of keys, or None if every query attends to every key.

    Raises:
      ValueError: if a field does not fit the sizes.
    """
    check_mask(mask, B, S)
    if mask.is_full:
        return None
    # [1, 1] of an int and [B, 1] of an array: both broadcast over the queries.
    offset = jnp.asarray(mask.query_offset, jnp.int32).reshape(-1, 1)
    position = jnp.broadcast_to(offset + jnp.arange(T, dtype=jnp.int32)[None], (B, T))
    # All keys at first; each condition then narrows the run, but for a prefix, which widens it.
    first = jnp.zeros_like(position)
    end = jnp.full_like(position, S)
    if mask.causal or mask.prefix is not None:
        # A prefix implies causality: outside of it a query sees itself and what is before.
        end = position + 1
    if mask.prefix is not None:
        marked = _prefix_marks(mask.prefix, S)
        # Bounded by segments as well: prefixes of adjacent segments may touch, and must not join.
        prefix_end = _run_bounds(marked, mask.segment_ids)[1]
        # Only queries within a prefix see beyond themselves, as far as its end.
        end = jnp.where(_at(marked, position), _at(prefix_end, position), end)
    if mask.segment_ids is not None:
        segment_first, segment_end = _run_bounds(mask.segment_ids)
        first = jnp.maximum(first, _at(segment_first, position))
        end = jnp.minimum(end, _at(segment_end, position))
    if mask.window is not None:
        # Fewer than `window` positions away on each side, itself included.
        first = jnp.maximum(first, position - mask.window + 1)
        end = jnp.minimum(end, position + mask.window)
    # Together the conditions may leave first > end, which every reader takes for no keys.
    limit = S if mask.lengths is None else jnp.minimum(mask.lengths.astype(jnp.int32), S)[:, None]
    return KeyRanges(jnp.maximum(first, 0), jnp.minimum(end, limit))


def check_mask(mask: Mask, B: int, S: int) -> None:
    """Raises ValueError, naming the field, if `mask` does not fit a batch B and S keys."""
    if mask.window is not None and mask.window < 1:
        raise ValueError(f"mask.window: expected 1 or more positions, got {mask.window}")
    shapes = {
        "query_offset": [(), (B,)],
        "lengths": [(B,)],
        "prefix": [(B,), (B, S)],
        "segment_ids": [(B, S)],
    }
    for name, allowed in shapes.items():
        value = getattr(mask, name)
        if value is not None and jnp.shape(value) not in allowed:
            raise ValueError(
                f"mask.{name}: expected shape {' or '.join(map(str, allowed))} for a batch of {B} "
                f"and {S} keys, got {jnp.shape(value)}"
            )
    # Told by shape and dtype together: integers [B, S] would be read as marks, booleans [B] as
    # lengths.
    if mask.prefix is not None and (mask.prefix.ndim == 2) != (mask.prefix.dtype == jnp.bool_):
        raise ValueError(
            "mask.prefix: expected [B] integers, the lengths, or [B, S] booleans, the tokens, got "
            f"{mask.prefix.dtype} {mask.prefix.shape}"
        )
    if mask.prefix is not None and mask.prefix.ndim == 1 and mask.segment_ids is not None:
        raise ValueError(
            "mask.prefix: expected [B, S] booleans with segment_ids, as each segment has a prefix "
            "of its own, got one length a row"
        )


def _prefix_marks(prefix: Array, S: int) -> Bool[Array, "B S"]:
    if prefix.ndim == 2:
        return prefix
    return jnp.arange(S, dtype=jnp.int32)[None] < prefix.astype(jnp.int32)[:, None]


def _run_bounds(*keys: Array | None) -> tuple[Int[Array, "B S"], Int[Array, "B S"]]:
    """Returns the first and the end of the run of equal keys that each position is in."""
    given = [key for key in keys if key is not None]
    B, S = given[0].shape
    # A run ends where any of the given keys changes.
    change = sum((key[:, 1:] != key[:, :-1] for key in given), jnp.zeros((B, S - 1), bool))
    # A run begins where the row begins, and one ends where it ends.
    border = jnp.ones((B, 1), bool)
    position = jnp.arange(S, dtype=jnp.int32)[None]
    begins = jnp.where(jnp.concatenate([border, change], 1), position, 0)
    ends = jnp.where(jnp.concatenate([change, border], 1), position + 1, S)
    # Each position takes over the nearest start on its left and the nearest end on its right.
    return jax.lax.cummax(begins, 1), jax.lax.cummin(ends, 1, reverse=True)


def _at(values: Array, position: Int[Array, "B T"]) -> Array:
    """Returns each row's values at its positions; past the last key, the last value."""
    return jnp.take_along_axis(values, jnp.minimum(position, values.shape[1] - 1), axis=1)
