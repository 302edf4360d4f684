"""The tables of rotary position embedding in the rotate-half form."""

import numpy as np

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
