import dataclasses

import numpy as np
import pytest

from experiments.rendering.trace import TraceError, make_trace
from hrm_jax.data.sudoku import rules
from hrm_jax.inference.thinking import Thoughts


def test_a_trace_is_one_row_of_the_thoughts(trace):
    S = trace.steps
    row = 1
    tokens = np.full((S, 3, 81), rules.PAD_TOKEN, np.int32)
    tokens[:, row] = rules.encode(trace.digits)
    cells = np.zeros((S, 3, 81), np.float32)
    halts = np.zeros((S, 3), np.float32)
    cells[:, row] = trace.cell_confidence
    halts[:, row] = trace.halt_confidence
    wants = np.zeros((S, 3), bool)
    wants[3:, row] = True
    thoughts = Thoughts(tokens, halts, wants, cells)
    found = make_trace(trace.givens, thoughts, row=row, title=trace.title)
    for field in dataclasses.fields(trace):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(trace, field.name))
    padding = make_trace(trace.givens, thoughts, row=0)
    assert not padding.digits.any()
    assert padding.halt == S


def test_marks(trace):
    np.testing.assert_array_equal(trace.right, [False, False, True, True, True, True])
    np.testing.assert_array_equal(trace.filled, [0, 51, 51, 51, 51, 51])
    threes = [int(cell) for cell in rules.PEERS[2] if trace.digits[1, cell] == 3]
    assert 1 in threes
    assert np.flatnonzero(trace.conflicts[1]).tolist() == sorted([2, *threes])
    assert not trace.conflicts[[0, 2, 3, 4, 5]].any()
    assert trace.changed.sum(-1).tolist() == [0, 51, 1, 0, 0, 0]
    assert np.flatnonzero(trace.changed[2]).tolist() == [2]
    assert not trace.overwritten.any()


def test_a_given_that_is_not_kept_is_marked(trace):
    digits = trace.digits.copy()
    digits[5, 0] = 9
    digits[5, 1] = 0
    changed = dataclasses.replace(trace, digits=digits)
    assert np.flatnonzero(changed.overwritten[5]).tolist() == [0, 1]
    assert not changed.right[5]


@pytest.mark.parametrize(("halt", "solved"), [(1, 3), (2, 3), (3, 3), (4, 4), (6, 6)])
def test_the_answer_is_the_halting_steps_or_else_the_first_right_one(trace, halt, solved):
    assert dataclasses.replace(trace, halt=halt).solved == solved


def test_an_unsolved_puzzle_has_no_solving_step(traces):
    assert traces[1].solved is None


def test_the_answer_is_the_solution_or_else_the_last_proposal(traces):
    assert traces[0].answer == traces[0].solved
    assert traces[1].answer == traces[1].steps


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"halt": 0}, r"halt: expected a step in 1..6, got 0"),
        ({"halt": 7}, r"halt: expected a step in 1..6, got 7"),
        ({"givens": np.zeros(80, np.uint8)}, r"givens: expected shape \(81,\), got \(80,\)"),
        ({"digits": np.zeros((6, 80), np.uint8)}, r"digits: expected shape \(6, 81\)"),
        ({"cell_confidence": np.ones((5, 81))}, r"cell_confidence: expected shape \(6, 81\)"),
        ({"halt_confidence": np.ones((6, 1))}, r"halt_confidence: expected shape \(6,\)"),
        ({"halt_confidence": np.full(6, np.nan)}, "halt_confidence: .* got nan: .* checkpoint"),
        ({"cell_confidence": np.full((6, 81), 1.5)}, r"cell_confidence: .* got 1\.5"),
    ],
)
def test_what_cannot_be_shown_is_refused(trace, changes, message):
    with pytest.raises(TraceError, match=message):
        dataclasses.replace(trace, **changes)
