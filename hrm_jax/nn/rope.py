"""Rotary position embedding in the rotate-half form."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float


def rope_table(
    length: int, head_size: int, theta: float
) -> tuple[Float[np.ndarray, "L K"], Float[np.ndarray, "L K"]]:
    """Cosines and sines of positions 0..length-1, float32 constants.

    Args:
      length: number of positions.
      head_size: K, even.
      theta: base of the geometric series of wavelengths.

    Returns:
      cos and sin of `position * theta ** (-arange(0, K, 2) / K)`, repeated over both halves.
    """
    inv_freq = 1.0 / theta ** (np.arange(0, head_size, 2, dtype=np.float32) / head_size)
    angles = np.outer(np.arange(length, dtype=np.float32), inv_freq.astype(np.float32))
    angles = np.concatenate([angles, angles], axis=-1)
    return np.cos(angles), np.sin(angles)


def apply_rope(
    x: Float[Array, "B L N K"], cos: Float[np.ndarray, "L K"], sin: Float[np.ndarray, "L K"]
) -> Float[Array, "B L N K"]:
    """Rotates each head's pairs `(x[i], x[i + K/2])` by its position; float32 inside."""
    wide = x.astype(jnp.float32)
    first, second = jnp.split(wide, 2, axis=-1)
    rotated_half = jnp.concatenate([-second, first], axis=-1)
    turned = wide * cos[None, :, None, :] + rotated_half * sin[None, :, None, :]
    return turned.astype(x.dtype)
