"""Colouring of graphs: neighbours differ. Each puzzle has a graph of its own."""

import numpy as np

from hrm_jax.core.candidates import CandidateGrid, Relation
from hrm_jax.core.config import check, configclass, field
from hrm_jax.core.graphs import graph_relation
from hrm_jax.data.differing import generator
from hrm_jax.data.differing.problem import differing
from hrm_jax.tasks.differing.kinds import NEIGHBOURS, Drawn


@configclass
class Colouring:
    """Random graphs with a planted colouring, some of whose vertices are coloured.

    Where random graphs cease to be colourable, a vertex has 4.7 neighbours for 3 colours and 8.9
    for 4.
    """

    colours: int = field(4, help="how many", at_least=2, at_most=16)
    vertices: int = field(64, help="of a graph", at_least=2, at_most=1000)
    fewest_neighbours: float = field(
        7.8, help="of a vertex, on the mean; drawn between this", more_than=0
    )
    most_neighbours: float = field(8.8, help="and this", more_than=0)
    unique: bool = field(
        True, help="colour as few vertices as leave one solution; else two neighbours alone"
    )

    def __post_init__(self):
        """Raises ConfigError where the numbers of neighbours do not fit."""
        check(
            self.fewest_neighbours <= self.most_neighbours <= self.vertices / 2,
            "most_neighbours",
            expected=f"from {self.fewest_neighbours} to {self.vertices / 2}",
            got=self.most_neighbours,
            remedy="change it, or the number of vertices",
        )

    @property
    def grid(self) -> CandidateGrid:
        """The candidates; which vertices are neighbours comes with each puzzle."""
        return CandidateGrid(
            axes=("vertex", "colour"),
            sizes=(self.vertices, self.colours),
            relations=(Relation("vertex", over=("colour",), weights="cell"),),
            edges=(NEIGHBOURS,),
        )

    @property
    def fixed(self) -> None:
        """Each graph is another."""

    @property
    def room(self) -> int:
        """The padded number of edges, each counted in both directions."""
        return 2 * round(self.vertices * self.most_neighbours / 2)

    def draw(self, rng: np.random.Generator) -> Drawn:
        """Returns a graph, coloured in part."""
        answer = rng.integers(1, self.colours + 1, self.vertices).astype(np.uint8)
        degree = rng.uniform(self.fewest_neighbours, self.most_neighbours)
        first, second = np.triu_indices(self.vertices, 1)
        # The colouring is planted: only vertices of different colours may become neighbours.
        possible = np.flatnonzero(answer[first] != answer[second])
        count = min(round(self.vertices * degree / 2), len(possible))
        chosen = rng.choice(possible, count, replace=False)
        pairs = np.stack([first[chosen], second[chosen]], 1)
        problem = differing(self.vertices, self.colours, pairs)
        if self.unique:
            question = generator.dig(rng, answer, problem, self.vertices)
        else:
            # Of colours alone that can be exchanged nothing could be learned.
            question = np.zeros_like(answer)
            question[pairs[0]] = answer[pairs[0]]
        # Neighbours hear each other, so each edge goes both ways.
        source = np.concatenate([pairs[:, 0], pairs[:, 1]])
        target = np.concatenate([pairs[:, 1], pairs[:, 0]])
        relation = graph_relation(source, target, self.room)
        return Drawn(question, answer, problem, {NEIGHBOURS: relation})
