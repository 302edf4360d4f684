"""What the fields of configs declare: types, constraints, help and remedies.

`hrm_jax.core.config` is the entry point; `config_values` checks values against these.
"""

import dataclasses
import functools
import types
import typing
from typing import Any, Literal, NamedTuple, Union


@dataclasses.dataclass(frozen=True)
class Constraint:
    """Bounds of a number, choices of a text, and whether a tuple may be empty.

    For a field that holds a tuple, numbers and texts are its items. None always passes, as the
    field's type decides on it. `str()` describes what an item must be, such as `0 to 1`.

    Attributes:
      at_least, more_than: the lower bound, inclusive or exclusive.
      at_most, less_than: the upper bound, inclusive or exclusive.
      multiple_of: divisor of the number.
      one_of: the allowed texts; empty for any. A fixed choice is better written as a `Literal`.
      nonempty: whether the tuple must have an item.
    """

    at_least: float | None = None
    more_than: float | None = None
    at_most: float | None = None
    less_than: float | None = None
    multiple_of: int | None = None
    one_of: tuple[str, ...] = ()
    nonempty: bool = False

    @property
    def of_numbers(self) -> bool:
        """Whether it constrains numbers."""
        bounds = (self.at_least, self.more_than, self.at_most, self.less_than, self.multiple_of)
        return any(bound is not None for bound in bounds)

    def allows(self, item: object) -> bool:
        """Returns whether the constraint admits an item, which is not a tuple."""
        # Bounds are of numbers and choices of texts: a union of both may have one of each.
        if isinstance(item, str):
            return not self.one_of or item in self.one_of
        # None, or a config: the field's type decides on them.
        if not isinstance(item, int | float):
            return True
        return (
            (self.at_least is None or item >= self.at_least)
            and (self.more_than is None or item > self.more_than)
            and (self.at_most is None or item <= self.at_most)
            and (self.less_than is None or item < self.less_than)
            and (self.multiple_of is None or item % self.multiple_of == 0)
        )

    def __str__(self) -> str:
        parts = []
        if self.multiple_of is not None:
            parts.append(f"a multiple of {self.multiple_of}")
        # Both bounds are said as one: `0 to 1`.
        if self.at_least is not None and self.at_most is not None:
            parts.append(f"{self.at_least} to {self.at_most}")
        elif self.at_least is not None:
            parts.append(f"{self.at_least} or more")
        if self.more_than is not None:
            parts.append(f"more than {self.more_than}")
        if self.at_most is not None and self.at_least is None:
            parts.append(f"at most {self.at_most}")
        if self.less_than is not None:
            parts.append(f"less than {self.less_than}")
        if self.one_of:
            parts.append("one of " + ", ".join(map(repr, self.one_of)))
        return " and ".join(parts)


UNCONSTRAINED = Constraint()


class OwnField(NamedTuple):
    """The declaration of one field."""

    name: str
    annotation: Any
    help: str
    constraint: Constraint
    remedy: str
    path_holds: str | None

    @property
    def allowed(self) -> str:
        """What the value must be beyond its type, such as `0 to 1 or None`; may be empty."""
        parts = [type_name(part) for part in _parts(self.annotation) if _is_literal(part)]
        parts += [str(self.constraint)] if str(self.constraint) else []
        text = " or ".join(parts)
        if typing.get_origin(self.annotation) is tuple:
            text = f"each {text}" if text else ""
        elif text and types.NoneType in _parts(self.annotation):
            text += " or None"
        some = "one or more" if self.constraint.nonempty else ""
        return ", ".join(part for part in (some, text) if part)


@functools.cache
def own_fields(cls: type) -> tuple[OwnField, ...]:
    """Returns the declarations of a class's fields, computed once for each class.

    Raises:
        TypeError: a constraint is for numbers, texts or tuples, and the field holds none.
    """
    # Annotations may be strings, and those of base classes count: this resolves both.
    hints = typing.get_type_hints(cls)
    found = []
    for item in dataclasses.fields(cls):
        # Others are computed by the config itself and never given.
        if item.init:
            own = OwnField(
                name=item.name,
                annotation=hints[item.name],
                help=item.metadata.get("help", ""),
                constraint=item.metadata.get("constraint", UNCONSTRAINED),
                remedy=item.metadata.get("remedy", ""),
                path_holds=item.metadata.get("path_holds"),
            )
            _refuse_idle(own, cls)
            found.append(own)
    return tuple(found)


def _refuse_idle(own: OwnField, cls: type) -> None:
    """Raises TypeError for a constraint that could never reject a value of its field."""
    parts = _parts(own.annotation)
    needed = ""
    if own.constraint.of_numbers and not (int in parts or float in parts):
        needed = "int or float"
    if (own.constraint.one_of or own.path_holds) and str not in parts:
        needed = "str"
    if own.constraint.nonempty and typing.get_origin(own.annotation) is not tuple:
        needed = "tuple"
    if needed:
        raise TypeError(
            f"{cls.__name__}.{own.name}: expected a field of {needed} for its constraint, got "
            f"{type_name(own.annotation)}; change either"
        )


def _parts(annotation: Any) -> list[Any]:
    """Returns the types in an annotation, with unions and tuples taken apart."""
    if typing.get_origin(annotation) in (Union, types.UnionType, tuple):
        return [part for inner in typing.get_args(annotation) for part in _parts(inner)]
    return [annotation]


def _is_literal(annotation: Any) -> bool:
    return typing.get_origin(annotation) is Literal


def type_name(annotation: Any) -> str:
    """Returns a type's name for messages, such as `int or None`."""
    if _is_literal(annotation):
        return "one of " + ", ".join(repr(choice) for choice in typing.get_args(annotation))
    if annotation in (float, types.NoneType):
        return "a finite float" if annotation is float else "None"
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(type_name(a) for a in typing.get_args(annotation))
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return annotation.__name__
    return str(annotation)
