"""Puzzles out of full answers: cells lose their symbols in random order."""

import numpy as np
from jaxtyping import UInt8

from hrm_jax.data.differing import solver
from hrm_jax.data.differing.problem import Differing

_GUESSES_OF_A_PROOF = 1000
"""A cell stays where it would take more guesses to judge its absence."""


def dig(
    rng: np.random.Generator, answer: UInt8[np.ndarray, " T"], problem: Differing, blanks: int
) -> UInt8[np.ndarray, " T"]:
    """Returns the answer with up to `blanks` cells blank, and no other solution.

    Fewer are blank where each further one would leave room for a second solution, or where that is
    not proven within bounds.
    """
    puzzle = answer.copy()
    for cell in rng.permutation(len(answer)):
        if np.count_nonzero(puzzle == 0) >= blanks:
            break
        puzzle[cell] = 0
        found = solver.search(puzzle, problem, most_guesses=_GUESSES_OF_A_PROOF)
        if not (found.finished and found.count == 1):
            puzzle[cell] = answer[cell]
    return puzzle
