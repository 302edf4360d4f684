"""The exact method and its rules, beside trying everything."""

import itertools

import hypothesis
import numpy as np
import pytest
from hypothesis import strategies as st

from hrm_jax.data.differing import generator, solver
from hrm_jax.data.differing.problem import (
    FIRST_SYMBOL,
    differing,
    is_solution,
    masks_of,
    openings,
)

T = 5
ALL_PAIRS = np.array(list(itertools.combinations(range(T), 2)))


@st.composite
def small(draw):
    """A graph of five vertices, three colours, some given; two vertices may form a unit."""
    chosen = draw(st.lists(st.booleans(), min_size=len(ALL_PAIRS), max_size=len(ALL_PAIRS)))
    cells = np.array(draw(st.lists(st.integers(0, 3), min_size=T, max_size=T)), np.uint8)
    units = np.array([[0, 1, 2]]) if draw(st.booleans()) else None
    pairs = ALL_PAIRS[chosen]
    if units is not None:
        pairs = np.unique(np.concatenate([pairs, [[0, 1], [0, 2], [1, 2]]]), axis=0)
    return cells, differing(T, 3, pairs, units)


def brute_force(cells, problem):
    every = itertools.product(*[range(1, 4) if cell == 0 else [cell] for cell in cells])
    grids = (np.array(grid, np.uint8) for grid in every)
    return [grid for grid in grids if is_solution(grid, cells, problem)]


@hypothesis.given(small())
@hypothesis.settings(deadline=None)
def test_it_finds_as_many_solutions_as_there_are(puzzle):
    cells, problem = puzzle
    solutions = brute_force(cells, problem)
    found = solver.search(cells, problem, limit=1000)
    assert found.finished
    assert found.count == len(solutions)
    if solutions:
        assert is_solution(found.solution, cells, problem)
    else:
        assert not found.solution.any()


def narrowed(cells, problem):
    """What the rules leave of one puzzle, and whether it may have a solution."""
    left, possible = solver.narrow(openings(cells + np.uint8(1), 3)[None], problem)
    return left[0], possible[0]


@hypothesis.given(small())
@hypothesis.settings(deadline=None)
def test_the_rules_never_exclude_a_solution(puzzle):
    cells, problem = puzzle
    solutions = brute_force(cells, problem)
    left, possible = narrowed(cells, problem)
    if not possible:
        assert not solutions
        return
    for grid in solutions:
        assert left[np.arange(T), grid + 1].all()
    assert not left[:, :FIRST_SYMBOL].any()


def test_a_symbol_with_one_place_in_a_unit_is_placed():
    # Vertex 3 has colour 1 and is a neighbour of 0 and 1: in the unit, 1 is left to 2 alone.
    pairs = np.array([[0, 1], [0, 2], [1, 2], [0, 3], [1, 3]])
    cells = np.array([0, 0, 0, 1, 0], np.uint8)
    left, possible = narrowed(cells, differing(T, 3, pairs, np.array([[0, 1, 2]])))
    assert possible
    assert left[2].nonzero()[0].tolist() == [FIRST_SYMBOL]
    left, possible = narrowed(cells, differing(T, 3, pairs))
    assert possible
    assert left[2].sum() == 3


def test_puzzles_are_narrowed_each_by_itself():
    problem = differing(T, 3, ALL_PAIRS[:4])
    cells = [np.array(row, np.uint8) for row in ([0, 0, 0, 0, 0], [1, 1, 0, 0, 0], [1, 0, 0, 0, 0])]
    left, possible = solver.narrow(
        np.stack([openings(one + np.uint8(1), 3) for one in cells]), problem
    )
    alone = [narrowed(one, problem) for one in cells]
    assert possible.tolist() == [bool(one) for _, one in alone] == [True, False, True]
    for row in (0, 2):
        np.testing.assert_array_equal(left[row], alone[row][0])


def test_an_unfinished_search_says_so():
    problem = differing(T, 3, ALL_PAIRS[:4])
    found = solver.search(np.zeros(T, np.uint8), problem, most_guesses=0)
    assert (found.finished, found.count) == (False, 0)
    assert not found.solution.any()


def test_wrong_answers_are_none():
    problem = differing(T, 3, np.array([[0, 1]]))
    blank = np.zeros(T, np.uint8)
    assert is_solution(np.array([1, 2, 1, 1, 1], np.uint8), blank, problem)
    for wrong in ([1, 1, 1, 1, 1], [1, 2, 0, 1, 1], [1, 2, 4, 1, 1]):
        assert not is_solution(np.array(wrong, np.uint8), blank, problem)
    given = np.array([0, 3, 0, 0, 0], np.uint8)
    assert not is_solution(np.array([1, 2, 1, 1, 1], np.uint8), given, problem)


def test_masks_are_bits_of_symbols():
    assert masks_of(np.array([0, 1, 3], np.uint8), 3).tolist() == [0b111, 0b1, 0b100]


@pytest.mark.parametrize("blanks", [2, T])
def test_digging_leaves_one_solution(blanks):
    rng = np.random.default_rng(0)
    problem = differing(T, 3, ALL_PAIRS[[0, 1, 4, 7, 9]])
    answer = solver.search(np.zeros(T, np.uint8), problem, limit=1).solution
    puzzle = generator.dig(rng, answer, problem, blanks)
    assert 0 < (puzzle == 0).sum() <= blanks
    assert len(brute_force(puzzle, problem)) == 1
    if blanks == T:
        for cell in np.flatnonzero(puzzle):
            further = puzzle.copy()
            further[cell] = 0
            assert len(brute_force(further, problem)) > 1
