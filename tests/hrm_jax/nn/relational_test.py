"""Relational mixing against its equation, and what a grid makes of tokens."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hrm_jax.core.candidates import CandidateGrid, Relation
from hrm_jax.core.graphs import graph_relation, stack_graphs
from hrm_jax.data.sudoku import rules
from hrm_jax.nn.relational import (
    EXCLUDED,
    GIVEN,
    OPEN,
    RelationalMixing,
    candidate_states,
    token_logits,
)

SMALL = CandidateGrid(
    axes=("day", "shift", "person"),
    sizes=(2, 3, 4),
    relations=(
        Relation("one person a shift", ("person",), "cell"),
        Relation("one shift a day", ("shift",), "day"),
        Relation("all of a person's shifts", ("day", "shift"), "person"),
    ),
)


@pytest.mark.parametrize("grid", [SMALL, rules.CANDIDATES], ids=["small", "sudoku"])
def test_equals_its_equation(grid):
    D = 5
    L = grid.num_candidates
    layer = RelationalMixing(grid, D, rngs=nnx.Rngs(0))
    x = np.random.default_rng(1).standard_normal((2, L, D))
    places = np.stack(np.unravel_index(np.arange(L), grid.sizes), axis=-1)
    expected = np.zeros_like(x)
    for relation in grid.relations:
        kept = [i for i in range(len(grid.sizes)) if i not in grid.positions(relation)]
        same = (places[:, None, kept] == places[None, :, kept]).all(-1)
        mean = same / same.sum(1, keepdims=True)
        kernel = np.asarray(layer.projections[relation.weights].kernel[...], np.float64)
        expected += np.einsum("ij,bjd->bid", mean, x) @ kernel
    found = nnx.jit(layer)(jnp.asarray(x, jnp.float32))
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_edges_between_cells_join_the_candidates_of_each_symbol():
    grid = CandidateGrid(
        axes=("vertex", "colour"),
        sizes=(4, 3),
        relations=(Relation("vertex", ("colour",), "cell"),),
        edges=("neighbours",),
    )
    assert grid.weight_names == ("cell", "neighbours")
    layer = RelationalMixing(grid, 5, rngs=nnx.Rngs(0))
    x = np.random.default_rng(1).standard_normal((1, 12, 5))
    # Vertex 2 hears 0 and 1, vertex 0 hears 3; the others hear nobody.
    hops = graph_relation(np.array([0, 1, 3]), np.array([2, 2, 0]), room=5)
    relations = stack_graphs([{"neighbours": hops}])
    cells = x.reshape(4, 3, 5)
    heard = np.zeros_like(cells)
    heard[2] = (cells[0] + cells[1]) / 2
    heard[0] = cells[3]
    kernels = {name: np.asarray(layer.projections[name].kernel[...]) for name in grid.weight_names}
    expected = cells.mean(1, keepdims=True) @ kernels["cell"] + heard @ kernels["neighbours"]
    found = nnx.jit(layer)(jnp.asarray(x, jnp.float32), relations)
    np.testing.assert_allclose(found[0], expected.reshape(12, 5), rtol=0, atol=2e-6)


def test_relations_of_sudoku_are_its_units_and_where_they_cross():
    members = np.arange(729).reshape(81, 9)
    groups = {}
    for relation in rules.CANDIDATES.relations:
        over = rules.CANDIDATES.positions(relation)
        indices = np.arange(729).reshape(rules.CANDIDATES.sizes)
        moved = np.moveaxis(indices, over, range(-len(over), 0))
        size = int(np.prod([rules.CANDIDATES.sizes[i] for i in over]))
        groups[relation.name] = {frozenset(group) for group in moved.reshape(-1, size).tolist()}
    for name, units in zip(("row", "column", "box"), np.split(rules.UNITS, 3), strict=True):
        expected = {
            frozenset(members[unit, digit].tolist()) for unit in units for digit in range(9)
        }
        assert groups[name] == expected
    assert groups["cell"] == {frozenset(cell) for cell in members.tolist()}
    for line in ("row", "column"):
        crossings = {a & b for a in groups[line] for b in groups["box"]} - {frozenset()}
        assert groups[f"cells shared by a {line} and a box"] == crossings


def test_gradient_reaches_the_members_of_groups_and_no_other():
    layer = RelationalMixing(rules.CANDIDATES, 4, rngs=nnx.Rngs(0))
    gradient = jax.grad(lambda x: layer(x)[0, 0].sum())(jnp.ones((1, 729, 4)))
    heard = np.abs(gradient[0]).sum(-1).reshape(81, 9) > 0
    assert heard[0].all()  # every digit of its own cell
    np.testing.assert_array_equal(heard[1:, 0], rules.IS_PEER[0, 1:])  # its own digit in all peers
    assert not heard[1:, 1:].any()


def test_givens_settle_their_cells():
    inputs = jnp.asarray([[0, 1, 4, 2, 1, 3]])  # padding, blank, symbols 2, 0, blank, 1 of 4
    grid = CandidateGrid(("cell", "symbol"), (6, 4), (Relation("cell", ("symbol",), "cell"),))
    found = candidate_states(grid, inputs, vocab_size=6).reshape(6, 4)
    expected = np.full((6, 4), OPEN)
    for cell, symbol in ((2, 2), (3, 0), (5, 1)):
        expected[cell] = EXCLUDED
        expected[cell, symbol] = GIVEN
    np.testing.assert_array_equal(found, expected)


def test_only_symbols_are_ever_chosen():
    scores = -1e3 * np.random.default_rng(0).random((2, 729)).astype(np.float32)
    logits = token_logits(rules.CANDIDATES, jnp.asarray(scores), rules.VOCABULARY_SIZE)
    assert logits.shape == (2, 81, 11)
    expected = scores.reshape(2, 81, 9).argmax(-1) + 2
    np.testing.assert_array_equal(logits.argmax(-1), expected)
