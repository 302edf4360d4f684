"""Relations between the nodes of a graph, as padded lists of edges that travel in the batch.

A *node* is whatever a model holds a state for: a candidate, a task, a cell. What nodes have to do
with each other differs from example to example, so it is data, unlike `candidates.CandidateGrid`:

- a *graph*, such as precedence: a node hears the mean of those with an edge to it;
- *groups* of any sizes, such as all candidates of a task: a node hears the mean of the groups that
  it is in, each the mean of its members. A node may be in one, several or none.

Both are hops along edges: a graph is one hop, groups are two, to the group and back.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import jax
import numpy as np
from jaxtyping import Array, Bool, Float, Int, PyTree

from hrm_jax.core.config import check


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Edges:
    """One hop; leaves have a first axis B in a batch, and none for a single graph.

    Attributes:
      source: int32, where each edge begins; 0 in padding.
      target: int32, where it ends; 0 in padding.
      share: float32, one over the number of edges that end there; 0 in padding, so that a sum over
        edges is a mean, to which padding adds nothing.
    """

    source: Int[Array, "*B edges"]
    target: Int[Array, "*B edges"]
    share: Float[Array, "*B edges"]


Hops: TypeAlias = tuple[Edges, ...]
"""A relation: the hops from those that speak to those that hear."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GraphBatch:
    """Graphs of one padded size.

    Attributes:
      features: what is known of each node, float32, of order 1; 0 in padding.
      present: which nodes there are; the others are padding.
      relations: by name, the same names for all batches of a model.
      labels: what a loss compares outputs with; a pytree, leaves [B, ...].
    """

    features: Float[Array, "B L features"]
    present: Bool[Array, "B L"]
    relations: Mapping[str, Hops]
    labels: PyTree[Any]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class GraphOutputs:
    """What a model says of each node, float32."""

    nodes: Float[Array, "B L outputs"]


def graph_relation(source: np.ndarray, target: np.ndarray, room: int) -> Hops:
    """Returns a graph as a relation: each target hears the mean of its sources.

    Args:
      source: node numbers [edges].
      target: node numbers [edges].
      room: the padded number of edges.

    Raises:
      ConfigError: there are more edges than room.
    """
    return (_pad(source, target, room),)


def group_relation(member: np.ndarray, group: np.ndarray, room: int) -> Hops:
    """Returns groups as a relation: each member hears the mean of its groups' means.

    Args:
      member: node numbers [entries].
      group: the group that each entry is in; numbers below the padded number of nodes.
      room: the padded number of entries.

    Raises:
      ConfigError: there are more entries than room.
    """
    # The first hop leaves each group's mean at the node of the group's number.
    return _pad(member, group, room), _pad(group, member, room)


def stack_graphs(graphs: Iterable[Any]) -> Any:
    """Returns pytrees of equal shapes as one, with a new first axis B."""
    return jax.tree.map(lambda *leaves: np.stack(leaves), *graphs)


def _pad(source: np.ndarray, target: np.ndarray, room: int) -> Edges:
    count = len(source)
    check(
        count <= room,
        "room",
        expected=f"room for {count} edges",
        got=room,
        remedy="take a larger size",
    )
    # Padding is an edge from node 0 to itself, with a share of 0.
    padded = np.zeros((2, room), np.int32)
    padded[:, :count] = source, target
    degree = np.bincount(padded[1, :count])
    share = np.zeros(room, np.float32)
    share[:count] = 1 / degree[padded[1, :count]]
    return Edges(padded[0], padded[1], share)  # pyright: ignore[reportArgumentType]
