"""Values across the wire: what comes out is what went in, and nothing comes alive."""

import collections
import json
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hrm_jax.evaluation.judge.inside import wire

HASHABLE = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.binary()
    | st.floats(allow_nan=False),
    lambda inner: st.tuples(inner, inner) | st.frozensets(inner, max_size=3),
    max_leaves=8,
)
VALUES = st.recursive(
    HASHABLE | st.complex_numbers(allow_nan=False),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner)
        | st.dictionaries(HASHABLE, inner, max_size=3)
        | st.sets(HASHABLE, max_size=3)
    ),
    max_leaves=20,
)


def refuse(value):
    raise AssertionError(f"{value!r} has no plain form")


def across(value):
    return wire.decode(json.loads(json.dumps(wire.encode(value, refuse))), refuse)


@given(VALUES)
def test_plain_values_arrive(value):
    assert across(value) == value


@pytest.mark.parametrize(
    "value",
    [
        True,
        1,
        1.0,
        -0.0,
        math.inf,
        math.nan,
        "\ud800",
        b"\xff",
        bytearray(b"a"),
        range(3, 0, -1),
        int,
    ],
)
def test_types_stay(value):
    arrived = across(value)
    assert type(arrived) is type(value)
    assert repr(arrived) == repr(value)


def test_subclasses_arrive_as_what_they_are_made_from():
    class Liar(int):
        def __eq__(self, other):
            return True

        __hash__ = int.__hash__

    arrived = across([Liar(3), collections.Counter("aab"), collections.OrderedDict(a=1)])
    assert [type(item) for item in arrived] == [int, dict, dict]
    assert arrived == [3, {"a": 2, "b": 1}, {"a": 1}]


def test_iterators_arrive_with_their_items():
    assert list(across(x * x for x in range(4))) == [0, 1, 4, 9]
    assert list(across({1: 2}.keys())) == [1]


def test_endless_iterators_do_not_arrive(monkeypatch):
    monkeypatch.setattr(wire, "MAX_ITEMS", 10)
    with pytest.raises(ValueError, match="an iterator of at most 10 items"):
        across(iter(int, 1))


def test_other_values_are_numbers():
    known = []

    def name_of(value):
        known.append(value)
        return len(known) - 1

    data = wire.encode([print, 1], name_of)
    assert known == [print]
    assert wire.decode(data, lambda number: ("object", number)) == [("object", 0), 1]


@pytest.mark.parametrize(
    "data",
    [
        {"kind": "eval", "items": []},
        {"kind": "tuple"},
        {"items": []},
        {"kind": "set", "items": [[]]},
        {"kind": "dict", "items": [[1]]},
        {"kind": "bytes", "items": [256]},
        {"kind": "range", "items": ["x"]},
        {"kind": "type", "items": ["print"]},
        {"kind": "object", "items": []},
        {"kind": ["tuple"], "items": []},
    ],
)
def test_nonsense_is_refused(data):
    with pytest.raises((ValueError, TypeError, KeyError)):
        wire.decode(data, lambda number: number)
