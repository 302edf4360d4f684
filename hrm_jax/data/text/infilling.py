"""Fill-in-the-middle: a text whose middle is moved to its end (Bavarian et al. 2022, "PSM").

The hole lies between two tokens drawn uniformly. It may begin within a word, but never within a
token; with bytes that is anywhere.
"""

import numpy as np
from jaxtyping import Int

from hrm_jax.core.protocols import InfillingTokens

NUM_MARKS = 3
"""Tokens that a hole adds to a text."""


def draw_hole(rng: np.random.Generator, length: int) -> tuple[int, int]:
    """Returns where a hole in a text of `length` tokens begins and ends; it may be empty, or everything."""
    first, second = sorted(rng.integers(0, length + 1, size=2).tolist())
    return first, second


def with_hole(
    tokens: Int[np.ndarray, " T"], hole: tuple[int, int], marks: InfillingTokens
) -> Int[np.ndarray, " U"]:
    """`prefix, before, suffix, after, middle, within`: U = T + `NUM_MARKS` tokens.

    Args:
      tokens: the text.
      hole: its first token, and the first one after it.
      marks: the three special tokens.
    """
    first, second = hole
    parts = (tokens[:first], tokens[second:], tokens[first:second])
    marked = [
        np.concatenate([np.array([mark], tokens.dtype), part])
        for mark, part in zip((marks.prefix, marks.suffix, marks.middle), parts, strict=True)
    ]
    return np.concatenate(marked)
