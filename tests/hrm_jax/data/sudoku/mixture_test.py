"""Joined collections: nothing held out gets in, under any symmetry, and nothing stands twice."""

import numpy as np
import pytest

from hrm_jax.data.sudoku import canonical, generator, mixture, symmetry
from hrm_jax.data.sudoku.puzzles import Puzzles, concatenate

PUZZLES = generator.generate(np.random.default_rng(0), 40)
OTHERS = generator.generate(np.random.default_rng(1), 10)


def moved(puzzles: Puzzles, seed: int) -> Puzzles:
    symmetries = symmetry.symmetries_at(seed, 0, len(puzzles))
    return Puzzles(symmetries(puzzles.questions), symmetries(puzzles.answers), puzzles.ratings)


def test_planted_grids_are_left_out_under_any_symmetry():
    planted = moved(PUZZLES.take(slice(0, 7)), seed=3)
    joined = mixture.join(
        {"clean": PUZZLES.take(slice(7, 40)), "leaky": planted}, [PUZZLES.take(slice(0, 7)), OTHERS]
    )
    assert joined.held_out == 7
    assert joined.sources == ["clean"] * 33
    classes = set(canonical.grid_classes(joined.puzzles.answers))
    assert not classes & set(canonical.grid_classes(PUZZLES.answers[:7]))


def test_repeated_puzzles_stand_once_where_they_stood_first():
    joined = mixture.join({"a": PUZZLES, "b": concatenate([PUZZLES, OTHERS])}, [])
    assert joined.repeated == len(PUZZLES)
    assert joined.sources == ["a"] * 40 + ["b"] * 10
    np.testing.assert_array_equal(
        joined.puzzles.questions, np.concatenate([PUZZLES.questions, OTHERS.questions])
    )


def test_nothing_left_is_an_error():
    with pytest.raises(ValueError, match="of 40 puzzles none is left"):
        mixture.join({"a": PUZZLES}, [moved(PUZZLES, seed=5)])
