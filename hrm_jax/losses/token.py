"""Cross-entropy of tokens under stablemax."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hrm_jax.core.numerics import log_stablemax
from hrm_jax.core.types import IGNORE_LABEL


def stablemax_cross_entropy(
    logits: Float[Array, "B T V"], labels: Int[Array, "B T"]
) -> Float[Array, "B T"]:
    """`-log p(label)` under stablemax, float32; zero where the label is `IGNORE_LABEL`."""
    valid = labels != IGNORE_LABEL
    picked = jnp.take_along_axis(
        log_stablemax(logits), jnp.where(valid, labels, 0)[..., None], axis=-1
    )
    return jnp.where(valid, -picked[..., 0], 0.0)
