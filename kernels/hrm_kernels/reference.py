"""The attention oracle: NumPy in float64, dense, written for clarity and not for speed."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float

from hrm_kernels.mask import Mask


@dataclasses.dataclass(frozen=True)
class Result:
    """The results of attention, all float64.

    Attributes:
      out: [B, T, N, K].
      lse: [B, N, T], log of the sum of exponentials of a query's scores; -inf where it has none.
    """

    out: Float[np.ndarray, "B T N K"]
    lse: Float[np.ndarray, "B N T"]


def allowed(mask: Mask, B: int, T: int, S: int) -> Bool[np.ndarray, "B T S"]:
    """Returns the mask as a dense array, following the text of `Mask` condition by condition."""
    offset = np.broadcast_to(np.asarray(mask.query_offset), (B,))
    position = (offset[:, None] + np.arange(T))[:, :, None]  # [B, T, 1]
    key = np.arange(S)[None, None]
    pairs = np.ones((B, T, S), bool)
    segments = np.zeros((B, S), int) if mask.segment_ids is None else np.asarray(mask.segment_ids)
    # Ids may recur in a row, so runs are numbered instead: equal ids apart are two segments.
    segments = np.cumsum(np.diff(segments, axis=1, prepend=segments[:, :1]) != 0, axis=1)
    own = np.minimum(position[:, :, 0], S - 1)  # where the query's own token stands
    if mask.causal or mask.prefix is not None:
        pairs &= key <= position
    if mask.prefix is not None:
        prefix = np.asarray(mask.prefix)
        marks = prefix if prefix.ndim == 2 else np.arange(S)[None] < prefix[:, None]
        # Prefixes of other segments are excluded by the next condition.
        pairs |= np.take_along_axis(marks, own, 1)[:, :, None] & marks[:, None]
    if mask.segment_ids is not None:
        pairs &= np.take_along_axis(segments, own, 1)[:, :, None] == segments[:, None]
    if mask.window is not None:
        pairs &= np.abs(key - position) < mask.window
    if mask.lengths is not None:
        pairs &= key < np.asarray(mask.lengths)[:, None, None]
    return pairs


def attention(query, key, value, *, mask: Mask | None = None, scale: float | None = None) -> Result:
    """Returns softmax attention, computed in float64 whatever the dtypes.

    Args:
      query: [B, T, N, K], any float dtype.
      key: [B, S, N_kv, K]; N is a multiple of N_kv, and neighbouring query heads share one.
      value: [B, S, N_kv, K].
      mask: what a query may attend to; None for everything.
      scale: factor on the scores; `1 / sqrt(K)` when None.
    """
    query, key, value = _float64(query, key, value)
    weights, lse = _softmax(query, key, mask, scale)
    out = np.einsum("BNTS,BSNK->BTNK", weights, _grouped(value, query))
    return Result(out, lse)


def gradients(query, key, value, d_out, d_lse=None, *, mask=None, scale=None):
    """Returns the cotangents of query, key and value by the textbook formulas, float64.

    Args:
      query: as in `attention`, like key, value, mask and scale.
      key: see above.
      value: see above.
      d_out: [B, T, N, K], cotangent of `out`.
      d_lse: [B, N, T], cotangent of `lse`; None for zero. Ignored where a query has no key.
      mask: see above.
      scale: see above.
    """
    query, key, value, d_out = _float64(query, key, value, d_out)
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    weights, lse = _softmax(query, key, mask, scale)
    d_weights = np.einsum("BTNK,BSNK->BNTS", d_out, _grouped(value, query))
    inner = (d_weights * weights).sum(-1, keepdims=True)
    if d_lse is not None:
        inner = inner - np.where(np.isfinite(lse), np.asarray(d_lse, np.float64), 0)[..., None]
    # The softmax's gradient: each entry less the row's mean under the weights.
    d_scores = scale * weights * (d_weights - inner)
    d_query = np.einsum("BNTS,BSNK->BTNK", d_scores, _grouped(key, query))
    d_key = np.einsum("BNTS,BTNK->BSNK", d_scores, query)
    d_value = np.einsum("BNTS,BTNK->BSNK", weights, d_out)
    # A key head that several query heads share gets the sum of their gradients.
    return d_query, *(_sum_groups(x, key.shape[2]) for x in (d_key, d_value))


def _softmax(query, key, mask: Mask | None, scale: float | None):
    """Returns the weights [B, N, T, S] and the log-sum-exp [B, N, T]."""
    B, T, _, K = query.shape
    scale = K**-0.5 if scale is None else scale
    # [B, 1, T, S]: one mask for all heads.
    pairs = allowed(mask or Mask(), B, T, key.shape[1])[:, None]
    scores = np.einsum("BTNK,BSNK->BNTS", query, _grouped(key, query)) * scale
    scores = np.where(pairs, scores, -np.inf)
    largest = scores.max(-1, keepdims=True)
    # A query without keys has -inf for its maximum, and -inf - -inf would be NaN.
    largest = np.where(np.isfinite(largest), largest, 0)
    exponentials = np.exp(scores - largest)
    total = exponentials.sum(-1, keepdims=True)
    # log 0 = -inf is what the log-sum-exp of a query without keys is to be.
    with np.errstate(divide="ignore"):
        lse = (np.log(total) + largest)[..., 0]
    # Without keys all weights are 0, whatever they are divided by.
    return exponentials / np.where(total > 0, total, 1), lse


def _float64(*arrays):
    return tuple(np.asarray(array, np.float64) for array in arrays)


def _grouped(x, query):
    """Returns keys or values repeated for the query heads that share them."""
    return np.repeat(x, query.shape[2] // x.shape[2], axis=2)


def _sum_groups(x, N_kv: int):
    """Returns the cotangents of repeated heads, summed over the repetitions."""
    B, S, N, K = x.shape
    return x.reshape(B, S, N_kv, N // N_kv, K).sum(3)
