"""Generated puzzles: unique, minimal, reproducible, and as hard as asked."""

import numpy as np
import pytest

from hrm_jax.data.sudoku import generator, rules, solver


@pytest.fixture(scope="module")
def puzzles():
    return generator.generate(np.random.default_rng(0), 60)


def _assert_unique_and_rated(puzzles):
    found = solver.search_many(puzzles.questions)
    np.testing.assert_array_equal(found.counts, np.ones(len(puzzles)))
    np.testing.assert_array_equal(found.solutions, puzzles.answers)
    np.testing.assert_array_equal(found.guesses, puzzles.ratings)


def test_puzzles_have_one_solution(puzzles):
    _assert_unique_and_rated(puzzles)
    assert rules.is_solution(puzzles.answers, puzzles.questions).all()


def test_puzzles_are_minimal(puzzles):
    for question in puzzles.questions[:10]:
        for cell in np.flatnonzero(question):
            fewer = question.copy()
            fewer[cell] = 0
            assert solver.count_solutions(fewer) == 2


def test_the_seed_decides(puzzles):
    again = generator.generate(np.random.default_rng(0), 60)
    np.testing.assert_array_equal(again.questions, puzzles.questions)
    other = generator.generate(np.random.default_rng(1), 60)
    assert (other.questions != puzzles.questions).any(axis=1).all()


def test_ease_adds_givens(puzzles):
    eased = generator.ease(np.random.default_rng(1), puzzles, most=5)
    _assert_unique_and_rated(eased)
    extra = (eased.questions > 0).sum(1) - (puzzles.questions > 0).sum(1)
    assert set(extra.tolist()) == set(range(6))
    np.testing.assert_array_equal(eased.answers, puzzles.answers)
    assert (generator.ease(np.random.default_rng(1), puzzles, most=81).questions > 0).all(1).any()


def test_harden_climbs_into_the_band(puzzles):
    hardened = generator.harden(np.random.default_rng(2), puzzles, lowest=4, highest=9, tries=30)
    _assert_unique_and_rated(hardened)
    assert (hardened.ratings >= puzzles.ratings).all()
    changed = (hardened.questions != puzzles.questions).any(axis=1)
    assert hardened.ratings[changed].max() <= 9
    np.testing.assert_array_equal(changed & (puzzles.ratings >= 4), np.zeros(60, bool))
    assert (hardened.ratings >= 4).mean() > 0.8


def test_inputs_are_not_changed(puzzles):
    before = puzzles.questions.copy()
    generator.harden(np.random.default_rng(3), puzzles, lowest=9, highest=99, tries=3)
    generator.ease(np.random.default_rng(3), puzzles, most=9)
    np.testing.assert_array_equal(puzzles.questions, before)


def test_arguments_are_checked(puzzles):
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="at least 0, not -1"):
        generator.generate(rng, -1)
    with pytest.raises(ValueError, match="at least 0, not -2"):
        generator.ease(rng, puzzles, most=-2)
    with pytest.raises(ValueError, match="they are 5, 4 and 1"):
        generator.harden(rng, puzzles, lowest=5, highest=4, tries=1)
    with pytest.raises(ValueError, match="they are 1, 4 and -1"):
        generator.harden(rng, puzzles, lowest=1, highest=4, tries=-1)
