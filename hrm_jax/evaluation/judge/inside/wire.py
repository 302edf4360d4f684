"""Values between an examiner and a candidate, as lines of JSON: data, never code.

Numbers, text, lists and None are themselves; other values are objects with a `kind`. Plain values
(`forms.py`, and arrays of numpy) are copied; exceptions travel with their arguments. All other
values stay with the side that has them, and the other side gets a number that refers to them,
with a copy of the plain part if they have one. So an answer cannot define its own equality: what
the examiner compares is built by the examiner.
"""

import builtins
import importlib
import json
import sys
from typing import Any, BinaryIO, Protocol

from hrm_jax.evaluation.judge.inside.forms import BY_NAME, base_form, form_of, plain_part

NO_PLAIN_PART: Any = object()
"""Stands for the plain part of a value that has none."""

MAX_LINE_BYTES = 1 << 26

_NUMPY_KINDS = "biufcUS"
"""Kinds of numpy's types whose values are plain: all but objects, records and times."""


class Side(Protocol):
    """One end of the wire: what it does with values that are not plain."""

    def encode_other(self, value: Any) -> Any:
        """Returns JSON data for a value that is not plain.

        Raises:
          TypeError: it has none.
        """
        ...

    def decode_other(self, kind: str, items: list[Any]) -> Any:
        """Returns the value of a kind that is not plain.

        Raises:
          ValueError, TypeError, KeyError: it is none of the other side's `encode_other`.
        """
        ...


def encode(value: Any, side: Side) -> Any:
    """Returns a value as JSON data.

    Args:
      value: anything.
      side: the end that sends it.

    Raises:
      TypeError: it is not plain, and `side` has no data for it.
      RecursionError: nested too deeply, or in itself.
    """
    kind = type(value)
    if value is None or kind in (bool, int, float, str):
        return value
    if kind is list:
        return [encode(item, side) for item in value]
    form = form_of(value)
    if form is not None:
        return {"kind": form.name, "items": [encode(item, side) for item in form.parts(value)]}
    # By the real type: `isinstance` would believe a `__class__`, and ask a value's side for it.
    if issubclass(kind, type) and _type_named(value.__name__) is value:
        return {"kind": "type", "items": [value.__name__]}
    array = _array_items(value)
    if array is not None:
        return {"kind": "array", "items": [encode(item, side) for item in array]}
    return side.encode_other(value)


def decode(data: Any, side: Side) -> Any:
    """Returns the value that `encode` was given.

    Args:
      data: JSON data from an untrusted source.
      side: the end that receives it.

    Raises:
      Exception: of any builtin kind, where it is not what `encode` makes.
    """
    if isinstance(data, list):
        return [decode(item, side) for item in data]
    if not isinstance(data, dict):
        return data
    kind = data["kind"]
    items = [decode(item, side) for item in data["items"]]
    if kind == "type":
        return _builtin_type(*items)
    if kind == "array":
        return _array(*items)
    # A table of constructors rather than a look-up by name: the kind is untrusted.
    if kind in BY_NAME:
        return BY_NAME[kind].make(items)
    return side.decode_other(kind, items)


def encode_object(value: Any, number: int, side: Side) -> dict[str, Any]:
    """Returns the data of a value that stays where it is: its number, and its plain part if any."""
    plain = [] if base_form(value) is None else [encode(plain_part(value), side)]
    return {"kind": "object", "items": [number, *plain]}


def encode_exception(error: BaseException, number: int | None, side: Side) -> dict[str, Any]:
    """Returns the data of an exception: its number if it stays, its class, and its arguments."""
    # Of an OSError `args` are only the first two of its arguments.
    arguments = error.__reduce__()[1] if isinstance(error, OSError) else error.args
    items = [number, type(error), list(arguments)]
    return {"kind": "exception", "items": [encode(item, side) for item in items]}


def _type_named(name: str) -> type | None:
    """Returns the builtin or plain type of a name; None if there is none."""
    form = BY_NAME.get(name)
    found = form.kind if form else getattr(builtins, name, None)
    return found if isinstance(found, type) else None


def _builtin_type(name: Any) -> type:
    found = _type_named(name)
    if found is None:
        raise ValueError(f"expected the name of a builtin type, got {name!r}")
    return found


def _array_items(value: Any) -> list[Any] | None:
    """Returns type, shape and values of an array or a number of numpy; None for other values."""
    numpy = sys.modules.get("numpy")
    whole = type(value) is getattr(numpy, "ndarray", None)
    if not whole and not issubclass(type(value), getattr(numpy, "generic", ())):
        return None
    # Python has no longer numbers than these: `tolist` would leave them as numpy's.
    if value.dtype.kind not in _NUMPY_KINDS or value.dtype.char in "gG":
        return None
    return [value.dtype.str, list(value.shape), value.ravel().tolist(), whole]


def _array(dtype: str, shape: list[int], values: list[Any], whole: bool) -> Any:
    numpy = importlib.import_module("numpy")
    kind = numpy.dtype(dtype)
    if kind.kind not in _NUMPY_KINDS:
        raise ValueError(f"expected an array of numbers or texts, got one of {dtype}")
    array = numpy.array(values, kind).reshape(shape)
    return array if whole else array[()]


class Numbers:
    """Values by number, as the other side refers to them; the same value has one number."""

    def __init__(self):
        self._values: list[Any] = []
        self._numbers: dict[int, int] = {}

    def number_of(self, value: Any) -> int:
        """Returns the number of a value, a new one if it has none."""
        # By identity, which stays as the value is kept.
        number = self._numbers.setdefault(id(value), len(self._values))
        if number == len(self._values):
            self._values.append(value)
        return number

    def value_of(self, number: Any) -> Any:
        """Returns the value of a number; raises IndexError or TypeError if there is none."""
        return self._values[number]


def read_line(stream: BinaryIO) -> Any:
    """Returns the next line's JSON data; None at the end, and for a line that is cut or too long.

    Raises:
      OSError: the stream is broken.
      ValueError, RecursionError: the line is not JSON.
    """
    # Bounded, so that an endless line cannot use up the reader's memory.
    line = stream.readline(MAX_LINE_BYTES)
    return json.loads(line) if line.endswith(b"\n") else None


def write_line(stream: BinaryIO, data: Any) -> None:
    """Writes JSON data as a line; raises OSError if the stream is broken."""
    stream.write(json.dumps(data).encode() + b"\n")
    stream.flush()
