"""Batches of puzzles: taking rows and joining."""

import numpy as np

from hrm_jax.data.sudoku.puzzles import Puzzles, concatenate


def _puzzles(count):
    rows = np.repeat(np.arange(count, dtype=np.uint8)[:, None], 81, axis=1)
    return Puzzles(rows, rows + np.uint8(1), np.arange(count, dtype=np.int32))


def test_take_accepts_indices_masks_and_slices():
    puzzles = _puzzles(4)
    for rows in (np.array([1, 3]), np.array([False, True, False, True]), slice(1, None, 2)):
        taken = puzzles.take(rows)
        assert len(taken) == 2
        assert taken.ratings.tolist() == [1, 3]
        assert taken.questions[:, 0].tolist() == [1, 3]
        assert taken.answers[:, 80].tolist() == [2, 4]


def test_concatenate_inverts_slicing():
    puzzles = _puzzles(5)
    joined = concatenate([puzzles.take(slice(0, 2)), puzzles.take(slice(2, 5))])
    np.testing.assert_array_equal(joined.questions, puzzles.questions)
    np.testing.assert_array_equal(joined.answers, puzzles.answers)
    np.testing.assert_array_equal(joined.ratings, puzzles.ratings)
