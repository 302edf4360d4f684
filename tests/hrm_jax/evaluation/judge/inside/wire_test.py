"""Values across the wire: what comes out is what went in, and nothing comes alive."""

import array
import collections
import datetime
import decimal
import fractions
import http
import io
import ipaddress
import json
import math
import pathlib
import re
import sys
import types
import uuid
import zoneinfo

import numpy as np
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


class Strict:
    """A side for which every value has to be plain."""

    def encode_other(self, value):
        raise TypeError(f"{value!r} has no plain form")

    def decode_other(self, kind, items):
        raise TypeError(f"{kind} is not plain")


def across(value, side=Strict()):  # noqa: B008
    return wire.decode(json.loads(json.dumps(wire.encode(value, side))), side)


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


@pytest.mark.parametrize(
    "value",
    [
        collections.Counter("aab"),
        collections.OrderedDict(b=1, a=[2]),
        collections.defaultdict(list, {1: [2]}),
        collections.deque([1, 2], maxlen=2),
        fractions.Fraction(-1, 3),
        decimal.Decimal("1.00"),
        decimal.Decimal("NaN"),
        datetime.date(2024, 2, 29),
        datetime.datetime(2024, 2, 29, 1, 2, 3, 4, tzinfo=datetime.UTC, fold=1),
        datetime.time(1, 2, tzinfo=datetime.timezone(datetime.timedelta(hours=1), "CET")),
        datetime.timedelta(days=-1, microseconds=5),
        slice(1, None, 2),
        {1: 2}.keys(),
        {1: 2}.values(),
        {1: [2]}.items(),
        collections.OrderedDict(a=1).keys(),
        fractions.Fraction,
        datetime.datetime(2024, 7, 1, tzinfo=zoneinfo.ZoneInfo("Europe/Paris")),
        zoneinfo.ZoneInfo("UTC"),
        pathlib.Path("a/b"),
        pathlib.PurePath("a/../b"),
        pathlib.PureWindowsPath("c:/a"),
        uuid.UUID(int=5, is_safe=uuid.SafeUUID.safe),
        ipaddress.ip_address("1.2.3.4"),
        ipaddress.ip_network("1.2.0.0/16"),
        ipaddress.ip_interface("1.2.3.4/16"),
        ipaddress.ip_address("fe80::1%eth0"),
        ipaddress.ip_network("fe80::/64"),
        ipaddress.ip_interface("fe80::1/64"),
        array.array("d", [1.5, -0.0]),
        array.array("u" if sys.version_info < (3, 13) else "w", "é"),
        types.SimpleNamespace(a=[1], b=types.SimpleNamespace()),
        ...,
        NotImplemented,
        http.HTTPStatus.OK,
        http.HTTPMethod.GET,
        re.I | re.M,
        np.float32(0.1),
        np.int8(-3),
        np.bool_(True),
        np.array([[1, 2], [3, 4]], np.uint8),
        np.array(["a", "bc"]),
        np.array([1j, np.nan]),
        np.zeros((0, 3)),
    ],
    ids=lambda value: type(value).__name__,
)
def test_values_of_the_standard_library_and_numpy_arrive(value):
    arrived = across(value)
    assert type(arrived) is type(value)
    assert repr(arrived) == repr(value)


class Liar(int):
    """Equals everything."""

    def __eq__(self, other):
        return True

    __hash__ = int.__hash__


@pytest.mark.parametrize("value", [..., NotImplemented, http.HTTPStatus.OK, re.I])
def test_values_that_are_compared_by_identity_stay_themselves(value):
    assert across(value) is value


class Zone(datetime.tzinfo):
    """A time zone that is a program's own."""

    def utcoffset(self, moment):
        return datetime.timedelta(hours=1)


def nameless_zone():
    """A zone that is known by its contents alone."""
    name = next(
        pathlib.Path(place, "UTC")
        for place in zoneinfo.TZPATH
        if pathlib.Path(place, "UTC").exists()
    )
    with open(name, "rb") as file:
        return zoneinfo.ZoneInfo.from_file(file)


@pytest.mark.parametrize("make_zone", [Zone, nameless_zone])
def test_moments_in_other_zones_are_a_matter_of_the_side(make_zone):
    zone = make_zone()
    for value in (datetime.datetime(2024, 1, 1, tzinfo=zone), datetime.time(1, tzinfo=zone)):
        with pytest.raises(TypeError, match="has no plain form"):
            across(value)
        assert wire.encode_object(value, 5, Strict()) == {"kind": "object", "items": [5]}


@pytest.mark.parametrize(
    "value",
    [Liar(3), iter([1]), len, object(), np.array([object()]), np.longdouble(1)],
    ids=lambda value: type(value).__name__,
)
def test_other_values_are_a_matter_of_the_side(value):
    with pytest.raises(TypeError, match="has no plain form"):
        across([value])


def test_an_object_brings_its_plain_part():
    data = wire.encode_object(Liar(3), 5, Strict())
    assert data == {"kind": "object", "items": [5, 3]}
    assert wire.encode_object(len, 6, Strict()) == {"kind": "object", "items": [6]}


def test_numbers_are_of_values_and_not_of_what_they_equal():
    numbers = wire.Numbers()
    values = [[], [], 1, True]
    assert [numbers.number_of(value) for value in [*values, *values]] == [*range(4), *range(4)]
    assert all(numbers.value_of(number) is value for number, value in enumerate(values))
    with pytest.raises(IndexError):
        numbers.value_of(4)


def test_lines_are_whole():
    stream = io.BytesIO(b'{"a": 1}\n{"b"')
    assert [wire.read_line(stream), wire.read_line(stream)] == [{"a": 1}, None]


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
        {"kind": "type", "items": ["Template"]},
        {"kind": "Decimal", "items": [[]]},
        {"kind": "deque", "items": [-1]},
        {"kind": "defaultdict", "items": [3]},
        {"kind": "array", "items": ["O", [1], [None], True]},
        {"kind": "array", "items": ["i8", [2], [1], True]},
        {"kind": "ZoneInfo", "items": ["../../etc/passwd"]},
        {"kind": "ZoneInfo", "items": ["no/zone"]},
        {"kind": "UUID", "items": [-1, None]},
        {"kind": "IPv4Address", "items": ["1.2.3"]},
        {"kind": "array.array", "items": ["x", 1]},
        {"kind": "SimpleNamespace", "items": [[1, 2]]},
        {"kind": "HTTPStatus", "items": [7]},
        {"kind": "named tuple", "items": ["P", ["x"], [1]]},
        {"kind": ["tuple"], "items": []},
    ],
)
def test_nonsense_is_refused(data):
    with pytest.raises((ValueError, TypeError, KeyError)):
        wire.decode(data, Strict())
