"""Plain types: how a value of each is taken apart, and how it is made again.

Only what the standard library defines is plain: its operators are the interpreter's, in every
process alike. Of a class that a program derives from one of them, the part of the plain type is.
"""

import array
import collections
import datetime
import decimal
import fractions
import http
import ipaddress
import pathlib
import re
import types
import uuid
import zoneinfo
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple


class Form(NamedTuple):
    """How values of one type travel.

    Attributes:
      kind: the type.
      parts: takes a value, of this type or derived from it, apart into values that travel.
      make: makes the value of a list of them.
      name: of the type on the wire.
      fits: whether a value has this form; it has none if it has not.
    """

    kind: type
    parts: Callable[[Any], Iterable[Any]]
    make: Callable[[list[Any]], Any]
    name: str
    fits: Callable[[Any], bool] = lambda value: True


def form_of(value: Any) -> Form | None:
    """Returns the form of a value of a plain type, not one derived from it; None for others."""
    # By the exact type: what is derived may have other operators.
    form = BY_TYPE.get(type(value))
    return form if form is not None and form.fits(value) else None


def base_form(value: Any) -> Form | None:
    """Returns the form of the most special plain type that a value is of; None if it is of none."""
    # By the real type: `isinstance` would believe a `__class__` that says otherwise.
    form = next((form for form in FORMS if issubclass(type(value), form.kind)), None)
    return form if form is not None and form.fits(value) else None


def plain_part(value: Any) -> Any:
    """Returns a copy of a value as one of the plain type that it is derived from."""
    form = base_form(value)
    if form is None:
        raise TypeError(f"expected a plain value, got a {type(value).__name__}")
    # Taken apart and made again, so that nothing of the program's class stays.
    return form.make(list(form.parts(value)))


def _form(kind: type, parts: Callable, make: Callable, name: str = "") -> Form:
    return Form(kind, parts, make, name or kind.__name__)


def _pairs(value: Any) -> list[list[Any]]:
    # Past methods that a program may have overridden, as everywhere below.
    return [list(pair) for pair in dict.items(value)]


def _moment(value: datetime.datetime) -> list[Any]:
    day = [value.year, value.month, value.day]
    return [*day, *_clock(value)]


def _clock(value: datetime.datetime | datetime.time) -> list[Any]:
    return [
        value.hour,
        value.minute,
        value.second,
        value.microsecond,
        value.tzinfo,
        value.fold,
    ]


def _in_plain_zone(value: datetime.datetime | datetime.time) -> bool:
    zone = value.tzinfo
    return zone is None or form_of(zone) is not None


def _by_text(kind: Any) -> Form:
    """Returns the form of a type whose values are made of their texts."""
    return _form(kind, lambda value: [kind.__str__(value)], lambda items: kind(*items))


def _member(kind: Any) -> Form:
    """Returns the form of an enumeration's members."""
    return _form(kind, lambda value: [value.value], lambda items: kind(*items))


def _alone(value: Any) -> Form:
    """Returns the form of a value that is the only one of its type."""
    return _form(type(value), lambda value: [], lambda items: value)


def _views(kind: type) -> tuple[Form, Form, Form]:
    """Returns the forms of the three views of a type of dictionary."""
    empty = kind()
    return (
        _form(type(empty.keys()), list, lambda items: kind.fromkeys(items).keys(), "keys"),
        # Values are views of a dictionary, for which numbers serve as keys.
        _form(type(empty.values()), list, lambda items: kind(enumerate(items)).values(), "values"),
        _form(
            type(empty.items()),
            lambda view: [list(pair) for pair in view],
            lambda items: kind(items).items(),
            "items",
        ),
    )


