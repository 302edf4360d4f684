"""Random symmetries of Sudoku, reproducible row by row.

A symmetry relabels the digits and moves the cells: transposition, order of bands, of rows within
bands, of stacks, of columns within stacks. It takes puzzles to puzzles, solutions to solutions, and
keeps blanks blank. Batches are drawn from a counter-based generator (Philox), so the symmetry of
row i depends on (seed, i) alone: not on the batch size, the process, or what was drawn before.
"""

import dataclasses

import numpy as np
from jaxtyping import Int, UInt8, UInt64

from hrm_jax.data.sudoku import rules

# Philox yields four words a counter value; a symmetry takes 9 + 2 * (3 + 9) + 1 = 34 words.
_WORDS_PER_COUNT = 4
_COUNTS_PER_ROW = 9
_WORDS_PER_ROW = _WORDS_PER_COUNT * _COUNTS_PER_ROW


@dataclasses.dataclass(frozen=True)
class Symmetries:
    """A batch of symmetries.

    Attributes:
      digits: uint8 [B, 10], the new value of every cell value; `digits[:, 0]` is 0.
      cells: uint8 [B, 81], for every cell, the cell its value is taken from.
    """

    digits: UInt8[np.ndarray, "B 10"]
    cells: UInt8[np.ndarray, "B 81"]

    def __call__(self, grids: UInt8[np.ndarray, "B 81"]) -> UInt8[np.ndarray, "B 81"]:
        """Applies symmetry b to grid b of a batch of puzzles or solutions."""
        # Moving cells and relabelling digits commute, so `inverse` can invert each by itself.
        moved = np.take_along_axis(grids, self.cells.astype(np.intp), axis=1)
        return np.take_along_axis(self.digits, moved.astype(np.intp), axis=1)

    def inverse(self) -> "Symmetries":
        """Returns the symmetries that undo these: `s.inverse()(s(grids))` equals `grids`."""
        # The inverse of a permutation is its argsort; `digits[:, 0]` is 0 and stays so.
        return Symmetries(
            digits=np.argsort(self.digits, axis=1).astype(np.uint8),
            cells=np.argsort(self.cells, axis=1).astype(np.uint8),
        )


def _line_order(words: UInt64[np.ndarray, "B 12"]) -> np.ndarray:
    """Returns orders of nine lines that keep bands together, int [B, 9]."""
    # Three keys order the bands, and three for each of them the lines within.
    bands = np.argsort(words[:, :3], axis=1)
    within = np.argsort(words[:, 3:].reshape(-1, 3, 3), axis=2)
    return (3 * bands[:, :, None] + within).reshape(-1, 9)


def _from_words(words: UInt64[np.ndarray, "B 36"]) -> Symmetries:
    """Builds symmetries from random words; sorting random keys gives uniform permutations."""
    digits = np.zeros((len(words), 10), dtype=np.uint8)
    digits[:, 1:] = np.argsort(words[:, :9], axis=1) + 1
    rows = _line_order(words[:, 9:21])[:, :, None]
    columns = _line_order(words[:, 21:33])[:, None, :]
    transposed = (words[:, 33] & np.uint64(1)).astype(bool)[:, None, None]
    # A transposed grid takes its value from the cell with row and column exchanged.
    cells = np.where(transposed, 9 * columns + rows, 9 * rows + columns)
    return Symmetries(digits, cells.reshape(-1, rules.NUM_CELLS).astype(np.uint8))


def random_symmetries(rng: np.random.Generator, count: int) -> Symmetries:
    """Draws `count` independent, uniformly distributed symmetries."""
    return _from_words(rng.integers(2**64, size=(count, _WORDS_PER_ROW), dtype=np.uint64))


def symmetries_at(seed: int, first_index: int, count: int) -> Symmetries:
    """Returns symmetries number `first_index` to `first_index + count - 1` of an endless sequence.

    Args:
      seed: names the sequence, 0 <= seed < 2^128.
      first_index: position in it, at least 0.
      count: how many to return; slices of the sequence agree wherever they overlap.

    Raises:
      ValueError: an argument is negative.
    """
    if min(seed, first_index, count) < 0:
        raise ValueError(
            "seed, first_index and count are at least 0, but they are"
            f" {seed}, {first_index} and {count}"
        )
    # The counter is four words of 64 bits; indices stay far below 2^60, so the first one suffices.
    source = np.random.Philox(key=seed, counter=_COUNTS_PER_ROW * first_index)
    return _from_words(source.random_raw(count * _WORDS_PER_ROW).reshape(count, _WORDS_PER_ROW))


def augment(
    inputs: UInt8[np.ndarray, "B 81"],
    labels: UInt8[np.ndarray, "B 81"],
    seed: int,
    first_index: int,
) -> tuple[UInt8[np.ndarray, "B 81"], UInt8[np.ndarray, "B 81"]]:
    """Moves tokens of puzzles and of their solutions by the same random symmetries.

    Args:
      inputs: uint8 [B, 81], tokens 1..10.
      labels: uint8 [B, 81], tokens 2..10.
      seed: see `symmetries_at`.
      first_index: row b takes symmetry number `first_index + b`.

    Returns:
      The moved (inputs, labels).
    """
    symmetries = symmetries_at(seed, first_index, len(inputs))
    moved_inputs = rules.encode(symmetries(inputs - rules.BLANK_TOKEN))
    return moved_inputs, rules.encode(symmetries(labels - rules.BLANK_TOKEN))


class NumberedSymmetries:
    """Applies the symmetries of `symmetries_at` by number, on tokens: for restarts of a search."""

    def __call__(
        self, tokens: UInt8[np.ndarray, "B 81"], numbers: Int[np.ndarray, " B"], seed: int
    ) -> UInt8[np.ndarray, "B 81"]:
        """Returns row b under symmetry `numbers[b]` of the sequence that `seed` names.

        Tokens 1..10.
        """
        return rules.encode(_numbered(numbers, seed)(tokens - rules.BLANK_TOKEN))

    def inverse(
        self, tokens: Int[np.ndarray, "B 81"], numbers: Int[np.ndarray, " B"], seed: int
    ) -> UInt8[np.ndarray, "B 81"]:
        """Returns tokens under the inverse symmetries.

        Tokens of proposals that no cell can hold become blanks.
        """
        known = (tokens >= rules.BLANK_TOKEN) & (tokens < rules.VOCABULARY_SIZE)
        grids = np.where(known, tokens - rules.BLANK_TOKEN, rules.BLANK).astype(np.uint8)
        return rules.encode(_numbered(numbers, seed).inverse()(grids))


def _numbered(numbers: Int[np.ndarray, " B"], seed: int) -> Symmetries:
    """Returns one symmetry for each number, which are small."""
    # All up to the largest are made, so numbers have to be small.
    sequence = symmetries_at(seed, 0, int(numbers.max(initial=-1)) + 1)
    return Symmetries(sequence.digits[numbers], sequence.cells[numbers])
