"""Rotary position embedding in the rotate-half form: its tables, and rotation at any position."""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

import kernels


def rope_table(length: int, head_size: int, theta: float) -> kernels.Rope:
    """Cosines and sines of positions 0..length-1, [L, K] float32 constants.

    Args:
      length: number of positions.
      head_size: K, even.
      theta: base of the geometric series of wavelengths.

    Returns:
      The cosines and sines of `position * theta ** (-arange(0, K, 2) / K)`, repeated over both
      halves.
    """
    inv_freq = 1.0 / theta ** (np.arange(0, head_size, 2, dtype=np.float32) / head_size)
    angles = np.outer(np.arange(length, dtype=np.float32), inv_freq.astype(np.float32))
    angles = np.concatenate([angles, angles], axis=-1)
    return kernels.Rope(np.cos(angles), np.sin(angles))


def rotate_at(
    x: Float[Array, "B T N K"], table: kernels.Rope, positions: Int[Array, "B T"]
) -> Float[Array, "B T N K"]:
    """Rotates each token by its own position, as a decoder does.

    Queries and keys that are all of one sequence need no positions: `kernels.attention` takes the
    table, and rotates them on the way.

    Args:
      x: queries or keys.
      table: cosines and sines of all positions there may be.
      positions: of the tokens; what is beyond the table takes its last row.

    Returns:
      The rotated, computed in float32, in the dtype of x.
    """
    last = table.cos.shape[0] - 1
    rows = jnp.minimum(positions, last)
    cos, sin = (jnp.asarray(part)[rows][:, :, None] for part in (table.cos, table.sin))
    wide = x.astype(jnp.float32)
    first, second = jnp.split(wide, 2, axis=-1)
    turned = wide * cos + jnp.concatenate([-second, first], axis=-1) * sin
    return turned.astype(x.dtype)
