"""HRM over nodes: its steps, its answer, and that numbering and padding are of no account."""

import jax
import numpy as np
import pytest

from hrm_jax.core.config import ConfigError
from hrm_jax.core.graphs import GraphBatch, graph_relation, group_relation, stack_graphs
from hrm_jax.models.graph_config import GraphModelConfig
from hrm_jax.models.graph_model import GraphModel

CONFIG = GraphModelConfig(
    features=3, outputs=2, relations=("links", "teams"), hidden_size=8, L_cycles=2, steps=2
)
MODEL = GraphModel(CONFIG)


@pytest.fixture(scope="module")
def variables():
    return jax.jit(MODEL.init)(jax.random.key(0))


def graph(seed, nodes=5, room=6, order=None):
    """A graph of five nodes, padded to `nodes`, with nodes renumbered by `order`."""
    order = np.arange(5) if order is None else np.asarray(order)
    features = np.zeros((nodes, 3), np.float32)
    features[order] = np.random.default_rng(seed).normal(size=(5, 3))
    present = np.arange(nodes) < 5
    links = np.array([[0, 1], [1, 2], [0, 3]]).T
    teams = np.array([[0, 0], [4, 0], [2, 1], [3, 1]]).T
    relations = {
        "links": graph_relation(order[links[0]], order[links[1]], room),
        "teams": group_relation(order[teams[0]], teams[1], room),
    }
    return GraphBatch(features, present, relations, np.float32(seed))


def test_steps_one_after_another_are_the_answer(variables):
    batch = stack_graphs([graph(1), graph(2)])

    @jax.jit
    def step(variables, carry, batch):
        begun, _ = MODEL.begin(variables, carry, batch, key=jax.random.key(0))
        return MODEL.think(variables, begun)

    carry = MODEL.initial_carry(variables, batch)
    # The second row begins with the second step, so that rows end one after another.
    np.testing.assert_array_equal(carry.steps, [0, 1])
    carry, _ = step(variables, carry, batch)
    np.testing.assert_array_equal(carry.steps, [1, 2])
    np.testing.assert_array_equal(carry.halted, [False, True])
    other = stack_graphs([graph(8), graph(2)])
    carry, outputs = step(variables, carry, other)
    np.testing.assert_array_equal(carry.data.labels, [1, 2])
    answer = jax.jit(MODEL.answer)(variables, batch).nodes
    assert answer.shape == (2, 5, 2)
    np.testing.assert_allclose(outputs.nodes[0], answer[0], rtol=0, atol=1e-5)
    carry, outputs = step(variables, carry, batch)
    np.testing.assert_allclose(outputs.nodes[1], answer[1], rtol=0, atol=1e-5)


def test_numbering_and_padding_are_of_no_account(variables):
    order = [3, 0, 4, 1, 2]
    answer = jax.jit(MODEL.answer)
    plain = np.asarray(answer(variables, stack_graphs([graph(1)])).nodes)[0]
    other = stack_graphs([graph(1, nodes=8, room=9, order=order)])
    found = np.asarray(answer(variables, other).nodes)[0]
    np.testing.assert_allclose(found[order], plain, rtol=0, atol=1e-5)


def test_relations_matter_and_every_parameter_is_trained(variables):
    batch = stack_graphs([graph(1)])
    carry = MODEL.initial_carry(variables, batch)

    @jax.jit
    @jax.grad
    def differentiate(params):
        trained = type(variables)(params, variables.buffers, None)
        begun, _ = MODEL.begin(trained, carry, batch, key=jax.random.key(0))
        return (MODEL.think(trained, begun)[1].nodes ** 2).sum()

    for leaf in jax.tree.leaves(differentiate(variables.params)):
        assert np.abs(leaf).max() > 0


def test_relations_are_named_once():
    with pytest.raises(ConfigError, match=r"relations: expected each once"):
        GraphModelConfig(features=1, outputs=1, relations=("a", "a"))
