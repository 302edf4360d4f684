"""The solver against known solutions, and the definition of the rating."""

import numpy as np
import pytest

from hrm_jax.data.sudoku import generator, rules, solver

EASY = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
SOLUTION = "534678912672195348198342567859761423426853791713924856961537284287419635345286179"
HARD = "98.7..6..5...9..7...7..49..3.......2.5...3.....89...6..2.4.61....58...4.....1...."


def test_solves_a_newspaper_puzzle_without_guessing():
    assert rules.format_grid(solver.solve(rules.parse(EASY))) == SOLUTION
    assert solver.rating(rules.parse(EASY)) == 0


def test_hard_puzzles_take_guesses():
    assert solver.rating(rules.parse(HARD)) == 91
    assert rules.is_solution(solver.solve(rules.parse(HARD)), rules.parse(HARD))


def test_counts_solutions_up_to_the_limit():
    assert solver.count_solutions(rules.parse(EASY)) == 1
    assert solver.count_solutions(np.zeros(81, np.uint8), limit=50) == 50
    # Two digits that can be exchanged in the four corners of a rectangle: exactly two solutions.
    grid = rules.parse(SOLUTION)
    for corners in _rectangles(grid):
        puzzle = grid.copy()
        puzzle[list(corners)] = 0
        assert solver.count_solutions(puzzle, limit=10) == 2


def _rectangles(grid):
    """Corners of rectangles in one band that hold two digits crosswise."""
    square = grid.reshape(9, 9)
    for a in range(0, 9, 3):
        for b in range(a + 1, a + 3):
            for c in range(9):
                for d in range(c + 1, 9):
                    crosswise = square[a, c] == square[b, d] and square[a, d] == square[b, c]
                    if crosswise and c // 3 != d // 3:
                        yield 9 * a + c, 9 * a + d, 9 * b + c, 9 * b + d


def test_the_rectangle_case_occurs():
    assert list(_rectangles(rules.parse(SOLUTION)))


def test_search_agrees_with_plain_backtracking():
    rng = np.random.default_rng(0)
    puzzles = generator.generate(rng, 20)
    for question in puzzles.questions:
        question = question.copy()
        question[rng.choice(np.flatnonzero(question))] = 0  # minimal before, so several solutions
        count = solver.count_solutions(question, limit=5)
        assert count == _count_plainly(question, 5)
        assert count > 1


def _count_plainly(grid, limit):
    """Counts solutions by trying digits, with nothing but the peers of a cell for a rule."""
    options = {
        cell: set(range(1, 10)) - set(grid[rules.PEERS[cell]].tolist())
        for cell in np.flatnonzero(grid == 0)
    }
    if not options:
        return 1
    cell = min(options, key=lambda cell: len(options[cell]))
    found = 0
    for digit in options[cell]:
        child = grid.copy()
        child[cell] = digit
        found += _count_plainly(child, limit - found)
        if found >= limit:
            break
    return found


@pytest.mark.parametrize(
    "puzzle",
    ["55" + 79 * ".", "123456780" + "........9" + 63 * "."],
    ids=["conflicting givens", "no candidate left"],
)
def test_unsolvable_puzzles(puzzle):
    assert solver.solve(rules.parse(puzzle)) is None
    assert solver.count_solutions(rules.parse(puzzle)) == 0
    with pytest.raises(solver.NoUniqueSolutionError, match="no solution"):
        solver.rating(rules.parse(puzzle))


def test_rating_needs_a_unique_solution():
    with pytest.raises(solver.NoUniqueSolutionError, match="more than one solution"):
        solver.rating(np.zeros(81, np.uint8))


def test_batches_agree_with_single_puzzles():
    puzzles = generator.generate(np.random.default_rng(1), 30)
    found = solver.search_many(puzzles.questions)
    np.testing.assert_array_equal(found.counts, np.ones(30))
    np.testing.assert_array_equal(found.solutions, puzzles.answers)
    assert [solver.rating(question) for question in puzzles.questions] == found.guesses.tolist()
    assert solver.search_many(np.zeros((0, 81), np.uint8)).counts.shape == (0,)


def test_search_many_checks_its_arguments():
    with pytest.raises(rules.PuzzleLengthError, match=r"\[B, 81\]"):
        solver.search_many(np.zeros(81, np.uint8))
    with pytest.raises(rules.PuzzleCharacterError, match="maximum 10"):
        solver.search_many(np.full((1, 81), 10, np.uint8))
    with pytest.raises(rules.PuzzleCharacterError, match="int64"):
        solver.search_many(np.zeros((1, 81), np.int64))
    with pytest.raises(ValueError, match="at least 1, not 0"):
        solver.search_many(np.zeros((1, 81), np.uint8), limit=0)


def test_rating_bands_cover_all_ratings_once():
    for band, (lowest, highest) in enumerate(solver.RATING_BANDS):
        for rating in range(lowest, (lowest + 50 if highest is None else highest) + 1):
            assert solver.rating_band(rating) == band
    with pytest.raises(ValueError, match="at least 0"):
        solver.rating_band(-1)


def test_a_search_looks_for_two_solutions_unless_told():
    """One would not prove that there is no other, more would take longer."""
    blank = np.zeros(81, np.uint8)
    assert solver.count_solutions(blank) == 2
    assert solver.search_many(blank[None]).counts.tolist() == [2]
    found = solver.search_many(blank[None], limit=1)
    assert found.counts.tolist() == [1]
    assert rules.is_solution(found.solutions[0], blank)


def test_the_bands_are_these():
    bands = [solver.rating_band(rating) for rating in (0, 1, 2, 3, 5, 6, 10, 11, 20, 21, 10**6)]
    assert bands == [0, 1, 1, 2, 2, 3, 3, 4, 4, 5, 5]
    assert solver.RATING_BANDS == ((0, 0), (1, 2), (3, 5), (6, 10), (11, 20), (21, None))
