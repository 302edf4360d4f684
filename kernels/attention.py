"""The public door to attention: checks the operands and runs the path for this platform."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from kernels import xla


def attention(
    query: Float[Array, "B T N K"],
    key: Float[Array, "B S N K"],
    value: Float[Array, "B S N K"],
    *,
    scale: float | None = None,
) -> Float[Array, "B T N K"]:
    """Softmax attention without a mask: every query attends to every key.

    Differentiable, and the same under `jit`, `vmap` and inside `lax.scan`. Scores, softmax and
    sums are float32 whatever the operands' dtype.

    Args:
      query: queries; float32, bfloat16 or float16.
      key: keys, of the query's dtype.
      value: values, of the query's dtype and the key's shape.
      scale: factor on the scores; `1 / sqrt(K)` when None.

    Returns:
      The attended values, in the query's shape and dtype.

    Raises:
      ValueError: if the shapes or dtypes do not fit together.
    """
    _check(query, key, value)
    return xla.attention(
        query, key, value, float(query.shape[-1] ** -0.5 if scale is None else scale)
    )


def _check(query: jax.Array, key: jax.Array, value: jax.Array) -> None:
    """Refuses operands that attention is not defined for, saying which and why."""
    shapes = f"query {query.shape}, key {key.shape}, value {value.shape}"
    if not query.ndim == key.ndim == value.ndim == 4:
        raise ValueError(
            f"attention expects query [B, T, N, K] and key, value [B, S, N, K]: {shapes}"
        )
    B, _, N, K = query.shape
    if key.shape != value.shape or (key.shape[0], *key.shape[2:]) != (B, N, K):
        raise ValueError(f"attention expects operands equal in B, N and K, and in S: {shapes}")
    if not query.dtype == key.dtype == value.dtype or not jnp.issubdtype(query.dtype, jnp.floating):
        raise ValueError(
            "attention expects one floating dtype for all operands, got "
            f"query {query.dtype}, key {key.dtype}, value {value.dtype}: cast them first"
        )
