"""Latin squares and colourings: what is drawn, and that the rules on a device are the rules."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.core.config import ConfigError
from hrm_jax.data.differing import solver
from hrm_jax.data.differing.problem import BLANK_TOKEN, is_solution
from hrm_jax.tasks.differing.colouring import Colouring
from hrm_jax.tasks.differing.kinds import Solves
from hrm_jax.tasks.differing.latin import Latin
from hrm_jax.tasks.differing.puzzles import draw_batch, make

LATIN = Latin(order=5)
COLOURING = Colouring(colours=3, vertices=20, fewest_neighbours=3.0, most_neighbours=4.5)
KINDS = [
    LATIN,
    COLOURING,
    Latin(order=5, holes=0.42, unique=False),
    Colouring(3, 20, 3.0, 4.5, unique=False),
]


@pytest.mark.parametrize("kind", KINDS)
def test_answers_solve_and_are_the_only_ones_where_that_is_said(kind):
    for seed in range(4):
        drawn = kind.draw(np.random.default_rng(seed))
        assert is_solution(drawn.answer, drawn.question, drawn.problem)
        found = solver.search(drawn.question, drawn.problem)
        assert found.count == 1 if kind.unique else found.count >= 1
        again = kind.draw(np.random.default_rng(seed))
        np.testing.assert_array_equal(again.question, drawn.question)


def test_holes_are_as_many_as_were_asked_for():
    drawn = KINDS[2].draw(np.random.default_rng(0))
    assert (drawn.question == 0).sum() == round(0.42 * 25)
    # Two neighbours alone are coloured.
    assert np.count_nonzero(KINDS[3].draw(np.random.default_rng(0)).question) == 2


def test_a_latin_square_has_every_symbol_in_every_line():
    square = LATIN.draw(np.random.default_rng(1)).answer.reshape(5, 5)
    for lines in (square, square.T):
        np.testing.assert_array_equal(np.sort(lines, axis=1), np.tile(np.arange(1, 6), (5, 1)))


@pytest.mark.parametrize("kind", KINDS[:2])
def test_the_rules_on_a_device_are_those_of_the_exact_method(kind):
    puzzles = make(kind, [0], 6)
    rng = np.random.default_rng(0)
    proposals = np.repeat(puzzles.labels[None], 8, 0).astype(np.int32)
    for trial in proposals[1:]:  # one cell each, or a token that is no symbol
        for row in trial:
            row[rng.integers(len(row))] = rng.integers(0, kind.grid.num_symbols + 3)
    verify = jax.jit(Solves(kind))
    found = []
    for trial in proposals:
        extra = () if puzzles.relations is None else (puzzles.relations,)
        found.append(verify(jnp.asarray(puzzles.inputs, jnp.int32), trial, *extra))
    expected = [
        [
            bool((row >= BLANK_TOKEN).all())
            and is_solution(
                (row - BLANK_TOKEN).astype(np.uint8), question - np.uint8(BLANK_TOKEN), problem
            )
            for row, question, problem in zip(trial, puzzles.inputs, puzzles.problems, strict=True)
        ]
        for trial in proposals
    ]
    np.testing.assert_array_equal(np.array(found), expected)
    assert np.array(expected)[0].all()
    assert not np.array(expected)[1:].all()


def test_relations_are_the_graph():
    puzzles = make(COLOURING, [3], 2)
    assert puzzles.relations is not None
    (edges,) = puzzles.relations["neighbours"]
    assert edges.source.shape == (2, COLOURING.room)
    for row, problem in enumerate(puzzles.problems):
        real = np.asarray(edges.share[row]) > 0
        told = {
            (int(a), int(b))
            for a, b in zip(edges.source[row][real], edges.target[row][real], strict=True)
        }
        source = np.repeat(np.arange(20), np.diff(problem.starts))
        assert told == set(zip(source.tolist(), problem.neighbours.tolist(), strict=True))
        assert len(told) < COLOURING.room or real.all()


def test_batches_are_functions_of_their_number():
    puzzles = make(COLOURING, [0], 5)
    first, second = (draw_batch(puzzles, 4, 1, 0.5, 7) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, second)
    seen = np.concatenate([draw_batch(puzzles, 5, 1, 0.0, number).labels for number in range(1)])
    np.testing.assert_array_equal(np.unique(seen, axis=0), np.unique(puzzles.labels, axis=0))
    shown = np.asarray(first.inputs)
    assert ((shown == BLANK_TOKEN) | (shown == first.labels)).all()


def test_numbers_of_neighbours_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match=r"most_neighbours: expected from 5\.0 to 10\.0"):
        Colouring(3, 20, 5.0, 4.0)
    with pytest.raises(ConfigError, match="order"):
        Latin(order=26)
