"""Assumptions: which blank is filled, with what, and what may never be."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.data.sudoku import rules
from hrm_jax.data.sudoku.assuming import NumberedAssumptions
from hrm_jax.data.sudoku.bank import shipped_file
from hrm_jax.data.sudoku.puzzle_files import read

BANK = read(str(shipped_file("validation")))
PUZZLES, SOLUTIONS = (rules.encode(grids[:32]) for grids in (BANK.questions, BANK.answers))
assume = NumberedAssumptions()


@given(number=st.integers(1, 1000), seed=st.integers(0, 2**32 - 1))
def test_of_a_right_proposal_one_blank_is_filled(number, seed):
    assumed = assume(PUZZLES, SOLUTIONS, np.full(32, number), seed)
    changed = assumed != PUZZLES
    np.testing.assert_array_equal(changed.sum(-1), 1)
    np.testing.assert_array_equal(assumed[changed], SOLUTIONS[changed])
    assert (PUZZLES[changed] == rules.BLANK_TOKEN).all()


@given(number=st.integers(1, 1000), data=st.data())
def test_no_assumption_breaks_a_rule_at_sight(number, data):
    tokens = st.lists(st.integers(0, 20), min_size=81, max_size=81)
    proposal = np.array(data.draw(tokens))
    proposals = np.tile(proposal[None], (32, 1))
    assumed = assume(PUZZLES, proposals, np.full(32, number), 0)
    assert ((assumed != PUZZLES).sum(-1) <= 1).all()
    assert not rules.conflicts(rules.decode(assumed)).any()


def test_what_contradicts_the_givens_is_never_assumed():
    wrong = np.where(PUZZLES > rules.BLANK_TOKEN, PUZZLES, PUZZLES.max(-1, keepdims=True))
    only = np.zeros_like(wrong)
    peers = rules.IS_PEER[PUZZLES.argmax(-1)]  # of a given with the highest digit
    only[peers] = wrong[peers]
    np.testing.assert_array_equal(assume(PUZZLES, only, np.ones(32, int), 0), PUZZLES)


def test_a_proposal_of_no_digits_leaves_the_puzzle_as_it_is():
    for token in (rules.PAD_TOKEN, rules.BLANK_TOKEN, rules.VOCABULARY_SIZE):
        proposals = np.full_like(PUZZLES, token)
        np.testing.assert_array_equal(assume(PUZZLES, proposals, np.ones(32, int), 0), PUZZLES)


def test_each_blank_has_its_turn_before_any_has_its_second():
    blanks = int((PUZZLES[0] == rules.BLANK_TOKEN).sum())
    numbers = np.arange(1, 2 * blanks + 1)
    first, answer = (np.tile(x[:1], (2 * blanks, 1)) for x in (PUZZLES, SOLUTIONS))
    assumed = assume(first, answer, numbers, seed=3)
    assert len(np.unique(assumed[:blanks], axis=0)) == blanks
    np.testing.assert_array_equal(assumed[:blanks], assumed[blanks:])
    assert (assume(first, answer, numbers, seed=4) != assumed).any()


def test_an_assumption_is_the_same_whatever_else_is_in_the_batch():
    numbers = np.arange(1, 33)
    together = assume(PUZZLES, SOLUTIONS, numbers, 0)
    for row in (0, 31):
        alone = assume(PUZZLES[row : row + 1], SOLUTIONS[row : row + 1], numbers[row : row + 1], 0)
        np.testing.assert_array_equal(alone[0], together[row])


def test_nobody_assumes_nothing():
    assert assume(PUZZLES[:0], SOLUTIONS[:0], np.zeros(0, int), 0).shape == (0, 81)
