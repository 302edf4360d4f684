"""Makes Sudoku puzzles with exactly one solution, reproducibly from a seed.

A solved grid is filled in random cell order with random candidates. A minimal puzzle is left when
givens are taken away in random order as long as the solution stays unique; `harden` then climbs
from there to a wanted rating by putting some digits back and taking others away, and `ease` only
puts digits back.

One core makes about 1,000 minimal puzzles a second:

    python -m timeit -n 1 -r 3 \
      -s 'import numpy as np; from hrm_jax.data.sudoku import generator as g' \
      'g.generate(np.random.default_rng(0), 5000)'
"""

import numba
import numpy as np

from hrm_jax.data.sudoku import propagation, rules, solver
from hrm_jax.data.sudoku.puzzles import Puzzles

_NUM_CELLS = rules.NUM_CELLS
_ALL = propagation.ALL_CANDIDATES


@numba.njit(cache=True)
def _random_candidate(rng, mask):
    """Returns one set bit of a mask, each equally likely."""
    # mask & (mask - 1) drops the lowest bit; the last line keeps only the lowest one.
    for _ in range(rng.integers(0, propagation.BIT_COUNTS[mask])):
        mask &= mask - 1
    return mask & ~(mask - 1)


@numba.njit(cache=True)
def _fill(rng, state, answer):
    """Fills `answer` with a random solved grid, starting again at each contradiction."""
    done = False
    while not done:
        # Propagation after each cell finds contradictions early; the grid is then begun anew, so no
        # states have to be kept for backtracking.
        state[:] = _ALL
        done = True
        for cell in rng.permutation(_NUM_CELLS):
            state[cell] = _random_candidate(rng, np.int64(state[cell]))
            if not propagation.propagate(state, propagation.UNITS_OF_CELL[cell]):
                done = False
                break
    for cell in range(_NUM_CELLS):
        answer[cell] = propagation.BIT_COUNTS[state[cell] - 1] + 1


@numba.njit(cache=True)
def _take_away(rng, question, answer, states, scratch):
    """Blanks givens in random order while the solution stays unique, which leaves a minimal puzzle.

    A second solution must differ from the answer in the cell just blanked, so it is enough to
    search with that digit excluded from that cell.
    """
    for cell in rng.permutation(_NUM_CELLS):
        # What was blank before stays so: `harden` begins with a puzzle, not with a grid.
        if question[cell] == 0:
            continue
        question[cell] = 0
        solver.load(question, states[0])
        # The other digits of the cell: one of them is in any second solution.
        states[0, cell] = _ALL & ~(np.uint16(1) << (answer[cell] - 1))
        others, _ = solver.search(1, states, scratch)
        if others:
            question[cell] = answer[cell]


@numba.njit(cache=True)
def _put_back(rng, question, answer, count):
    """Restores the digits of `count` random blank cells, or of all there are."""
    for cell in rng.permutation(_NUM_CELLS):
        if count == 0:
            return
        if question[cell] == 0:
            question[cell] = answer[cell]
            count -= 1


@numba.njit(cache=True)
def _rate(question, states, scratch):
    solver.load(question, states[0])
    return solver.search(2, states, scratch)[1]


@numba.njit(cache=True)
def _generate(rng, questions, answers, ratings):
    states = solver.new_states()
    scratch = np.empty(_NUM_CELLS, dtype=np.uint8)
    for i in range(ratings.size):
        _fill(rng, states[0], answers[i])
        questions[i] = answers[i]
        _take_away(rng, questions[i], answers[i], states, scratch)
        ratings[i] = _rate(questions[i], states, scratch)


