"""Fill-in-the-middle: a text whose middle is moved to its end (Bavarian et al. 2022, "PSM").

The hole lies between two tokens drawn uniformly. It may begin within a word, but never within a
token; with bytes that is anywhere.
"""

import numpy as np
from jaxtyping import Int

from hrm_jax.core.protocols import InfillingTokens

NUM_MARKS = 3
"""The number of tokens that a hole adds to a text."""


def draw_hole(rng: np.random.Generator, length: int) -> tuple[int, int]:
    """Returns the first token of a hole in `length` tokens and the first after it; it may be empty.

    Both ends are drawn uniformly from 0 to `length`, so the hole may also be the whole text.
    """
    first, second = sorted(rng.integers(0, length + 1, size=2).tolist())
    return first, second


def with_hole(
    tokens: Int[np.ndarray, " T"], hole: tuple[int, int], marks: InfillingTokens
) -> Int[np.ndarray, " U"]:
    """Returns a text with a hole, int [U]: U = T + `NUM_MARKS`.

    Its order is: mark of the prefix, tokens before the hole, mark of the suffix, tokens after it,
    mark of the middle, tokens within it ("PSM").

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
