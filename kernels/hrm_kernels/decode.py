"""Attention of a few new tokens to all before them: the cache, and the entry point of decoding."""

import dataclasses
import logging
from typing import Any, Self

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hrm_kernels import native_cached, xla_cached
from hrm_kernels.choice import choose, run
from hrm_kernels.device import PLATFORMS, device_of
from hrm_kernels.mask import KeyRanges, Mask, key_ranges
from hrm_kernels.operands import Case, Operands, Options, case_of

_LOG = logging.getLogger(__name__)


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class KVCache:
    """Keys and values of the tokens so far, with room for S in each row of a batch.

    Heads lie side by side, which no platform pads: as [B, S, M, K], few or narrow heads would take
    several times the memory on TPU.

    Attributes:
      key: [C, S, M * K]; arbitrary beyond a row's length.
      value: [C, S, M * K], likewise.
      lengths: [B] int32, tokens of each row so far, at most S.
      rows: [B] int32, where each row of the batch stands in `key` and `value`, all of them
        different; None for each in its own place, where C is B.
    """

    key: Float[Array, "C S M*K"]
    value: Float[Array, "C S M*K"]
    lengths: Int[Array, " B"]
    rows: Int[Array, " B"] | None = None

    @classmethod
    def empty(cls, B: int, S: int, M: int, K: int, dtype: Any) -> Self:
        """Returns a cache without tokens.

        Args:
          B: batch.
          S: room for tokens.
          M: key heads.
          K: head size.
          dtype: of the keys and values.
        """
        room = jnp.zeros((B, S, M * K), dtype)
        return cls(room, jnp.zeros_like(room), jnp.zeros(B, jnp.int32))


