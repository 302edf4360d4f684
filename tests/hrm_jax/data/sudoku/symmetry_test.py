"""Symmetries: what they preserve, where they come from, that they are uniform."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.data.sudoku import generator, rules, solver, symmetry

PUZZLES = generator.generate(np.random.default_rng(0), 16)


@given(st.integers(0, 2**32), st.integers(0, 2**40))
def test_puzzles_stay_puzzles_and_solutions_their_solutions(seed, index):
    symmetries = symmetry.symmetries_at(seed, index, len(PUZZLES))
    questions = symmetries(PUZZLES.questions)
    answers = symmetries(PUZZLES.answers)
    assert rules.is_solution(answers, questions).all()
    np.testing.assert_array_equal((questions > 0).sum(1), (PUZZLES.questions > 0).sum(1))
    np.testing.assert_array_equal(symmetries.inverse()(questions), PUZZLES.questions)


def test_uniqueness_is_preserved():
    moved = symmetry.symmetries_at(1, 0, len(PUZZLES))(PUZZLES.questions)
    np.testing.assert_array_equal(solver.search_many(moved).counts, np.ones(len(PUZZLES)))


def test_cells_of_a_unit_stay_together():
    symmetries = symmetry.symmetries_at(2, 0, 200)
    units = {frozenset(unit) for unit in rules.UNITS.tolist()}
    for cells in symmetries.cells:
        assert {frozenset(cells[unit].tolist()) for unit in rules.UNITS} == units


@given(st.integers(0, 50), st.integers(1, 30))
def test_slices_of_the_sequence_agree(first, count):
    whole = symmetry.symmetries_at(7, 0, 80)
    part = symmetry.symmetries_at(7, first, count)
    np.testing.assert_array_equal(part.digits, whole.digits[first : first + count])
    np.testing.assert_array_equal(part.cells, whole.cells[first : first + count])


def test_seed_and_generator_decide():
    one, same, other = (symmetry.symmetries_at(seed, 0, 8).cells for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other).any(axis=1).all()
    drawn = [symmetry.random_symmetries(np.random.default_rng(5), 8).cells for _ in range(2)]
    np.testing.assert_array_equal(*drawn)


def test_every_choice_is_equally_likely():
    count = 18_000
    symmetries = symmetry.symmetries_at(3, 0, count)
    # Where the first cell comes from, and what becomes of digit 1: 81 and 9 equal chances.
    for drawn, chances in ((symmetries.cells[:, 0], 81), (symmetries.digits[:, 1] - 1, 9)):
        seen = np.bincount(drawn, minlength=chances)
        spread = np.sqrt(count / chances)
        assert np.abs(seen - count / chances).max() < 5 * spread
    # The second cell lies in the row or in the column of the first: transposed or not.
    same_row = (symmetries.cells[:, 0] // 9 == symmetries.cells[:, 1] // 9).mean()
    assert abs(same_row - 0.5) < 0.02


def test_augment_moves_tokens_like_grids():
    inputs, labels = symmetry.augment(
        rules.encode(PUZZLES.questions), rules.encode(PUZZLES.answers), seed=4, first_index=9
    )
    symmetries = symmetry.symmetries_at(4, 9, len(PUZZLES))
    np.testing.assert_array_equal(rules.decode(inputs), symmetries(PUZZLES.questions))
    np.testing.assert_array_equal(rules.decode(labels), symmetries(PUZZLES.answers))


@pytest.mark.parametrize("arguments", [(-1, 0, 1), (0, -1, 1), (0, 0, -1)])
def test_negative_arguments_are_refused(arguments):
    with pytest.raises(ValueError, match="at least 0"):
        symmetry.symmetries_at(*arguments)


def test_numbered_symmetries_are_those_of_the_sequence():
    numbered = symmetry.NumberedSymmetries()
    numbers = np.array([3, 0, 3, 40])
    tokens = rules.encode(PUZZLES.questions[:4])
    moved = numbered(tokens, numbers, seed=5)
    assert moved.dtype == np.uint8
    for row, number in enumerate(numbers):
        alone = symmetry.symmetries_at(5, int(number), 1)(PUZZLES.questions[row : row + 1])
        np.testing.assert_array_equal(moved[row], rules.encode(alone)[0])
    np.testing.assert_array_equal(numbered.inverse(moved, numbers, seed=5), tokens)
    nothing = numbered(tokens[:0], numbers[:0], seed=5)
    assert nothing.shape == (0, 81)


def test_the_inverse_takes_tokens_that_are_no_cells_for_blanks():
    strange = np.tile(np.array([0, 10, 11, -1, 300], np.int32), 17)[None, :81]
    back = symmetry.NumberedSymmetries().inverse(strange, np.array([2]), seed=0)
    assert (back != rules.BLANK_TOKEN).sum() == (strange == 10).sum()
    assert len(np.unique(back)) == 2
