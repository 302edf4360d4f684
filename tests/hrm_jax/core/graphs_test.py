"""Padded lists of edges: shares add up, and what does not fit is refused."""

import numpy as np
import pytest

from hrm_jax.core.config import ConfigError
from hrm_jax.core.graphs import graph_relation, group_relation, stack_graphs


def test_shares_of_a_target_add_up_to_one_and_padding_has_none():
    (edges,) = graph_relation(np.array([0, 1, 2, 0]), np.array([3, 3, 3, 1]), room=6)
    np.testing.assert_allclose(edges.share, [1 / 3, 1 / 3, 1 / 3, 1, 0, 0])
    np.testing.assert_array_equal(edges.source, [0, 1, 2, 0, 0, 0])
    np.testing.assert_array_equal(edges.target, [3, 3, 3, 1, 0, 0])


def test_groups_are_two_hops_there_and_back():
    there, back = group_relation(np.array([5, 6, 6]), np.array([0, 0, 1]), room=4)
    np.testing.assert_allclose(there.share, [1 / 2, 1 / 2, 1, 0])
    np.testing.assert_allclose(back.share, [1, 1 / 2, 1 / 2, 0])
    np.testing.assert_array_equal(there.source, back.target)
    np.testing.assert_array_equal(there.target, back.source)


def test_no_edges_are_a_relation_too():
    nothing = np.zeros(0, np.int32)
    (edges,) = graph_relation(nothing, nothing, room=2)
    assert edges.share.tolist() == [0, 0]


def test_too_many_edges_are_refused():
    with pytest.raises(ConfigError, match="room for 3 edges, got 2; take a larger size"):
        graph_relation(np.arange(3), np.arange(3), room=2)


def test_edges_may_fill_their_room():
    (edges,) = graph_relation(np.arange(3), np.zeros(3, int), room=3)
    np.testing.assert_allclose(edges.share, [1 / 3, 1 / 3, 1 / 3])


def test_stacked_graphs_have_an_axis_of_the_batch():
    one = graph_relation(np.array([0]), np.array([1]), room=2)
    (edges,) = stack_graphs([one, one, one])
    assert edges.source.shape == (3, 2)
