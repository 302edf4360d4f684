"""Puzzles as choices: each cell takes one of several symbols, and relations constrain the choices.

A *candidate* is a cell together with a symbol. Candidates fill a grid with named axes, and a
relation is given by the axes it runs over: candidates that agree in all other axes exclude each
other, or share one choice. A relation thus partitions the candidates into groups of equal size, and
mixing over groups cannot distinguish two symbols, or two lines of a grid. Sudoku has six relations
(`data.sudoku.rules.CANDIDATES`); a Latin square of order n has three over n * n * n candidates; the
assignment of tasks to people has two over tasks * people. What differs from puzzle to puzzle, such
as which vertices of a graph to be coloured are neighbours, is left to `edges`.
"""

import dataclasses
import math

from hrm_jax.core.config import check, configclass, field


@dataclasses.dataclass(frozen=True)
class Relation:
    """Groups of candidates that constrain each other.

    Attributes:
      name: for messages.
      over: the axes along which the members of a group differ.
      weights: relations with the same name here share their weights, which makes them
        interchangeable (rows and columns of Sudoku: a transposed puzzle gets a transposed answer).
    """

    name: str
    over: tuple[str, ...]
    weights: str


@configclass
class CandidateGrid:
    """The candidates of a puzzle and their relations.

    Candidates and cells are numbered in row-major order; the symbols are the *last* axis, and the
    last tokens of the vocabulary. Hashable, as a static part of a compiled program.

    Attributes:
      axes: names of the axes, symbols last.
      sizes: their lengths.
      relations: the groups over which candidates mix.
      edges: names of relations between cells that come with each puzzle, as in `core.graphs`: a
        candidate hears those of the same symbol in the cells that have an edge to its own.

    Raises:
      ConfigError: on construction, if names and sizes do not fit, or a relation is over no axis or
        an unknown one.
    """

    axes: tuple[str, ...]
    sizes: tuple[int, ...] = field(at_least=1, remedy="leave empty axes out")
    relations: tuple[Relation, ...] = field(
        nonempty=True, remedy="name what candidates have to do with each other"
    )
    edges: tuple[str, ...] = ()

    def __post_init__(self):
        """Raises ConfigError unless axes, sizes and relations fit together."""
        check(
            len(self.axes) == len(self.sizes) == len(set(self.axes)) >= 2,
            "axes",
            expected=f"2 or more different names, one for each of sizes={self.sizes}",
            got=self.axes,
            remedy="name each axis once, the symbols last",
        )
        # No axis twice, and none that the grid does not have.
        for relation in self.relations:
            check(
                0 < len(set(relation.over)) == len(relation.over)
                and set(relation.over) <= set(self.axes),
                f"relations[{relation.name}].over",
                expected=f"1 or more different ones of {self.axes}",
                got=relation.over,
                remedy="name the axes along which the members of a group differ",
            )

    @property
    def num_symbols(self) -> int:
        """Number of symbols that a cell can take."""
        return self.sizes[-1]

    @property
    def num_cells(self) -> int:
        """T: number of cells."""
        return math.prod(self.sizes[:-1])

    @property
    def num_candidates(self) -> int:
        """L: number of cells times number of symbols."""
        return math.prod(self.sizes)

    @property
    def weight_names(self) -> tuple[str, ...]:
        """Names of the different weights, in order of first use."""
        # A dict keeps the order in which names come and drops repetitions.
        return tuple(dict.fromkeys([*(r.weights for r in self.relations), *self.edges]))

    def positions(self, relation: Relation) -> tuple[int, ...]:
        """Returns the positions of a relation's axes in `axes`."""
        return tuple(self.axes.index(name) for name in relation.over)