def decode_attention(
    query: Float[Array, "B T N K"],
    key: Float[Array, "B T M K"],
    value: Float[Array, "B T M K"],
    cache: KVCache,
    *,
    window: int | None = None,
    scale: float | None = None,
    backend: str | None = None,
    device: Any = None,
    interpret: Any = False,
) -> tuple[Float[Array, "B T N K"], KVCache]:
    """Appends T tokens to every row of a cache and attends from them to all so far, causally.

    The cache is updated in place if the caller's `jit` donates it (`donate_argnames="cache"`).
    Tokens for which a row has no room are dropped without an error, so check `lengths` before.

    Args:
      query: queries of the new tokens, rotated; one token, or a few.
      key: their keys, rotated, in the query's dtype. N is a multiple of M, as in `attention`.
      value: their values.
      cache: the tokens before them, in the same dtype.
      window: tokens that each one sees, itself included; None for all.
      scale: factor on the scores; `1 / sqrt(K)` when None.
      backend: as in `attention`.
      device: as in `attention`.
      interpret: as in `attention`.

    Returns:
      The attended values, in the query's shape and dtype, and the cache with the new tokens.

    Raises:
      ValueError: if shapes or dtypes do not fit together.
      UnsupportedError: if `backend` cannot serve these operands, saying why.
    """
    _check(query, key, value, cache)
    B, T, _, K = query.shape
    S = cache.key.shape[1]
    M = key.shape[2]
    scale = float(K**-0.5 if scale is None else scale)
    found = device_of(device)
    platform = found.platform
    # The two paths of CPU have no name in `choice.PATHS`: they are taken where none is asked for.
    on_cpu = backend is None and platform not in PLATFORMS
    # The kernel in C++ appends by itself, so it is asked before anything is written to the cache.
    case = Case(T, S, query.shape[2], M, K, query.dtype.name, masked=True)
    if on_cpu and native_cached.refuses(case) is None:
        _LOG.info("attention %s on %s: native_cached", case, platform)
        cached = cache.key, cache.value, cache.lengths, cache.rows
        out, keys, values = native_cached.append_and_attend(
            query, key, value, *cached, window=window, scale=scale
        )
        # Tokens for which there was no room are dropped, so a length ends at S.
        return out, KVCache(keys, values, jnp.minimum(cache.lengths + T, S), cache.rows)
    # The offset is the length before the tokens are appended, the limit below the one after.
    mask = Mask(causal=True, window=window, query_offset=cache.lengths)
    cache = _appended(cache, key, value)
    ranges = key_ranges(dataclasses.replace(mask, lengths=cache.lengths), B, T, S)
    # Of a cache with more rows than the batch, only the batch's own.
    key, value = (_own(x, cache.rows).reshape(B, S, M, K) for x in (cache.key, cache.value))
    operands = Operands(_folded(query, M), key, value, _tiled(ranges, query.shape[2] // M))
    # Another case than the one above: folded, there are N = M heads and N / M times the queries.
    case = case_of(operands, found.generation)
    if on_cpu and xla_cached.suits(case):
        _LOG.info("attention %s on %s: xla_cached", case, platform)
        return _unfolded(xla_cached.attend(scale, operands), T), cache
    name, interpreted = choose(case, platform, backend)
    options = Options(scale, False, interpret or interpreted, found.generation)
    out, _ = run(name, options, operands)
    return _unfolded(out, T), cache


def _appended(cache: KVCache, key: Array, value: Array) -> KVCache:
    """Returns the cache with the new tokens at the end of each row, as far as there is room."""
    B, T = key.shape[:2]
    # [B, 1] against [B, T]: a row of the cache, and in it a place for each new token.
    row = (jnp.arange(B, dtype=jnp.int32) if cache.rows is None else cache.rows)[:, None]
    position = cache.lengths[:, None] + jnp.arange(T, dtype=jnp.int32)[None]

    def stored(room: Array, new: Array) -> Array:
        # Both hints hold: every (row, position) occurs once, and where rows stand in their own
        # places, in ascending order. What is past the end of a row is dropped.
        return room.at[row, position].set(
            new.reshape(B, T, -1),
            mode="drop",
            unique_indices=True,
            indices_are_sorted=cache.rows is None,
        )

    lengths = jnp.minimum(cache.lengths + T, cache.key.shape[1])
    return KVCache(stored(cache.key, key), stored(cache.value, value), lengths, cache.rows)


def _own(x: Float[Array, "C S M*K"], rows: Int[Array, " B"] | None) -> Float[Array, "B S M*K"]:
    """Returns what the rows of the batch have of the cache."""
    return x if rows is None else x[rows]


def _folded(query: Float[Array, "B T N K"], M: int) -> Float[Array, "B GT M K"]:
    """Returns query heads that share a key head as further queries of it, which fill a block."""
    B, T, N, K = query.shape
    return jnp.einsum("BTMGK->BGTMK", query.reshape(B, T, M, N // M, K)).reshape(B, -1, M, K)


def _unfolded(out: Float[Array, "B GT M K"], T: int) -> Float[Array, "B T N K"]:
    """Returns the inverse of `_folded`."""
    B, _, M, K = out.shape
    return jnp.einsum("BGTMK->BTMGK", out.reshape(B, -1, T, M, K)).reshape(B, T, -1, K)


def _tiled(ranges: KeyRanges | None, G: int) -> KeyRanges:
    """Returns the ranges of the queries as `_folded` orders them."""
    # The mask of decoding is causal, so it never comes out as None.
    assert ranges is not None
    return KeyRanges(jnp.tile(ranges.first, (1, G)), jnp.tile(ranges.end, (1, G)))


def _check(query: Array, key: Array, value: Array, cache: KVCache) -> None:
    """Raises ValueError for operands that do not fit together, naming them."""
    shapes = f"query {query.shape}, key {key.shape}, value {value.shape}, cache {cache.key.shape}"
    if not query.ndim == key.ndim == value.ndim == 4 or cache.key.ndim != 3:
        raise ValueError(
            "decode_attention expects query [B, T, N, K], key and value [B, T, M, K] and a cache "
            f"[B, S, M * K]: {shapes}"
        )
    B, T, N, K = query.shape
    M = key.shape[2]
    if key.shape != value.shape or key.shape != (B, T, M, K) or N % M or 0 in query.shape:
        raise ValueError(
            "decode_attention expects operands equal in B, T and K, and query heads a multiple of "
            f"key heads: {shapes}"
        )
    # With `rows` the batch takes some of the rows of a cache, which may have any number.
    C = B if cache.rows is None else cache.key.shape[0]
    expected = (C, cache.key.shape[1], M * K)
    if not cache.key.shape == cache.value.shape == expected or cache.lengths.shape != (B,):
        raise ValueError(
            f"decode_attention expects a cache of {expected} with lengths ({B},): {shapes}, "
            f"cached values {cache.value.shape}, lengths {cache.lengths.shape}"
        )
    dtypes = {x.dtype.name for x in (query, key, value, cache.key, cache.value)}
    if len(dtypes) > 1:
        raise ValueError(
            f"decode_attention expects one dtype for operands and cache, got {sorted(dtypes)}: "
            "cast them, or make the cache in theirs"
        )
