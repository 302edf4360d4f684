"""Mixing along edges: each node receives the mean of its neighbours, or of its groups.

The same idea as `nn.relational`, for relations that are part of the data and of any shape: the
cost is linear in the number of edges, and one matrix belongs to each relation.
"""

import functools
import operator
from collections.abc import Mapping

import jax
from flax import nnx
from jaxtyping import Array, Float

from hrm_jax.core.graphs import Edges, Hops
from hrm_jax.nn.keys import Keys
from hrm_jax.nn.linear import Linear


class EdgeMixing(nnx.Module):
    """`sum over relations r: W_r mean over the neighbours in r`, for every node.

    Equivariant by construction: renumbered nodes, with edges renumbered likewise, get the same
    values. A node without an edge in a relation hears zero from it.
    """

    def __init__(self, relations: tuple[str, ...], features: int, *, rngs: Keys):
        """Draws one matrix for each name of a relation."""
        self.relations = relations
        self.projections = nnx.Dict(
            {
                name: Linear(features, features, axes=("embed", "heads"), rngs=rngs)
                for name in relations
            }
        )

    def __call__(
        self, x: Float[Array, "B L D"], relations: Mapping[str, Hops]
    ) -> Float[Array, "B L D"]:
        """Returns the mixed nodes of each graph.

        Args:
          x: the nodes.
          relations: at least those that the layer knows; others are not read.
        """
        heard = (
            # Hop by hop: a group's mean first, then the mean of the groups that a node is in.
            self.projections[name](functools.reduce(mean_along, relations[name], x))
            for name in self.relations
        )
        return functools.reduce(operator.add, heard)


def mean_along(x: Float[Array, "B L D"], edges: Edges) -> Float[Array, "B L D"]:
    """Returns at each target the mean of its sources, 0 where no edge ends."""

    def of_one(x: Array, edges: Edges) -> Array:
        # Shares make the sum at each target a mean, to which padding adds nothing.
        spoken = edges.share[:, None].astype(x.dtype) * x[edges.source]
        return jax.ops.segment_sum(spoken, edges.target, num_segments=len(x))

    return jax.vmap(of_one)(x, edges)
