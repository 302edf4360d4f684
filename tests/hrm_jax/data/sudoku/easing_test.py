"""Revealed cells: which, how many, and that they come out the same however batches are cut."""

import functools

import numpy as np

from hrm_jax.data.sudoku import easing, generator, rules, symmetry

PUZZLES = generator.generate(np.random.default_rng(0), 400)
INPUTS = rules.encode(PUZZLES.questions)
LABELS = rules.encode(PUZZLES.answers)


def test_only_blanks_change_and_only_into_answers():
    eased = easing.reveal(INPUTS, LABELS, seed=3, first_index=0, share=1.0)
    changed = eased != INPUTS
    assert (INPUTS[changed] == rules.BLANK_TOKEN).all()
    np.testing.assert_array_equal(eased[changed], LABELS[changed])
    assert eased.dtype == np.uint8


def test_any_part_of_the_blanks_is_equally_likely():
    eased = easing.reveal(INPUTS, LABELS, seed=4, first_index=0, share=1.0)
    blanks = INPUTS == rules.BLANK_TOKEN
    parts = ((eased != INPUTS).sum(1) / blanks.sum(1)).ravel()
    # Uniform in [0, 1]: mean 1/2, standard deviation 0.29, over 400 rows.
    assert abs(parts.mean() - 0.5) < 5 * 0.29 / 20
    assert (np.histogram(parts, bins=4, range=(0, 1))[0] > 50).all()


def test_share_of_the_rows():
    touched = (easing.reveal(INPUTS, LABELS, seed=5, first_index=0, share=0.5) != INPUTS).any(1)
    assert 130 < touched.sum() < 250
    np.testing.assert_array_equal(easing.reveal(INPUTS, LABELS, 5, 0, share=0.0), INPUTS)


def test_a_row_depends_on_its_number_alone():
    whole = easing.reveal(INPUTS, LABELS, seed=6, first_index=10, share=0.7)
    part = easing.reveal(INPUTS[7:30], LABELS[7:30], seed=6, first_index=17, share=0.7)
    np.testing.assert_array_equal(part, whole[7:30])
    assert (easing.reveal(INPUTS, LABELS, seed=7, first_index=10, share=0.7) != whole).any()


def test_cells_are_revealed_after_the_symmetry():
    augment = functools.partial(easing.ease_after, symmetry.augment, share=1.0)
    eased, labels = augment(INPUTS, LABELS, 8, 0)
    moved_inputs, moved_labels = symmetry.augment(INPUTS, LABELS, 8, 0)
    np.testing.assert_array_equal(labels, moved_labels)
    np.testing.assert_array_equal(eased, easing.reveal(moved_inputs, moved_labels, 8, 0, share=1.0))
    alone = easing.ease_after(None, INPUTS, LABELS, 8, 0, share=1.0)
    np.testing.assert_array_equal(alone[0], easing.reveal(INPUTS, LABELS, 8, 0, share=1.0))
    np.testing.assert_array_equal(alone[1], LABELS)


def test_boards_of_other_sizes_are_eased_alike():
    labels = np.tile(np.arange(2, 6, dtype=np.uint8), (3, 4))
    inputs = np.full_like(labels, rules.BLANK_TOKEN)
    eased = easing.reveal(inputs, labels, seed=1, first_index=5, share=1.0)
    assert set(np.unique(np.where(eased != inputs, labels, eased))) <= {1, 2, 3, 4, 5}
    np.testing.assert_array_equal(easing.reveal(inputs[1:], labels[1:], 1, 6, share=1.0), eased[1:])
