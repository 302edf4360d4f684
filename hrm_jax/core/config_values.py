"""Converts and checks the values of configs, one by one, against what their fields declare.

`hrm_jax.core.config` is the entry point.
"""

import dataclasses
import difflib
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, Literal, Union

from hrm_jax.core.config_fields import Constraint, OwnField, own_fields, type_name
from hrm_jax.core.errors import UserError

TYPE = "type"
"""Key for the class's name in a config's plain form, if its field takes several classes."""


class ConfigError(UserError, ValueError):
    """A config's field is unknown, missing, of a wrong type, or has an impossible value.

    Attributes:
        path: dotted path of the field, such as `model.num_heads`.
        problem: what was expected, what came, and what to do.
    """

    def __init__(self, path: str, problem: str):
        super().__init__(path, problem)
        self.path = path
        self.problem = problem

    def __str__(self) -> str:
        return f"{self.path}: {self.problem}" if self.path else self.problem


def unknown_field(path: str, known: list[str]) -> ConfigError:
    """Returns the error for an unknown field, which names the nearest of the `known` paths."""
    leaf = path.rpartition(".")[2]

    def likeness(candidate: str) -> float:
        # The last name counts as much as the whole path: `hidden_size` is `model.hidden_size`.
        own = candidate.rpartition(".")[2]
        whole = difflib.SequenceMatcher(None, path, candidate).ratio()
        return whole + difflib.SequenceMatcher(None, leaf, own).ratio()

    if not known:
        return ConfigError(path, "unknown field; this config has no fields")
    # The path leads to a whole config, so its fields are named.
    inside = [candidate for candidate in known if candidate.startswith(path + ".")]
    if inside:
        return ConfigError(path, f"expected one field, got a config; set {' or '.join(inside)}")
    return ConfigError(path, f"unknown field; the nearest is {max(known, key=likeness)}")


def to_plain(value: Any, annotation: Any, path: str) -> Any:
    """Returns the JSON form of `value`, from a field with this annotation.

    Raises:
        ConfigError: JSON cannot represent it.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        dot = path and path + "."
        plain = {
            own.name: to_plain(getattr(value, own.name), own.annotation, dot + own.name)
            for own in own_fields(type(value))
        }
        # A field that takes one class needs no name of it in files.
        named = len(_configs(annotation)) > 1
        return {TYPE: _type_in_files(type(value)), **plain} if named else plain
    if isinstance(value, tuple):
        return [
            to_plain(item, _item_annotation(annotation, i), f"{path}[{i}]")
            for i, item in enumerate(value)
        ]
    # JSON has neither infinities nor NaN.
    finite = not isinstance(value, float) or math.isfinite(value)
    if value is None or (type(value) in (bool, int, float, str) and finite):
        return value
    raise ConfigError(
        path,
        f"expected a finite number, text, a bool, None, a tuple or a config, got {value!r} "
        f"({type(value).__name__}); store a plain Python value, and None for 'no limit'",
    )


def _type_in_files(cls: type) -> str:
    """Returns the name of a config's class in files, which outlives renaming the class."""
    return getattr(cls, "type_in_files", cls.__name__)


def _configs(annotation: Any) -> list[type]:
    """Returns the classes of configs that a field with this annotation takes."""
    union = typing.get_origin(annotation) in (Union, types.UnionType)
    choices = typing.get_args(annotation) if union else (annotation,)
    return [c for c in choices if isinstance(c, type) and dataclasses.is_dataclass(c)]


def _item_annotation(annotation: Any, index: int) -> Any:
    """Returns the annotation of a tuple's item; None where a union of tuples leaves it open."""
    arguments = typing.get_args(annotation) if typing.get_origin(annotation) is tuple else ()
    # `tuple[int, ...]`: all items have one annotation.
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        return arguments[0]
    return arguments[index] if index < len(arguments) else None


def settle(config: Any) -> None:
    """Converts and checks the fields of a config that is being constructed, in place.

    Raises:
        ConfigError: a value is of a wrong type, or breaks its field's constraint.
    """
    for own in own_fields(type(config)):
        given = getattr(config, own.name)
        value = convert_field(own, given, own.name, type(config))
        if value is not given:
            # The config is frozen, but still under construction.
            object.__setattr__(config, own.name, value)


def convert_field(own: OwnField, value: Any, path: str, root: type) -> Any:
    """Returns `value` converted for the field at `path`; a ConfigError gets the field's remedy."""
    try:
        value = convert(own.annotation, value, path, root)
        _check_constraint(own.constraint, value, path)
    except ConfigError as error:
        # The error of a field further inside ends with that field's own remedy.
        of_inner_config = "." in error.path.removeprefix(path)
        if of_inner_config or not own.remedy:
            raise
        raise ConfigError(error.path, f"{error.problem}; {own.remedy}") from error
    return value


def _check_constraint(constraint: Constraint, value: Any, path: str) -> None:
    if isinstance(value, tuple):
        if constraint.nonempty and not value:
            raise ConfigError(path, "expected one or more, got ()")
        for index, item in enumerate(value):
            _check_constraint(constraint, item, f"{path}[{index}]")
    elif not constraint.allows(value):
        raise ConfigError(path, f"expected {constraint}, got {value!r}")


