"""Easier puzzles out of hard ones: some blanks are filled in from the answer.

A model that starts on hard puzzles learns little from them; with a few cells revealed they are of
every difficulty, and no two visits of a puzzle are alike.
"""

import numpy as np
from jaxtyping import UInt8

from hrm_jax.data.pipeline import Augment
from hrm_jax.data.sudoku import rules

_WORDS_PER_COUNT = 4
"""Words that Philox yields at each value of its counter."""
_STREAM = 1
"""Second word of the key: with the same seed, symmetries draw other words."""


def reveal(
    inputs: UInt8[np.ndarray, "B T"],
    labels: UInt8[np.ndarray, "B T"],
    seed: int,
    first_index: int,
    *,
    share: float,
) -> UInt8[np.ndarray, "B T"]:
    """Fills a random part of the blanks in a random share of the rows.

    Args:
      inputs: uint8 [B, 81], tokens from 1 on.
      labels: uint8 [B, 81], tokens from 2 on.
      seed: names the sequence of random rows, 0 <= seed < 2^64.
      first_index: row b takes number `first_index + b` of it, whatever the batch.
      share: of the rows, in [0, 1]; each of these has its own part of the blanks revealed, any
        part from none to all equally likely.

    Returns:
      The inputs, some blanks replaced by their labels, uint8 [B, 81].
    """
    B, T = inputs.shape
    # A row takes T words for its cells and 2 for itself, rounded up to whole values of the counter.
    counts_per_row = -(-(T + 2) // _WORDS_PER_COUNT)
    source = np.random.Philox(key=[seed, _STREAM], counter=counts_per_row * first_index)
    words = source.random_raw(B * counts_per_row * _WORDS_PER_COUNT)
    # The upper 53 bits, which a float64 holds exactly, as numbers in [0, 1).
    uniform = (words.reshape(B, -1) >> np.uint64(11)) * 2.0**-53
    cells, part, chosen = np.split(uniform, [T, T + 1], axis=1)
    revealed = (chosen[:, :1] < share) & (cells < part) & (inputs == rules.BLANK_TOKEN)
    return np.where(revealed, labels, inputs)


def ease_after(
    augment: Augment | None,
    inputs: UInt8[np.ndarray, "B T"],
    labels: UInt8[np.ndarray, "B T"],
    seed: int,
    first_index: int,
    *,
    share: float,
) -> tuple[UInt8[np.ndarray, "B T"], UInt8[np.ndarray, "B T"]]:
    """Applies another augmentation, if any, and then `reveal`.

    With `augment` and `share` bound it is itself an `Augment`.

    Returns:
      The (inputs, labels) to show.
    """
    if augment is not None:
        inputs, labels = augment(inputs, labels, seed, first_index)
    return reveal(inputs, labels, seed, first_index, share=share), labels
