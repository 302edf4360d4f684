"""What stands for the values of the program that have no plain form.

Tests use them as if they were here; each use is a question to the candidate, where they live. Who
decides an operator with two operands:

- between two values of the program, the program;
- between one and a value of the tests, never the program: its plain part counts, if it has one,
  and otherwise they are not equal, and nothing else is defined. An answer cannot define itself to
  be equal to, near to, or a container of what tests expect;
- except that objects that tests made, by calling a class that the reference has as well, may define
  their operators, `==` excepted: then these are what is tested. This ends when one comes back as an
  answer, as a method that returns its object would otherwise answer with it.

Other objects without a plain part are no numbers either, and give the same items each time they are
gone through: otherwise they could be another value at each use. None handles exceptions of tests.
"""

import math
import operator
from collections.abc import Callable, Iterator
from typing import Any

from hrm_jax.evaluation.judge.inside.forms import EXTENDED
from hrm_jax.evaluation.judge.inside.states import Asker, Items, State
from hrm_jax.evaluation.judge.inside.wire import NO_PLAIN_PART

_PREDICATES = (
    *("isdisjoint", "issubset", "issuperset", "startswith", "endswith"),
    *("is_relative_to", "same_quantum", "subnet_of", "supernet_of"),
)
"""Methods of plain types that compare with values of tests: operators in all but form."""


def is_remote(value: Any) -> bool:
    """Returns whether a value is the program's; by its real type, whatever its `__class__` says."""
    return issubclass(type(value), Reference)


def state_of(value: "Reference") -> State:
    """Returns what is known of a value of the program."""
    return object.__getattribute__(value, "_state_of_remote")


def make_remote(channel: Asker, number: int, plain: Any = NO_PLAIN_PART) -> "Reference":
    """Returns what stands for a value of the program.

    Args:
      channel: to the candidate.
      number: of the value there.
      plain: its plain part, if it has one. Where that cannot change, such as a number, the result
        is of its type.
    """
    made = _VALUES[type(plain)](plain) if type(plain) in _VALUES else Remote()
    # Past `__setattr__`, which would ask the candidate.
    object.__setattr__(made, "_state_of_remote", State(channel, number, plain))
    return made


def _ask(value: "Reference", do: str, *items: Any) -> Any:
    return state_of(value).channel.ask(do, *items)


def _apply(value: "Reference", function: str, *operands: Any) -> Any:
    return _ask(value, "apply", function, *operands)


def _plain(value: "Reference") -> Any:
    """Returns the plain part as it is now."""
    state = state_of(value)
    # What can change is hashed by nobody. It is asked for again only after other requests, so that
    # it is one value to all comparisons of an expression such as `{1} <= f() <= {1, 2}`.
    if state.plain is NO_PLAIN_PART or type(state.plain).__hash__ is not None:
        return state.plain
    if state.seen != state.channel.changes:
        state.plain = _ask(value, "plain", value)
        state.seen = state.channel.changes
    return state.plain


class Reference:
    """A value of the program: its attributes, its texts, and operators with two operands."""

    def __getattr__(self, name: str) -> Any:
        if name not in _PREDICATES or state_of(self).trusted:
            return _ask(self, "get", self, name)
        plain = _plain(self)
        if plain is NO_PLAIN_PART:
            raise TypeError(f"expected a plain value with {name}, got an object of the program")
        return getattr(plain, name) if hasattr(plain, name) else _ask(self, "get", self, name)

    def __setattr__(self, name: str, value: Any) -> None:
        _ask(self, "set", self, name, value)

    def __delattr__(self, name: str) -> None:
        _ask(self, "delete", self, name)

    @property
    def __dict__(self) -> dict[str, Any]:
        return _ask(self, "get", self, "__dict__")

    def __str__(self) -> str:
        return _apply(self, "str", self)

    def __repr__(self) -> str:
        return _apply(self, "repr", self)

    def __format__(self, form: str) -> str:
        return _apply(self, "format", self, form)

    def __eq__(self, other: object) -> Any:
        if is_remote(other):
            return _apply(self, "__eq__", self, other)
        plain = _plain(self)
        # Compared here: the program has no say in what equals a value of the tests.
        return NotImplemented if plain is NO_PLAIN_PART else plain == other

    def __ne__(self, other: object) -> Any:
        if is_remote(other):
            return _apply(self, "__ne__", self, other)
        # From `__eq__`, so that both answers agree whatever the program defines.
        equal = self.__eq__(other)
        return equal if equal is NotImplemented else not equal

    def __hash__(self) -> int:
        plain = state_of(self).plain
        if plain is not NO_PLAIN_PART and type(plain).__hash__ is not None:
            return hash(plain)  # not the candidate's: texts hash differently in each process
        return _apply(self, "hash", self)

    def __copy__(self) -> Any:
        return _ask(self, "copy", self, False)

    def __deepcopy__(self, memo: object) -> Any:
        return _ask(self, "copy", self, True)


