"""The attention oracle: NumPy in float64, written for reading, not for speed."""

import numpy as np
from jaxtyping import Float


def attention(
    query: Float[np.ndarray, "B T N K"],
    key: Float[np.ndarray, "B S N K"],
    value: Float[np.ndarray, "B S N K"],
    *,
    scale: float | None = None,
) -> Float[np.ndarray, "B T N K"]:
    """Softmax attention without a mask, in float64 whatever comes in.

    Args:
      query: queries, any float dtype.
      key: keys.
      value: values.
      scale: factor on the scores; `1 / sqrt(K)` when None.

    Returns:
      The attended values, float64.
    """
    query, key, value = (np.asarray(array, np.float64) for array in (query, key, value))
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    scores = scale * np.einsum("BTNK,BSNK->BNTS", query, key)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    weights /= weights.sum(-1, keepdims=True)
    return np.einsum("BNTS,BSNK->BTNK", weights, value)
