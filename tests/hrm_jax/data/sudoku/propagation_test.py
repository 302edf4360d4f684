"""The rules never remove a digit of a solution, and reach the same end from any stale units."""

import numpy as np

from hrm_jax.data.sudoku import generator, propagation, solver


def _masks(grids):
    return np.uint16(1) << (grids - 1)


def test_rules_keep_every_solution():
    puzzles = generator.generate(np.random.default_rng(2), 50)
    for question, answer in zip(puzzles.questions, puzzles.answers, strict=True):
        state = np.empty(81, np.uint16)
        solver.load(question, state)
        assert propagation.propagate(state, propagation.ALL_UNITS)
        assert (state & _masks(answer)).all()


def test_rules_are_done_after_one_call():
    puzzles = generator.generate(np.random.default_rng(3), 50)
    for question in puzzles.questions:
        state = np.empty(81, np.uint16)
        solver.load(question, state)
        propagation.propagate(state, propagation.ALL_UNITS)
        again = state.copy()
        assert propagation.propagate(again, propagation.ALL_UNITS)
        np.testing.assert_array_equal(again, state)


def test_stale_units_of_one_cell_suffice_after_one_change():
    puzzles = generator.generate(np.random.default_rng(4), 50)
    for question in puzzles.questions:
        state = np.empty(81, np.uint16)
        solver.load(question, state)
        propagation.propagate(state, propagation.ALL_UNITS)
        unsolved = np.flatnonzero(propagation.BIT_COUNTS[state] > 1)
        for cell in unsolved[:3]:
            some = state.copy()
            every = state.copy()
            some[cell] = every[cell] = state[cell] & (state[cell] - 1)
            possible = propagation.propagate(some, propagation.UNITS_OF_CELL[cell])
            assert possible == propagation.propagate(every, propagation.ALL_UNITS)
            if possible:
                np.testing.assert_array_equal(some, every)