class Remote(Reference):
    """A value of the program that can be called, measured, gone through and changed."""

    @property
    def __doc__(self) -> str | None:
        return _ask(self, "get", self, "__doc__")

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        """Calls it with plain values, with functions, or with other values of the program."""
        # Objects that tests make by a class that the reference has as well are what is tested.
        made = _ask(self, "call", self, list(arguments), options)
        return _trusting(made) if state_of(self).maker else made

    @property
    def __class__(self) -> Any:
        plain = state_of(self).plain
        return _ask(self, "get", self, "__class__") if plain is NO_PLAIN_PART else type(plain)

    def __bool__(self) -> bool:
        return _apply(self, "truth", self)

    def __iter__(self) -> Iterator[Any]:
        state = state_of(self)
        # The items of last time, unless something may have changed there since.
        if state.items is not None and state.items_seen == state.channel.changes:
            return iter(state.items)
        seen = state.channel.changes
        trusted = state.trusted
        iterator = _apply(self, "iter", self)
        items = Items(lambda count: _ask(iterator, "take", iterator, count))
        # An object that is its own iterator came back, but as no answer, so it stays trusted.
        if iterator is self:
            state.trusted = trusted
        elif not trusted:
            state.items = items
            state.items_seen = seen
        return iter(items)

    def __contains__(self, item: object) -> bool:
        if is_remote(item) or state_of(self).trusted:
            return _apply(self, "contains", self, item)
        plain = _plain(self)
        if plain is NO_PLAIN_PART:
            return any(item is one or item == one for one in self)  # compared here
        return item in plain

    def __instancecheck__(self, instance: object) -> bool:
        return is_remote(instance) and _apply(self, "isinstance", instance, self)

    def __subclasscheck__(self, kind: type) -> bool:
        return is_remote(kind) and _apply(self, "issubclass", kind, self)

    def __enter__(self) -> Any:
        return self.__getattr__("__enter__")()

    def __exit__(self, kind: type | None, error: object, trace: object) -> Any:
        self.__getattr__("__exit__")(kind, error, None)
        return False  # otherwise it could keep a failed test to itself


def _trusting(made: Any) -> Any:
    """Returns what tests made, trusted if it is an object that came as no answer before."""
    if is_remote(made) and not state_of(made).returned:
        state_of(made).trusted = True
    return made


def _operate(value: Reference, function: str, *operands: Any) -> Any:
    """Returns the program's result of an operator, trusted if `value`, one of its operands, is."""
    trusted = state_of(value).trusted
    result = _apply(value, function, *operands)
    # `x += y` gives `x` itself, which stays trusted.
    if result is value:
        state_of(value).trusted = trusted
    return _trusting(result) if trusted else result


def _unary(function: str) -> Callable[..., Any]:
    def method(self: Reference, *details: Any) -> Any:
        return _apply(self, function, self, *details)

    return method


def _conversion(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """Returns the method of a conversion to a number."""

    def method(self: Reference, *details: Any) -> Any:
        if state_of(self).trusted:
            return _apply(self, name, self, *details)
        plain = _plain(self)
        if plain is NO_PLAIN_PART:
            raise TypeError("expected a number, got an object of the program")
        return function(plain, *details)

    return method


def _operator(
    function: str, *, swapped: bool = False, decided_here: bool = True
) -> Callable[..., Any]:
    """Returns the method of an operator with two operands.

    Args:
      function: its name in `operator`.
      swapped: the program's value is the second operand.
      decided_here: its plain part counts against a value of the tests. An operator that changes
        the program's value leaves that to the one that changes nothing.
    """

    def method(self: Reference, other: Any) -> Any:
        operands = (other, self) if swapped else (self, other)
        if is_remote(other) or state_of(self).trusted:
            return _operate(self, function, *operands)
        plain = _plain(self) if decided_here else NO_PLAIN_PART
        if plain is NO_PLAIN_PART:
            return NotImplemented
        operands = (other, plain) if swapped else (plain, other)
        return getattr(operator, function)(*operands)

    return method


_COMPARISONS = ("lt", "le", "gt", "ge")
_ARITHMETIC = (
    *("add", "sub", "mul", "matmul", "truediv", "floordiv", "mod", "pow"),
    *("lshift", "rshift", "and", "or", "xor"),
)
_QUESTIONS = (
    *("len", "next", "reversed", "abs", "neg", "pos", "invert"),
    *("getitem", "setitem", "delitem"),
)
_CONVERSIONS = {
    "int": int,
    "float": float,
    "complex": complex,
    "index": operator.index,
    "round": round,
    "trunc": math.trunc,
    "floor": math.floor,
    "ceil": math.ceil,
}

# Python looks operators up on the type, so `__getattr__` is not asked for them.
for _name in (*_COMPARISONS, *_ARITHMETIC):
    setattr(Reference, f"__{_name}__", _operator(f"__{_name}__"))
for _name in _ARITHMETIC:
    setattr(Reference, f"__r{_name}__", _operator(f"__{_name}__", swapped=True))
    setattr(Reference, f"__i{_name}__", _operator(f"__i{_name}__", decided_here=False))
for _name in _QUESTIONS:
    setattr(Remote, f"__{_name}__", _unary(_name))
for _name, _function in _CONVERSIONS.items():
    setattr(Remote, f"__{_name}__", _conversion(_name, _function))

# A class for each plain type that cannot change, so that tests may use its values as such.
_VALUES: dict[type, Any] = {
    kind: type(f"Remote {kind.__name__}", (Reference, kind), {}) for kind in EXTENDED
}
