"""Proposals are judged inside compiled programs as the rules judge them outside."""

import jax
import jax.numpy as jnp
import numpy as np

from hrm_jax.data.sudoku import generator, rules
from hrm_jax.data.sudoku.judging import solves

PUZZLES = generator.generate(np.random.default_rng(0), 8)
GIVENS = rules.encode(PUZZLES.questions)
ANSWERS = rules.encode(PUZZLES.answers)


def judged(givens, proposals):
    tokens = (jnp.asarray(np.asarray(x), jnp.int32) for x in (givens, proposals))
    return np.asarray(jax.jit(solves)(*tokens))


def test_answers_solve_their_own_puzzles_only():
    assert judged(GIVENS, ANSWERS).all()
    assert not judged(GIVENS, np.roll(ANSWERS, 1, axis=0)).any()
    assert judged(np.full_like(GIVENS, rules.BLANK_TOKEN), np.roll(ANSWERS, 1, axis=0)).all()


def test_any_wrong_cell_is_seen():
    rng = np.random.default_rng(1)
    givens = np.full((300, 81), rules.BLANK_TOKEN)
    proposals = np.resize(ANSWERS, (300, 81)).astype(np.int32)
    cells = rng.integers(0, 81, 300)
    tokens = rng.integers(-3, 20, 300)
    rows = np.arange(300)
    same = proposals[rows, cells] == tokens
    proposals[rows, cells] = tokens
    np.testing.assert_array_equal(judged(givens, proposals), same)
    assert same.any()


def test_it_agrees_with_the_rules_on_grids_that_swap_two_cells():
    rng = np.random.default_rng(2)
    grids = np.resize(PUZZLES.answers, (300, 81))
    pairs = rng.integers(0, 81, (300, 2))
    rows = np.arange(300)[:, None]
    grids[rows, pairs] = grids[rows, pairs[:, ::-1]]
    blank = np.zeros_like(grids)
    expected = rules.is_solution(grids, blank)
    assert 0 < expected.sum() < 300
    np.testing.assert_array_equal(judged(rules.encode(blank), rules.encode(grids)), expected)


def test_nine_equal_sums_are_no_solution():
    # Every unit adds up to 45, as in a solution, but has only fives.
    assert not judged(GIVENS[:1], np.full((1, 81), 6)).any()
