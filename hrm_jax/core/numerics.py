"""Stablemax, the originals' replacement for softmax.

`s(x) = x + 1` for x >= 0 and `1 / (1 - x)` below, so that its logarithm is exactly
`sign(x) * log(1 + |x|)`. Written with `log1p` the float32 error stays near rounding for every x,
so the originals' float64 is not needed: `tests/hrm_jax/core/numerics_test.py` measures it.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float


def stablemax_scores(x: Float[Array, "*axes"]) -> Float[Array, "*axes"]:
    """s(x), positive and increasing; the same shape and dtype."""
    return jnp.where(x >= 0, x + 1, 1 / (1 - jnp.minimum(x, 0)))


def log_stablemax(logits: Float[Array, "*axes V"]) -> Float[Array, "*axes V"]:
    """Log-probabilities `log(s(x) / sum s(x))` over the last axis, in float32.

    The original adds 1e-30 inside `1 / (1 - x + 1e-30)`, which no float can see here.
    """
    x = logits.astype(jnp.float32)
    log_scores = jnp.sign(x) * jnp.log1p(jnp.abs(x))
    return log_scores - jnp.log(stablemax_scores(x).sum(-1, keepdims=True))
