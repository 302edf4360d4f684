"""Latin squares: n symbols, each once in every row and every column of n cells."""

import functools

import numpy as np
from jaxtyping import UInt8

from hrm_jax.core.candidates import CandidateGrid, Relation
from hrm_jax.core.config import configclass, field
from hrm_jax.data.differing import generator, solver
from hrm_jax.data.differing.problem import Differing, differing
from hrm_jax.tasks.differing.kinds import Drawn

_GUESSES_OF_A_SQUARE = 2000
"""After so many a square is begun anew: random beginnings seldom fail, but then for long."""


@configclass
class Latin:
    """Squares with holes.

    With `holes` chosen at random a completion is known to exist and need not be the only one; hard
    ones are near 42 % for large orders, and above for small ones.
    """

    order: int = field(10, help="n: rows, columns and symbols", at_least=2, at_most=25)
    holes: float = field(0.6, help="share of cells that are blank at most", more_than=0, at_most=1)
    unique: bool = field(True, help="leave a cell where a second solution would appear")

    @property
    def grid(self) -> CandidateGrid:
        """The candidates: rows and columns are alike."""
        return CandidateGrid(
            axes=("row", "column", "symbol"),
            sizes=(self.order,) * 3,
            relations=(
                Relation("row", over=("column",), weights="line"),
                Relation("column", over=("row",), weights="line"),
                Relation("cell", over=("symbol",), weights="cell"),
            ),
        )

    @property
    def fixed(self) -> Differing:
        """The cells of a line differ."""
        return _lines(self.order)

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Returns a square with holes."""
        answer = self._square(rng)
        blanks = round(self.holes * len(answer))
        if self.unique:
            question = generator.dig(rng, answer, self.fixed, blanks)
        else:
            question = answer.copy()
            question[rng.permutation(len(answer))[:blanks]] = 0
        return Drawn(question, answer, self.fixed, None)

    def _square(self, rng: np.random.Generator) -> UInt8[np.ndarray, " T"]:
        """Returns a random square, not each one equally likely."""
        n = self.order
        while True:
            begun = np.zeros(n * n, np.uint8)
            # Any first row has a completion.
            begun[:n] = rng.permutation(n) + 1
            order = rng.permutation(n).astype(np.int32)
            found = solver.search(
                begun, self.fixed, limit=1, most_guesses=_GUESSES_OF_A_SQUARE, order=order
            )
            if found.count:
                square = found.solution.reshape(n, n)
                # Exchanged, as the search goes through cells in one order and favours some squares.
                return square[rng.permutation(n)][:, rng.permutation(n)].ravel()


@functools.cache
def _lines(n: int) -> Differing:
    cells = np.arange(n * n).reshape(n, n)
    lines = np.concatenate([cells, cells.T])
    # All pairs of places of a line, each once.
    first, second = np.triu_indices(n, 1)
    pairs = np.stack([lines[:, first], lines[:, second]], -1).reshape(-1, 2)
    return differing(n * n, n, pairs, lines)
