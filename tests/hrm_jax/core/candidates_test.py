"""Grids of candidates: what they count, and what they refuse."""

import dataclasses

import pytest

from hrm_jax.core.candidates import CandidateGrid, Relation
from hrm_jax.core.config import ConfigError

ASSIGNMENT = CandidateGrid(
    axes=("task", "person"),
    sizes=(4, 3),
    relations=(Relation("task", ("person",), "task"), Relation("person", ("task",), "person")),
)


def test_counts():
    assert (ASSIGNMENT.num_cells, ASSIGNMENT.num_symbols, ASSIGNMENT.num_candidates) == (4, 3, 12)
    assert [ASSIGNMENT.positions(relation) for relation in ASSIGNMENT.relations] == [(1,), (0,)]


def test_weights_that_are_shared_are_named_once():
    latin = CandidateGrid(
        axes=("row", "column", "symbol"),
        sizes=(5, 5, 5),
        relations=(
            Relation("row", ("column",), "line"),
            Relation("column", ("row",), "line"),
            Relation("cell", ("symbol",), "cell"),
        ),
    )
    assert latin.weight_names == ("line", "cell")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"axes": ("task",), "sizes": (4,)}, "axes: expected 2 or more different names"),
        ({"axes": ("task", "task")}, "axes: expected 2 or more different names"),
        ({"sizes": (4, 3, 2)}, "axes: expected 2 or more different names, one for each of sizes"),
        ({"sizes": (4, 0)}, r"sizes\[1\]: expected 1 or more, got 0; leave empty axes out"),
        ({"relations": ()}, "relations: expected one or more"),
        (
            {"relations": (Relation("none", (), "w"),)},
            r"relations\[none\].over: expected 1 or more",
        ),
        ({"relations": (Relation("day", ("day",), "w"),)}, r"relations\[day\].over: expected 1 or"),
        (
            {"relations": (Relation("twice", ("task", "task"), "w"),)},
            r"relations\[twice\].over: expected 1 or more different ones of",
        ),
    ],
)
def test_what_does_not_fit_is_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(ASSIGNMENT, **changes)