@numba.njit(cache=True)
def _harden(rng, lowest, highest, tries, questions, answers, ratings):
    states = solver.new_states()
    scratch = np.empty(_NUM_CELLS, dtype=np.uint8)
    trial = np.empty(_NUM_CELLS, dtype=np.uint8)
    for i in range(ratings.size):
        for _ in range(tries):
            # Hard enough, perhaps from the beginning.
            if ratings[i] >= lowest:
                break
            trial[:] = questions[i]
            # 5 to 8 digits: the upper end is exclusive.
            _put_back(rng, trial, answers[i], rng.integers(5, 9))
            _take_away(rng, trial, answers[i], states, scratch)
            rating = _rate(trial, states, scratch)
            # Equal ratings are accepted as well, so that the climb can cross plateaus.
            if ratings[i] <= rating <= highest:
                questions[i] = trial
                ratings[i] = rating


@numba.njit(cache=True)
def _ease(rng, counts, questions, answers, ratings):
    states = solver.new_states()
    scratch = np.empty(_NUM_CELLS, dtype=np.uint8)
    for i in range(ratings.size):
        _put_back(rng, questions[i], answers[i], counts[i])
        ratings[i] = _rate(questions[i], states, scratch)


def _copy(puzzles: Puzzles) -> Puzzles:
    return Puzzles(puzzles.questions.copy(), puzzles.answers.copy(), puzzles.ratings.copy())


def generate(rng: np.random.Generator, count: int) -> Puzzles:
    """Makes `count` minimal puzzles, each on a random solved grid of its own.

    Minimal: without any one of its givens a puzzle has several solutions. About 24 givens and half
    of the puzzles with rating 0 are typical.

    Args:
      rng: the source of all randomness; equal generators give equal puzzles.
      count: how many, at least 0.

    Raises:
      ValueError: `count` is negative.
    """
    if count < 0:
        raise ValueError(f"count is the number of puzzles to make, at least 0, not {count}")
    puzzles = Puzzles(
        questions=np.zeros((count, _NUM_CELLS), dtype=np.uint8),
        answers=np.zeros((count, _NUM_CELLS), dtype=np.uint8),
        ratings=np.zeros(count, dtype=np.int32),
    )
    _generate(rng, puzzles.questions, puzzles.answers, puzzles.ratings)
    return puzzles


def ease(rng: np.random.Generator, puzzles: Puzzles, most: int) -> Puzzles:
    """Puts 0 to `most` (each number equally likely) digits of the answer back into each puzzle.

    Args:
      rng: the source of all randomness.
      puzzles: where to start from; not changed.
      most: the largest number of extra givens, at least 0; a full grid takes no more.

    Raises:
      ValueError: `most` is negative.
    """
    if most < 0:
        raise ValueError(f"most is a number of givens to add, at least 0, not {most}")
    eased = _copy(puzzles)
    counts = rng.integers(0, most, size=len(puzzles), endpoint=True)
    _ease(rng, counts, eased.questions, eased.answers, eased.ratings)
    return eased


def harden(
    rng: np.random.Generator, puzzles: Puzzles, lowest: int, highest: int, tries: int
) -> Puzzles:
    """Raises the rating of each puzzle towards `lowest` to `highest`, on the same solved grid.

    A try puts five to eight digits back, makes the puzzle minimal again in a new order, and keeps
    the result if its rating is not below the old one and not above `highest`. Puzzles that have
    reached `lowest` are left as they are. Those that do not get there in `tries` tries are
    returned with the rating they reached: look at `ratings`.

    Args:
      rng: the source of all randomness.
      puzzles: where to start from; not changed.
      lowest: the rating at which a puzzle is hard enough.
      highest: the rating that no accepted change exceeds.
      tries: changes tried for a puzzle, at least 0.

    Raises:
      ValueError: `lowest` exceeds `highest` or `tries` is negative.
    """
    if lowest > highest or tries < 0:
        raise ValueError(
            "lowest must not exceed highest and tries be at least 0, but they are"
            f" {lowest}, {highest} and {tries}"
        )
    hardened = _copy(puzzles)
    _harden(rng, lowest, highest, tries, hardened.questions, hardened.answers, hardened.ratings)
    return hardened
