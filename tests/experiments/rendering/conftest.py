"""Thoughts to draw: six steps, the third solves the puzzle, the model halts at the fourth."""

import dataclasses

import numpy as np
import pytest

from experiments.rendering.trace import Trace
from hrm_jax.data.sudoku import rules, solver

GIVENS = rules.parse(
    "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
)


@pytest.fixture(scope="session")
def trace():
    """Blank cells at first, then a cell in conflict, then the solution."""
    solution = solver.solve(GIVENS)
    wrong = solution.copy()
    wrong[2] = 3  # as its neighbour
    digits = np.stack([GIVENS, wrong, *[solution] * 4])
    rng = np.random.default_rng(0)
    return Trace(
        givens=GIVENS,
        digits=digits,
        cell_confidence=rng.uniform(0.1, 1, digits.shape).astype(np.float32),
        halt_confidence=np.array([0.0, 0.1, 0.6, 0.9, 0.95, 1.0], np.float32),
        halt=4,
        title="A title",
    )


@pytest.fixture(scope="session")
def traces(trace):
    """Two puzzles: the other model halts at once, thinks for fewer steps and never gets there."""
    other = dataclasses.replace(
        trace,
        digits=trace.digits[:2],
        cell_confidence=trace.cell_confidence[:2],
        halt_confidence=trace.halt_confidence[:2],
        halt=1,
        title="</script><b>Another & title",
    )
    return [trace, other]
