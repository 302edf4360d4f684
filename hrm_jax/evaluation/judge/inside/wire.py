"""Values between an examiner and a candidate, as lines of JSON: plain data, never code.

Numbers, text, lists and None are themselves; other plain values are objects with a `kind`. All
other values stay with the candidate, and the examiner gets a number that refers to them. So an
answer cannot define its own equality: what the examiner compares is built by the examiner.
"""

import builtins
import collections.abc
from collections.abc import Callable
from typing import Any

MAX_ITEMS = 1_000_000
"""Limit for the items of an iterator that are sent, as some never end."""


def encode(value: Any, name_of: Callable[[Any], int]) -> Any:
    """Returns a value as JSON data; subclasses count as the builtin type they derive from.

    Args:
      value: anything.
      name_of: the number of a value that has no other form.

    Raises:
      ValueError: an iterator of more than `MAX_ITEMS`.
      RecursionError: nested too deeply, or in itself.
    """
    # bool is a subclass of int, so it comes first.
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value)
    if isinstance(value, list):
        return [encode(item, name_of) for item in value]
    if isinstance(value, dict):
        pairs = [[encode(k, name_of), encode(v, name_of)] for k, v in value.items()]
        return {"kind": "dict", "items": pairs}
    if isinstance(value, (bytes, bytearray)):
        return {"kind": type(value).__name__, "items": list(value)}
    if isinstance(value, complex):
        return {"kind": "complex", "items": [value.real, value.imag]}
    if isinstance(value, range):
        return {"kind": "range", "items": [value.start, value.stop, value.step]}
    for kind in (tuple, set, frozenset):
        if isinstance(value, kind):
            return {"kind": kind.__name__, "items": [encode(item, name_of) for item in value]}
    # Read to the end and sent as a copy.
    if isinstance(value, (collections.abc.Iterator, collections.abc.MappingView)):
        return {"kind": "iterator", "items": [encode(i, name_of) for i in _bounded(value)]}
    if isinstance(value, type) and getattr(builtins, value.__name__, None) is value:
        return {"kind": "type", "items": [value.__name__]}
    return {"kind": "object", "items": [name_of(value)]}


def decode(data: Any, object_of: Callable[[int], Any]) -> Any:
    """Returns the value that `encode` was given.

    Args:
      data: JSON data from an untrusted source.
      object_of: returns what stands for a value by its number.

    Raises:
      ValueError, TypeError, KeyError, OverflowError: not what `encode` makes.
    """
    if isinstance(data, list):
        return [decode(item, object_of) for item in data]
    if not isinstance(data, dict):
        return data
    kind = data["kind"]
    items = data["items"]
    if kind == "dict":
        return {decode(key, object_of): decode(value, object_of) for key, value in items}
    if kind == "complex":
        return complex(*(float(part) for part in items))
    if kind == "range":
        return range(*(int(part) for part in items))
    if kind == "object":
        (number,) = items
        return object_of(int(number))
    if kind == "type":
        return _builtin_type(*items)
    # A table of constructors rather than a look-up by name: the kind is untrusted.
    make = {
        "tuple": tuple,
        "set": set,
        "frozenset": frozenset,
        "bytes": bytes,
        "bytearray": bytearray,
        "iterator": iter,
    }[kind]
    return make([decode(item, object_of) for item in items])


def _bounded(values: Any) -> Any:
    for count, value in enumerate(values):
        if count == MAX_ITEMS:
            raise ValueError(f"expected an iterator of at most {MAX_ITEMS} items, got a longer one")
        yield value


def _builtin_type(name: Any) -> type:
    value = getattr(builtins, name)
    if not isinstance(value, type):
        raise ValueError(f"expected the name of a builtin type, got {name!r}")
    return value
