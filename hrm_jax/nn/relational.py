"""Mixing by relations: each candidate receives the means of the groups it belongs to.

Attention over the 729 candidates of a Sudoku would have to learn which of them share a row, at the
cost of half a million pairs. Here the relations are given, and the cost is linear: each group is
averaged, the averages pass through one matrix, and every candidate adds up those of its groups. A
relation of Sudoku has 81 groups, or 243 where lines and boxes cross, so projecting averages is
cheaper than projecting the 729 candidates for each relation. Single candidates are not projected:
the feed-forward layers before and after can do so. Relations between cells that come with a puzzle
are averaged along their edges, for all symbols at once.
"""

import functools
import operator
from collections.abc import Mapping

import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float, Int

from hrm_jax.core.candidates import CandidateGrid, Relation
from hrm_jax.core.graphs import Hops
from hrm_jax.nn.edge_mixing import mean_along
from hrm_jax.nn.keys import Keys
from hrm_jax.nn.linear import Linear

OPEN, GIVEN, EXCLUDED = range(3)
"""What a puzzle says of a candidate: nothing; its cell has its symbol; its cell has another one."""
NUM_STATES = 3

_NEVER = -1e9


class RelationalMixing(nnx.Module):
    """`sum over relations r: W_r mean over the group of r`, for every candidate.

    Equivariant by construction: a permutation that maps groups to groups, within relations that
    share weights, maps outputs as it maps inputs.
    """

    def __init__(self, grid: CandidateGrid, features: int, *, rngs: Keys):
        """Draws one matrix for each name of weights among the relations."""
        self.grid = grid
        self.projections = nnx.Dict(
            {
                name: Linear(features, features, axes=("embed", "heads"), rngs=rngs)
                for name in grid.weight_names
            }
        )

    def __call__(
        self, x: Float[Array, "B candidates D"], relations: Mapping[str, Hops] | None = None
    ) -> Float[Array, "B candidates D"]:
        """Returns the mixed candidates of each puzzle.

        Args:
          x: the candidates.
          relations: between cells, those that the grid names as its edges.
        """
        # With the grid's axes apart, a relation is a set of axes to average over.
        cells = x.reshape(len(x), *self.grid.sizes, x.shape[-1])

        def said_by(relation: Relation) -> Array:
            over = tuple(1 + position for position in self.grid.positions(relation))
            # Means keep their axes with size 1, so that adding up relations broadcasts each mean to
            # its group without gathering.
            return self.projections[relation.weights](cells.mean(over, keepdims=True))

        heard = functools.reduce(operator.add, map(said_by, self.grid.relations))
        mixed = jnp.broadcast_to(heard, cells.shape).reshape(x.shape)
        if not self.grid.edges:
            return mixed
        assert relations is not None
        # All candidates of a cell travel along its edges at once, side by side.
        by_cell = x.reshape(len(x), self.grid.num_cells, -1)
        for name in self.grid.edges:
            along = functools.reduce(mean_along, relations[name], by_cell)
            mixed += self.projections[name](along.reshape(x.shape))
        return mixed


def candidate_states(
    grid: CandidateGrid, inputs: Int[Array, "B T"], vocab_size: int
) -> Int[Array, "B candidates"]:
    """Returns `OPEN`, `GIVEN` or `EXCLUDED` for every candidate.

    Args:
      grid: the candidates.
      inputs: tokens of the puzzle; the last `num_symbols` of the vocabulary are the symbols, all
        others leave a cell open.
      vocab_size: V.
    """
    symbols = jnp.arange(vocab_size - grid.num_symbols, vocab_size, dtype=inputs.dtype)
    is_symbol = (inputs >= symbols[0])[..., None]
    # A filled cell gives one candidate and excludes its others.
    given = jnp.where(inputs[..., None] == symbols[None, None], GIVEN, EXCLUDED)
    return jnp.where(is_symbol, given, OPEN).reshape(len(inputs), grid.num_candidates)


def token_logits(
    grid: CandidateGrid, scores: Float[Array, "B candidates"], vocab_size: int
) -> Float[Array, "B T V"]:
    """Returns candidates' scores as logits of tokens; tokens that are no symbols get -1e9."""
    scores = scores.reshape(len(scores), grid.num_cells, grid.num_symbols)
    others = vocab_size - grid.num_symbols
    # Symbols are the last tokens of the vocabulary, so the others are filled in before them.
    return jnp.pad(scores, ((0, 0), (0, 0), (others, 0)), constant_values=_NEVER)