def convert(annotation: Any, value: Any, path: str, root: type) -> Any:
    """Returns `value` as an instance of `annotation`; raises ConfigError, naming `path`."""
    origin = typing.get_origin(annotation)
    arguments = typing.get_args(annotation)
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
        # A config that is made already has passed its checks.
        if isinstance(value, annotation):
            return value
        if isinstance(value, Mapping):
            return _build(annotation, value, path, root)
    elif origin in (Union, types.UnionType):
        return _convert_union(annotation, value, path, root)
    elif origin is Literal:
        # `1 == True`, so the type has to agree as well.
        if any(value == choice and type(value) is type(choice) for choice in arguments):
            return value
    elif origin is tuple:
        if isinstance(value, (list, tuple)):
            return _convert_tuple(annotation, value, path, root)
    elif annotation is float:
        # `type` and not `isinstance`, by which True is a number.
        if type(value) in (int, float) and math.isfinite(value):
            return float(value)
    elif annotation in (bool, int, str, types.NoneType):
        if type(value) is annotation:
            return value
    else:
        raise ConfigError(
            path,
            f"expected a field of type bool, int, float, str, None, Literal, tuple or a config, "
            f"got {type_name(annotation)}; annotate it with one of these",
        )
    raise ConfigError(path, _mismatch(annotation, value))


def _convert_union(annotation: Any, value: Any, path: str, root: type) -> Any:
    arguments = typing.get_args(annotation)
    configs = _configs(annotation)
    # A mapping can only mean a config, whose own message says more than "no match".
    if isinstance(value, Mapping) and configs:
        if len(configs) == 1:
            return convert(configs[0], value, path, root)
        cls = _named_config(configs, value.get(TYPE), f"{path}.{TYPE}")
        return convert(cls, {n: v for n, v in value.items() if n != TYPE}, path, root)
    # An exact type wins over a conversion: 3 stays an int in `float | int`.
    for argument in sorted(arguments, key=lambda a: type(value) is not a):
        try:
            return convert(argument, value, path, root)
        except ConfigError:
            continue
    raise ConfigError(path, _mismatch(annotation, value))


def _named_config(configs: list[type], name: Any, path: str) -> type:
    """Returns the class, of several, that a plain config names."""
    for cls in configs:
        if _type_in_files(cls) == name:
            return cls
    known = " or ".join(map(_type_in_files, configs))
    raise ConfigError(path, f"expected {known}, got {name!r}; name the config's class")


def _convert_tuple(annotation: Any, value: Any, path: str, root: type) -> tuple:
    arguments = typing.get_args(annotation)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        # `tuple[int, ...]` takes any number of items.
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        raise ConfigError(path, _mismatch(annotation, value))
    pairs = enumerate(zip(arguments, value, strict=True))
    return tuple(convert(a, item, f"{path}[{i}]", root) for i, (a, item) in pairs)


def _build(cls: type, mapping: Mapping[str, Any], path: str, root: type) -> Any:
    dot = path and path + "."
    own = {field.name: field for field in own_fields(cls)}
    # Names come first: a misspelt field would otherwise be reported as missing.
    for name in mapping:
        if name not in own:
            raise unknown_field(f"{dot}{name}", _paths(root))
    values = {
        name: convert_field(field, mapping[name], dot + name, root)
        for name, field in own.items()
        if name in mapping
    }
    # Checked here and not left to the constructor, whose TypeError would not name the path.
    for item in dataclasses.fields(cls):
        default = (item.default, item.default_factory)
        required = default == (dataclasses.MISSING, dataclasses.MISSING)
        if required and item.init and item.name not in values:
            expected = type_name(own[item.name].annotation)
            raise ConfigError(dot + item.name, f"expected {expected}, got nothing; give a value")
    return _construct(cls, values, dot)


def replace_fields(config: Any, overrides: dict[str, Any], path: str, root: type) -> Any:
    """Returns `config`, found at `path`, with the fields at dotted paths changed.

    Raises:
        ConfigError: a path is unknown, or a value breaks its field's type or constraint.
    """
    dot = path and path + "."
    if not dataclasses.is_dataclass(config):
        name = next(iter(overrides))
        raise ConfigError(
            dot + name,
            f"expected {path} to be a config with fields, got {config!r}; set {path} as a whole, "
            f"or start from a preset that has it",
        )
    own = {field.name: field for field in own_fields(type(config))}
    values = {name: getattr(config, name) for name in own}
    inner: dict[str, dict[str, Any]] = {}
    for key, value in overrides.items():
        name, _, rest = key.partition(".")
        if name not in own:
            raise unknown_field(dot + key, _paths(root))
        if rest:
            inner.setdefault(name, {})[rest] = value
        else:
            values[name] = convert_field(own[name], value, dot + name, root)
    # After whole values: `model` may be replaced, and `model.hidden_size` then changed in it.
    for name, changes in inner.items():
        values[name] = replace_fields(values[name], changes, dot + name, root)
    return _construct(type(config), values, dot)


def _construct(cls: type, values: dict[str, Any], dot: str) -> Any:
    try:
        return cls(**values)
    # It comes from the config itself, which does not know its path from the root.
    except ConfigError as error:
        raise ConfigError(dot + error.path, error.problem) from error


def _paths(cls: type, path: str = "") -> list[str]:
    """Returns the dotted paths of all fields that a `cls` can have."""
    found = []
    for name, annotation, *_ in own_fields(cls):
        # A field's config is its type, or a member of its union.
        inner = [a for a in (annotation, *typing.get_args(annotation)) if isinstance(a, type)]
        configs = [a for a in inner if dataclasses.is_dataclass(a)]
        found += [p for a in configs for p in _paths(a, f"{path}{name}.")] or [path + name]
    return found


def _mismatch(annotation: Any, value: Any) -> str:
    return f"expected {type_name(annotation)}, got {value!r} ({type(value).__name__})"
