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
    """All different, by singles alone, puzzle by puzzle."""
    left = [narrow_one(one) for one in allowed]
    possible = np.array([one is not None for one in left])
    none = np.zeros_like(allowed[0])
    return np.stack([none if one is None else one for one in left]), possible


def narrow_one(allowed):
    """What singles leave; None where a cell has nothing left."""
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
    return allowed, np.ones(len(allowed), bool)


RULES = Branching(openings, narrow)
NO_RULES = Branching(openings, permissive)


def likely(*rows):
    """Probabilities [T, V] of the tokens 1 to 3."""
    return np.pad(np.array(rows, float), ((0, 0), (1, 0)))


def rest_of(tree):
    """The puzzles of all nodes that wait, in order."""
    taken = []
    while not tree.exhausted:
        taken.append(tree.take().tolist())
    return taken


SURE = [0.98, 0.01, 0.01]
DOUBT = [0.1, 0.5, 0.4]


def test_the_first_node_is_the_puzzle_narrowed():
    tree = Tree(np.array([1, 2, 0], np.uint8), RULES)
    np.testing.assert_array_equal(tree.take(), [1, 2, 3])
    assert tree.decided
    assert tree.exhausted
    assert Tree(np.array([1, 2, 0], np.uint8), NO_RULES).take().dtype == np.uint8


def test_the_cell_in_doubt_takes_each_of_its_values_the_likeliest_first():
    tree = Tree(np.zeros(T, np.int32), NO_RULES)
    np.testing.assert_array_equal(tree.take(), [0, 0, 0])
    tree.branch(likely(SURE, DOUBT, SURE))
    assert rest_of(tree) == [[0, 2, 0], [0, 3, 0], [0, 1, 0]]


def test_a_cell_with_fewer_values_comes_before_one_in_more_doubt():
    def third_is_no_3(tokens):
        allowed = openings(tokens)
        allowed[2, 3] = False
        return allowed

    tree = Tree(np.zeros(T, np.int32), Branching(third_is_no_3, permissive))
    tree.take()
    tree.branch(likely(DOUBT, DOUBT, SURE))
    assert rest_of(tree) == [[0, 0, 1], [0, 0, 2]]


def test_nodes_are_taken_by_the_product_of_their_assumptions_probabilities():
    tree = Tree(np.zeros(T, np.int32), NO_RULES)
    tree.take()
    tree.branch(likely(DOUBT, SURE, SURE))
    assert tree.take().tolist() == [2, 0, 0]
    # 0.5 * 0.98 is more than the 0.4 that waits, and 0.5 * 0.01 less than 0.1.
    tree.branch(likely(DOUBT, SURE, SURE))
    assert rest_of(tree) == [[2, 1, 0], [3, 0, 0], [1, 0, 0], [2, 2, 0], [2, 3, 0]]


def test_what_the_rules_have_solved_comes_before_all_else():
    def sets_all(allowed):
        # With 3 in the first cell all is known, and else nothing.
        left = allowed.copy()
        known = (allowed[:, 0].sum(-1) == 1) & allowed[:, 0, 3]
        left[known] = openings(np.array([3, 1, 2]))
        return left, np.ones(len(left), bool)

    tree = Tree(np.zeros(T, np.int32), Branching(openings, sets_all))
    tree.take()
    tree.branch(likely([0.6, 0.3, 0.1], SURE, SURE))
    assert rest_of(tree)[0] == [3, 1, 2]


def test_of_the_cells_tried_out_that_is_chosen_whose_values_leave_least_open():
    def second_decides(allowed):
        # A value of the second cell decides the third: both have one value, whatever it is.
        left = allowed.copy()
        left[allowed[:, 1].sum(-1) == 1, 2] = np.arange(V) == 1
        return left, np.ones(len(left), bool)

    def children(probes):
        tree = Tree(np.zeros(T, np.int32), Branching(openings, second_decides), probes)
        tree.take()
        tree.branch(likely(DOUBT, SURE, SURE))
        return rest_of(tree)

    assert children(probes=1) == [[2, 0, 0], [3, 0, 0], [1, 0, 0]]
    assert children(probes=3) == [[0, 1, 1], [0, 2, 1], [0, 3, 1]]


def test_what_the_rules_exclude_is_gone_for_good_and_costs_no_attempt():
    tree = Tree(np.array([1, 0, 0], np.int32), RULES)
    tree.take()
    # 1 is likeliest, and impossible beside the given 1: it is not even considered.
    tree.branch(likely(SURE, SURE, SURE))
    assert rest_of(tree) == [[1, 2, 3], [1, 3, 2]]


@pytest.mark.parametrize("probes", [1, 3])
def test_a_value_that_leads_to_a_contradiction_narrows_its_node(probes):
    def second_is_3(allowed):
        # Says so only once the first cell has a value, as rules find contradictions late.
        left, possible = narrow(allowed)
        return left, possible & ~((allowed[:, 0].sum(-1) == 1) & ~allowed[:, 0, 2])

    tree = Tree(np.zeros(T, np.int32), Branching(openings, second_is_3), probes)
    tree.take()
    tree.branch(likely([0.6, 0.0, 0.4], SURE, SURE))
    # Neither 1 nor 3 can stand in the first cell, which leaves 2; the second cell is next, of which
    # 1 is believed.
    assert rest_of(tree) == [[2, 1, 3], [2, 3, 1]]


def test_a_node_all_of_whose_values_are_excluded_is_dropped():
    def nothing_fits(allowed):
        # No rule speaks before a cell has a value.
        return allowed, ~(allowed.sum(-1) == 1).any(-1)

    tree = Tree(np.zeros(T, np.int32), Branching(openings, nothing_fits), probes=3)
    tree.take()
    tree.branch(likely(SURE, SURE, SURE))
    assert tree.exhausted


def test_a_puzzle_without_a_solution_has_no_node():
    tree = Tree(np.array([1, 1, 0], np.int32), RULES)
    assert tree.exhausted
    with pytest.raises(IndexError):
        tree.take()


@pytest.mark.parametrize("probes", [1, 2, 3])
def test_every_solution_is_found_whatever_is_believed(probes):
    rng = np.random.default_rng(0)
    for _ in range(20):
        tree = Tree(np.zeros(T, np.int32), RULES, probes)
        found = set()
        while not tree.exhausted:
            node = tree.take()
            if tree.decided:
                found.add(tuple(node.tolist()))
            # Beliefs in nothing at all are the worst case.
            tree.branch(rng.random((T, V)) * rng.integers(0, 2, (T, 1)))
        assert len(found) == 6
