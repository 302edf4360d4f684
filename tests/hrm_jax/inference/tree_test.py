"""A tree of assumptions: which nodes there are, in which order, and what the rules take away."""

import numpy as np
import pytest

from hrm_jax.inference.tree import Branching, Tree

T = 3
V = 4
BLANK = 0
"""Three cells with the tokens 1 to 3, all different; 0 is a blank."""


def openings(tokens):
    allowed = np.arange(V)[None] == tokens[:, None]
    allowed[tokens == BLANK] = np.arange(V) > BLANK
    return allowed


def narrow(allowed):
    """All different, by singles alone; None where a cell has nothing left."""
    allowed = allowed.copy()
    while True:
        decided = allowed.sum(-1) == 1
        taken = allowed[decided].sum(0) > 0
        if (allowed[decided].sum(0) > 1).any() or not allowed.any(-1).all():
            return None
        narrowed = allowed & ~(taken[None] & ~decided[:, None])
        if (narrowed == allowed).all():
            return allowed
        allowed = narrowed


def permissive(allowed):
    return allowed


RULES = Branching(openings, narrow)
NO_RULES = Branching(openings, permissive)


def likely(*rows):
    """Probabilities [T, V] of the tokens 1 to 3."""
    return np.pad(np.array(rows, float), ((0, 0), (1, 0)))


SURE = [0.98, 0.01, 0.01]
DOUBT = [0.1, 0.5, 0.4]


def test_the_first_node_is_the_puzzle_narrowed():
    tree = Tree(np.array([1, 2, 0], np.uint8), RULES)
    np.testing.assert_array_equal(tree.take(), [1, 2, 3])
    assert tree.decided
    assert tree.exhausted
    assert Tree(np.array([1, 2, 0], np.uint8), NO_RULES).take().dtype == np.uint8


def test_the_cell_in_doubt_takes_its_two_likeliest_values_and_the_others_wait():
    tree = Tree(np.zeros(T, np.int32), NO_RULES)
    np.testing.assert_array_equal(tree.take(), [0, 0, 0])
    tree.branch(likely(SURE, DOUBT, SURE))
    taken = []
    while not tree.exhausted:
        taken.append(tree.take().tolist())
    # What excludes both is no single value: it is shown as a blank where several are left.
    assert taken == [[0, 2, 0], [0, 3, 0], [0, 1, 0]]


def test_nodes_are_taken_by_their_depth():
    tree = Tree(np.zeros(T, np.int32), NO_RULES)
    tree.take()
    tree.branch(likely(DOUBT, SURE, SURE))
    first = tree.take()
    tree.branch(likely(DOUBT, DOUBT, SURE))
    assert first.tolist() == [2, 0, 0]
    assert [tree.take().tolist() for _ in range(3)] == [[3, 0, 0], [2, 2, 0], [2, 3, 0]]


def test_what_the_rules_exclude_is_gone_for_good_and_costs_no_attempt():
    tree = Tree(np.array([1, 0, 0], np.int32), RULES)
    tree.take()
    # 1 is likeliest, and impossible beside the given 1: it is not even considered.
    tree.branch(likely(SURE, SURE, SURE))
    assert [tree.take().tolist() for _ in range(2)] == [[1, 2, 3], [1, 3, 2]]
    assert tree.exhausted


def test_a_value_that_leads_to_a_contradiction_narrows_its_node():
    def second_is_3(allowed):
        # Says so only once the first cell has a value, as rules find contradictions late.
        if allowed[0].sum() == 1 and not allowed[0, 2]:
            return None
        return narrow(allowed)

    tree = Tree(np.zeros(T, np.int32), Branching(openings, second_is_3))
    tree.take()
    tree.branch(likely([0.6, 0.0, 0.4], SURE, SURE))
    # Neither 1 nor 3 can stand in the first cell, which leaves 2; the second cell is next, of which
    # 1 is believed.
    assert [tree.take().tolist() for _ in range(2)] == [[2, 1, 3], [2, 3, 1]]
    assert tree.exhausted


def test_a_puzzle_without_a_solution_has_no_node():
    tree = Tree(np.array([1, 1, 0], np.int32), RULES)
    assert tree.exhausted
    with pytest.raises(IndexError):
        tree.take()


def test_every_solution_is_found_whatever_is_believed():
    rng = np.random.default_rng(0)
    for _ in range(20):
        tree = Tree(np.zeros(T, np.int32), RULES)
        found = set()
        while not tree.exhausted:
            node = tree.take()
            if tree.decided:
                found.add(tuple(node.tolist()))
            tree.branch(rng.random((T, V)))
        assert len(found) == 6
