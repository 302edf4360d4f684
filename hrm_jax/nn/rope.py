"""Rotary position embedding, rotate-half form: its tables, and rotation at given positions."""

import math
from typing import Literal

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

import hrm_kernels
from hrm_jax.core.config import check, configclass, field


@configclass
class RopeScaling:
    """How rotary frequencies are lowered for texts longer than those of the first training.

    "default" leaves them. "linear" divides all by `factor`. "llama3" (Llama 3.1) divides by
    `factor` those that turn fewer than `low_turns` times in `original_length` tokens, keeps those
    that turn more than `high_turns` times, and interpolates in between.

    Raises:
      ConfigError: on construction, if the fields do not fit together.
    """

    kind: Literal["default", "linear", "llama3"] = field(
        "default", help="which frequencies are lowered"
    )
    factor: float = field(
        1.0, help="what they are divided by", at_least=1, remedy="1 leaves them as they are"
    )
    low_turns: float = field(
        1.0, help="llama3: turns below which a frequency is lowered in full", more_than=0
    )
    high_turns: float = field(4.0, help="llama3: turns above which it is kept")
    original_length: int = field(8192, help="llama3: tokens in which turns are counted", at_least=1)

    def __post_init__(self):
        """Raises ConfigError unless low_turns is below high_turns."""
        check(
            self.low_turns < self.high_turns,
            "high_turns",
            expected=f"more than low_turns={self.low_turns}",
            got=self.high_turns,
            remedy="1 and 4 are those of Llama 3.1",
        )

    def divisors(self, frequencies: Float[np.ndarray, " K_2"]) -> Float[np.ndarray, " K_2"]:
        """Returns the divisor of each frequency, which are in radians per token."""
        if self.kind != "llama3":
            return np.full_like(frequencies, self.factor if self.kind == "linear" else 1.0)
        turns = self.original_length * frequencies / (2 * math.pi)
        # 0 below `low_turns`, 1 above `high_turns`.
        kept = np.clip((turns - self.low_turns) / (self.high_turns - self.low_turns), 0, 1)
        # A frequency becomes `kept * f + (1 - kept) * f / factor`; this is what it is divided by.
        return (1 / (kept + (1 - kept) / self.factor)).astype(frequencies.dtype)


UNSCALED = RopeScaling()


def rope_frequencies(head_size: int, theta: float) -> Float[np.ndarray, " K_2"]:
    """Returns `theta ** (-arange(0, K, 2) / K)`, in radians per token, float32."""
    exponents = np.arange(0, head_size, 2, dtype=np.float32) / head_size
    return (1.0 / theta**exponents).astype(np.float32)


def rope_table(
    length: int, head_size: int, theta: float, scaling: RopeScaling = UNSCALED
) -> hrm_kernels.Rope:
    """Returns cosines and sines of positions 0..length-1, [length, K] float32 constants.

    Args:
      length: number of positions.
      head_size: K, even.
      theta: base of the geometric series of wavelengths.
      scaling: how the frequencies are lowered.

    Returns:
      The cosines and sines of position times frequency; the second half of K repeats the first.
    """
    frequencies = rope_frequencies(head_size, theta)
    frequencies = frequencies / scaling.divisors(frequencies)
    angles = np.outer(np.arange(length, dtype=np.float32), frequencies)
    # Element i is turned with element i + K / 2, so both halves have the same angles.
    angles = np.concatenate([angles, angles], axis=-1)
    return hrm_kernels.Rope(np.cos(angles), np.sin(angles))


def rotate_at(
    x: Float[Array, "B T N K"], table: hrm_kernels.Rope, positions: Int[Array, "B T"]
) -> Float[Array, "B T N K"]:
    """Rotates each token by its own position, as decoding does.

    Where queries and keys are the same tokens, pass the table to `hrm_kernels.attention` instead,
    which rotates them by their index.

    Args:
      x: queries or keys.
      table: cosines and sines of all positions that may occur.
      positions: the tokens' positions; those beyond the table take its last row.

    Returns:
      The rotated `x`, computed in float32, in its dtype.
    """
    last = table.cos.shape[0] - 1
    rows = jnp.minimum(positions, last)
    cos, sin = (jnp.asarray(part)[rows][:, :, None] for part in (table.cos, table.sin))
    wide = x.astype(jnp.float32)
    first, second = jnp.split(wide, 2, axis=-1)
    # The pairs as complex numbers, times `cos + i sin`.
    turned = wide * cos + jnp.concatenate([-second, first], axis=-1) * sin
    return turned.astype(x.dtype)
