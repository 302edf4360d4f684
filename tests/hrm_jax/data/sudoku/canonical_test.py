"""Classes: equal under every symmetry, different otherwise."""

import numpy as np
import pytest

from hrm_jax.data.sudoku import canonical, generator, rules, symmetry

GRIDS = 40


@pytest.fixture(scope="module")
def grids():
    return generator.generate(np.random.default_rng(0), GRIDS).answers


def test_symmetric_grids_share_class_and_fingerprint(grids):
    moved = symmetry.random_symmetries(np.random.default_rng(1), GRIDS)(grids)
    assert (moved != grids).any(axis=1).all()
    assert canonical.grid_classes(moved) == canonical.grid_classes(grids)
    np.testing.assert_array_equal(
        canonical.class_fingerprints(moved), canonical.class_fingerprints(grids)
    )


def test_random_grids_differ_in_class_and_fingerprint(grids):
    assert len(set(canonical.grid_classes(grids))) == GRIDS
    assert len(set(canonical.class_fingerprints(grids).tolist())) == GRIDS


def test_canonical_form_is_a_fixed_point_in_the_class_and_the_smallest(grids):
    forms = canonical.canonical(grids)
    np.testing.assert_array_equal(canonical.canonical(forms), forms)
    assert rules.is_solution(forms, forms).all()
    np.testing.assert_array_equal(forms[:, :9], np.tile(np.arange(1, 10), (GRIDS, 1)))
    for seed in range(20):
        moved = symmetry.random_symmetries(np.random.default_rng(seed), GRIDS)(grids)
        assert all(
            form.tobytes() <= other.tobytes() for form, other in zip(forms, moved, strict=True)
        )


def test_the_most_symmetric_grid_has_its_own_class():
    # Rows shifted by three within a band and by one between bands.
    shifts = [0, 3, 6, 1, 4, 7, 2, 5, 8]
    grid = np.concatenate([np.roll(np.arange(1, 10), -s) for s in shifts]).astype(np.uint8)
    np.testing.assert_array_equal(canonical.canonical(grid[None])[0][:27], grid[:27])
    name = canonical.grid_class(grid)
    assert len(name) == 16
    assert int(name, 16) >= 0


def test_only_solved_grids_have_classes(grids):
    unsolved = grids[:3].copy()
    unsolved[1, 5] = 0
    for function in (canonical.canonical, canonical.class_fingerprints):
        with pytest.raises(rules.PuzzleError, match="grid 1 of the batch"):
            function(unsolved)
        with pytest.raises(rules.PuzzleLengthError, match=r"\[B, 81\]"):
            function(grids[0])