FORMS: tuple[Form, ...] = (
    # A type stands before those that it is derived from.
    *(_member(kind) for kind in (http.HTTPStatus, http.HTTPMethod, re.RegexFlag, uuid.SafeUUID)),
    _form(bool, lambda value: [value], lambda items: bool(*items)),
    _form(int, lambda value: [int.__int__(value)], lambda items: int(*items)),
    _form(float, lambda value: [float.__float__(value)], lambda items: float(*items)),
    _form(str, lambda value: [str.__str__(value)], lambda items: "".join(items)),
    _form(list, list.__iter__, list),
    _form(complex, lambda value: [value.real, value.imag], lambda items: complex(*items)),
    _form(tuple, tuple.__iter__, tuple),
    _form(set, set.__iter__, set),
    _form(frozenset, frozenset.__iter__, frozenset),
    _form(bytes, bytes.__iter__, bytes),
    _form(bytearray, bytearray.__iter__, bytearray),
    _form(range, lambda value: [value.start, value.stop, value.step], lambda items: range(*items)),
    _form(slice, lambda value: [value.start, value.stop, value.step], lambda items: slice(*items)),
    _form(collections.Counter, _pairs, lambda items: collections.Counter(dict(items))),
    _form(collections.OrderedDict, _pairs, collections.OrderedDict),
    _form(
        collections.defaultdict,
        lambda value: [value.default_factory, *_pairs(value)],
        lambda items: collections.defaultdict(items[0], items[1:]),
    ),
    _form(dict, _pairs, dict),
    _form(
        collections.deque,
        lambda value: [value.maxlen, *collections.deque.__iter__(value)],
        lambda items: collections.deque(items[1:], items[0]),
    ),
    *_views(dict),
    *(form._replace(name=f"ordered {form.name}") for form in _views(collections.OrderedDict)),
    _form(
        fractions.Fraction,
        lambda value: [value.numerator, value.denominator],
        lambda items: fractions.Fraction(*items),
    ),
    _by_text(decimal.Decimal),
    _form(
        datetime.datetime,
        _moment,
        lambda items: datetime.datetime(*items[:-1], fold=items[-1]),
    )._replace(fits=_in_plain_zone),
    _form(
        datetime.date,
        lambda value: [value.year, value.month, value.day],
        lambda items: datetime.date(*items),
    ),
    _form(
        datetime.time,
        _clock,
        lambda items: datetime.time(*items[:-1], fold=items[-1]),
    )._replace(fits=_in_plain_zone),
    _form(
        datetime.timedelta,
        lambda value: [value.days, value.seconds, value.microseconds],
        lambda items: datetime.timedelta(*items),
    ),
    _form(
        datetime.timezone,
        lambda value: value.__reduce__()[1],
        lambda items: datetime.timezone(*items),
    ),
    _form(
        zoneinfo.ZoneInfo,
        lambda value: [value.key],
        lambda items: zoneinfo.ZoneInfo(*items),
    )._replace(fits=lambda value: isinstance(value.key, str)),
    _by_text(pathlib.PosixPath),
    _by_text(pathlib.PurePosixPath),
    _by_text(pathlib.PureWindowsPath),
    _form(
        uuid.UUID,
        lambda value: [value.int, value.is_safe],
        lambda items: uuid.UUID(int=items[0], is_safe=items[1]),
    ),
    *(
        _by_text(kind)
        for kind in (
            *(ipaddress.IPv4Interface, ipaddress.IPv4Address, ipaddress.IPv4Network),
            *(ipaddress.IPv6Interface, ipaddress.IPv6Address, ipaddress.IPv6Network),
        )
    ),
    # "array" is numpy's.
    _form(
        array.array,
        lambda value: [value.typecode, *array.array.tolist(value)],
        lambda items: array.array(items[0], items[1:]),
        "array.array",
    ),
    _form(
        types.SimpleNamespace,
        lambda value: [list(pair) for pair in vars(value).items()],
        lambda items: types.SimpleNamespace(**dict(items)),
    ),
    _alone(...),
    _alone(NotImplemented),
)
BY_TYPE = {form.kind: form for form in FORMS}
BY_NAME = {form.name: form for form in FORMS}

EXTENDED = (int, float, complex, str, bytes, tuple, frozenset)
"""Types of which a class can be derived whose values are made of a value of the type."""
