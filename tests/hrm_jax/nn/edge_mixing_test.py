"""Mixing along edges against dense matrices; it knows no numbering, and padding adds nothing."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.core.graphs import graph_relation, group_relation, stack_graphs
from hrm_jax.nn.edge_mixing import EdgeMixing

L, D, ROOM = 6, 3, 12


@pytest.fixture(scope="module")
def layer():
    return EdgeMixing(("links", "teams"), D, rngs=nnx.Rngs(0))


@pytest.fixture(scope="module")
def mix(layer):
    graphdef, params = nnx.split(layer)
    # Compiled once for all examples, which have one shape.
    compiled = jax.jit(lambda x, relations: nnx.merge(graphdef, params)(x, relations))
    return lambda x, links, teams: np.asarray(compiled(x, relations_of(links, teams)))


def relations_of(links, teams, room=ROOM):
    relations = {
        "links": graph_relation(*columns(links), room),
        "teams": group_relation(*columns(teams), room),
    }
    return stack_graphs([relations])


def columns(pairs):
    return np.array(sorted(pairs), np.int32).reshape(-1, 2).T


nodes = st.integers(0, L - 1)
links_drawn = st.sets(st.tuples(nodes, nodes), max_size=ROOM)
teams_drawn = st.sets(st.tuples(nodes, st.integers(0, 3)), max_size=ROOM)


def drawn_nodes(seed):
    return np.random.default_rng(seed).normal(size=(1, L, D)).astype(np.float32)


@settings(deadline=None, max_examples=60)
@given(links=links_drawn, teams=teams_drawn, seed=st.integers(0, 9))
def test_equals_dense_matrices(layer, mix, links, teams, seed):
    x = drawn_nodes(seed)
    neighbours = np.zeros((L, L))
    for source, target in links:
        neighbours[target, source] = 1
    member = np.zeros((4, L))
    for node, group in teams:
        member[group, node] = 1
    group_means = rows_as_means(member) @ x[0]
    kernel = {name: np.asarray(layer.projections[name].kernel[...]) for name in layer.relations}
    expected = (
        rows_as_means(neighbours) @ x[0] @ kernel["links"]
        + rows_as_means(member.T) @ group_means @ kernel["teams"]
    )
    np.testing.assert_allclose(mix(x, links, teams)[0], expected, rtol=0, atol=2e-6)


def rows_as_means(matrix):
    return matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)


@settings(deadline=None, max_examples=30)
@given(links=links_drawn, teams=teams_drawn, order=st.permutations(range(L)))
def test_renumbered_nodes_get_the_same_values(mix, links, teams, order):
    x = drawn_nodes(1)
    # Node i of the first numbering is node order[i] of the second; groups are renumbered, too.
    renamed = np.empty_like(x)
    renamed[:, order] = x
    moved_links = {(order[source], order[target]) for source, target in links}
    moved_teams = {(order[node], 3 - group) for node, group in teams}
    found = mix(renamed, moved_links, moved_teams)
    np.testing.assert_allclose(found[:, order], mix(x, links, teams), rtol=0, atol=2e-6)


def test_padding_changes_nothing(layer):
    links = {(0, 1), (2, 1), (4, 3)}
    teams = {(0, 0), (5, 0), (1, 1)}
    x = drawn_nodes(2)
    tight = layer(x, relations_of(links, teams, room=3))
    # More nodes as well, whose values are of no account.
    wide = np.concatenate([x, np.full((1, 3, D), 7, np.float32)], axis=1)
    loose = layer(jnp.asarray(wide), relations_of(links, teams, room=9))
    np.testing.assert_array_equal(np.asarray(loose)[:, :L], tight)
    assert not np.asarray(loose)[:, L:].any()


def test_a_node_is_heard_only_along_edges(layer):
    relations = relations_of({(0, 1)}, {(3, 0), (4, 0)})
    gradient = jax.grad(lambda x: layer(x, relations)[0, 1].sum())(jnp.ones((1, L, D)))
    assert np.abs(np.asarray(gradient)[0]).sum(-1).nonzero()[0].tolist() == [0]
    gradient = jax.grad(lambda x: layer(x, relations)[0, 3].sum())(jnp.ones((1, L, D)))
    assert np.abs(np.asarray(gradient)[0]).sum(-1).nonzero()[0].tolist() == [3, 4]
