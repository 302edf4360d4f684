"""Configs are frozen dataclasses; here is what they share: checks, dicts, JSON and overrides.

A config may hold `bool`, `int`, `float`, `str`, `None`, `Literal[...]`, `tuple[...]`, unions of
these, and other configs. It checks itself in `__post_init__` with `check`:

    @dataclasses.dataclass(frozen=True)
    class ModelConfig:
        hidden_size: int = field(256, help="D, the width of the residual stream")
        num_heads: int = 8

        def __post_init__(self):
            check(self.hidden_size % self.num_heads == 0, "num_heads",
                  expected=f"a divisor of hidden_size={self.hidden_size}", got=self.num_heads,
                  remedy="set num_heads or hidden_size so that one divides the other")

A config knows only its own field names. `from_dict` and `replace` add the way from the root, so
that the message reads `model.num_heads: expected a divisor of hidden_size=256, got 7; set ...`.
"""

import dataclasses
import difflib
import json
import math
import types
import typing
from collections.abc import Iterator, Mapping
from typing import Any, Literal, NamedTuple, TypeVar, Union

Config = TypeVar("Config")


class ConfigError(ValueError):
    """A config's field is unknown, missing, of a wrong type, or has a value that cannot be.

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


class FieldInfo(NamedTuple):
    """One field of a config that is not itself a config."""

    path: str
    annotation: Any
    value: Any
    help: str


def field(default: Any = dataclasses.MISSING, *, help: str) -> Any:
    """A dataclass field with a line of help, which `--help` of an experiment shows."""
    return dataclasses.field(default=default, metadata={"help": help})


def check(condition: bool, path: str, *, expected: str, got: object, remedy: str) -> None:
    """Raises `ConfigError` with `path: expected ..., got ...; remedy` unless `condition` holds."""
    if not condition:
        raise ConfigError(path, f"expected {expected}, got {got!r}; {remedy}")


def fields(config: Any, path: str = "") -> Iterator[FieldInfo]:
    """Yields every field that is not itself a config, depth first, in order of definition."""
    for name, annotation, help_line in _own_fields(type(config)):
        value = getattr(config, name)
        if dataclasses.is_dataclass(value):
            yield from fields(value, f"{path}{name}.")
        else:
            yield FieldInfo(path + name, annotation, value, help_line)


def to_dict(config: Any) -> dict[str, Any]:
    """The config as nested dicts of JSON values; tuples become lists.

    Raises:
        ConfigError: a field holds what JSON cannot, such as an array or an infinite number.
    """
    return _plain(config, "")


def from_dict(cls: type[Config], mapping: Mapping[str, Any]) -> Config:
    """Builds a `cls` from nested mappings, checking every name, type and value.

    Fields left out take their defaults. An int is accepted for a float, a list for a tuple.

    Raises:
        ConfigError: a field is unknown, missing, of a wrong type, or fails its config's check.
    """
    return _convert(cls, mapping, "", cls)


def replace(config: Config, overrides: Mapping[str, Any]) -> Config:
    """Returns `config` with the fields at dotted paths changed: `{"model.hidden_size": 256}`.

    All changes are made before anything is checked, so fields that depend on each other can
    change together. A value may be a whole config; longer paths then change fields inside it.

    Raises:
        ConfigError: as `from_dict`.
    """
    return _replace(config, dict(overrides), "", type(config))


def to_json(config: Any) -> str:
    """The config as indented JSON text; raises as `to_dict`."""
    return json.dumps(to_dict(config), indent=2) + "\n"


def from_json(cls: type[Config], text: str) -> Config:
    """Reads what `to_json` wrote; raises `ConfigError` as `from_dict`, and for broken JSON."""
    try:
        mapping = json.loads(text)
    except json.JSONDecodeError as error:
        raise ConfigError("", f"expected JSON text of a {cls.__name__}, got {error}") from error
    return from_dict(cls, mapping)


def unknown_field(path: str, known: list[str]) -> ConfigError:
    """The error for a field that does not exist, naming the nearest of the `known` paths."""
    leaf = path.rpartition(".")[2]

    def likeness(candidate: str) -> float:
        # The last name counts as much as the whole path: `hidden_size` is `model.hidden_size`.
        own = candidate.rpartition(".")[2]
        whole = difflib.SequenceMatcher(None, path, candidate).ratio()
        return whole + difflib.SequenceMatcher(None, leaf, own).ratio()

    if not known:
        return ConfigError(path, "unknown field; this config has no fields")
    inside = [candidate for candidate in known if candidate.startswith(path + ".")]
    if inside:
        return ConfigError(path, f"expected one field, got a config; set {' or '.join(inside)}")
    return ConfigError(path, f"unknown field; the nearest is {max(known, key=likeness)}")


def _own_fields(cls: type) -> Iterator[tuple[str, Any, str]]:
    hints = typing.get_type_hints(cls)
    for item in dataclasses.fields(cls):
        if item.init:
            yield item.name, hints[item.name], item.metadata.get("help", "")


def _plain(value: Any, path: str) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        dot = path and path + "."
        return {n: _plain(getattr(value, n), dot + n) for n, _, _ in _own_fields(type(value))}
    if isinstance(value, tuple):
        return [_plain(item, f"{path}[{i}]") for i, item in enumerate(value)]
    finite = not isinstance(value, float) or math.isfinite(value)
    if value is None or (type(value) in (bool, int, float, str) and finite):
        return value
    raise ConfigError(
        path,
        f"expected a finite number, text, a bool, None, a tuple or a config, got {value!r} "
        f"({type(value).__name__}); store a plain Python value, and None for 'no limit'",
    )


def _convert(annotation: Any, value: Any, path: str, root: type) -> Any:
    """`value` as an instance of `annotation`, or ConfigError naming `path`."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if dataclasses.is_dataclass(annotation) and isinstance(annotation, type):
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
        if type(value) in (int, float) and math.isfinite(value):
            return float(value)
    elif annotation in (bool, int, str, types.NoneType):
        if type(value) is annotation:
            return value
    else:
        raise ConfigError(
            path,
            f"expected a field of type bool, int, float, str, None, Literal, tuple or a config, "
            f"got {_type_name(annotation)}; annotate it with one of these",
        )
    raise ConfigError(path, _mismatch(annotation, value))


def _convert_union(annotation: Any, value: Any, path: str, root: type) -> Any:
    arguments = typing.get_args(annotation)
    configs = [a for a in arguments if dataclasses.is_dataclass(a)]
    if isinstance(value, Mapping) and len(configs) == 1:
        return _convert(configs[0], value, path, root)  # its own message says more than "no match"
    # An exact type wins over a conversion: 3 stays an int in `float | int`.
    for argument in sorted(arguments, key=lambda a: type(value) is not a):
        try:
            return _convert(argument, value, path, root)
        except ConfigError:
            continue
    raise ConfigError(path, _mismatch(annotation, value))


def _convert_tuple(annotation: Any, value: Any, path: str, root: type) -> tuple:
    arguments = typing.get_args(annotation)
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        arguments = (arguments[0],) * len(value)
    if len(arguments) != len(value):
        raise ConfigError(path, _mismatch(annotation, value))
    pairs = enumerate(zip(arguments, value, strict=True))
    return tuple(_convert(a, item, f"{path}[{i}]", root) for i, (a, item) in pairs)


def _build(cls: type, mapping: Mapping[str, Any], path: str, root: type) -> Any:
    dot = path and path + "."
    own = {name: annotation for name, annotation, _ in _own_fields(cls)}
    for name in mapping:
        if name not in own:
            raise unknown_field(f"{dot}{name}", _paths(root))
    values = {n: _convert(a, mapping[n], dot + n, root) for n, a in own.items() if n in mapping}
    for item in dataclasses.fields(cls):
        default = (item.default, item.default_factory)
        required = default == (dataclasses.MISSING, dataclasses.MISSING)
        if required and item.init and item.name not in values:
            expected = _type_name(own[item.name])
            raise ConfigError(dot + item.name, f"expected {expected}, got nothing; give a value")
    return _construct(cls, values, dot)


def _replace(config: Any, overrides: dict[str, Any], path: str, root: type) -> Any:
    dot = path and path + "."
    if not dataclasses.is_dataclass(config):
        name = next(iter(overrides))
        raise ConfigError(
            dot + name,
            f"expected {path} to be a config with fields, got {config!r}; set {path} as a whole, "
            f"or start from a preset that has it",
        )
    own = {name: annotation for name, annotation, _ in _own_fields(type(config))}
    values = {name: getattr(config, name) for name in own}
    inner: dict[str, dict[str, Any]] = {}
    for key, value in overrides.items():
        name, _, rest = key.partition(".")
        if name not in own:
            raise unknown_field(dot + key, _paths(root))
        if rest:
            inner.setdefault(name, {})[rest] = value
        else:
            values[name] = _convert(own[name], value, dot + name, root)
    for name, changes in inner.items():
        values[name] = _replace(values[name], changes, dot + name, root)
    return _construct(type(config), values, dot)


def _construct(cls: type, values: dict[str, Any], dot: str) -> Any:
    try:
        return cls(**values)
    except ConfigError as error:  # from __post_init__, which knows no way from the root
        raise ConfigError(dot + error.path, error.problem) from error


def _paths(cls: type, path: str = "") -> list[str]:
    """Dotted paths of all fields that a `cls` can have."""
    found = []
    for name, annotation, _ in _own_fields(cls):
        inner = [a for a in (annotation, *typing.get_args(annotation)) if isinstance(a, type)]
        configs = [a for a in inner if dataclasses.is_dataclass(a)]
        found += [p for a in configs for p in _paths(a, f"{path}{name}.")] or [path + name]
    return found


def _mismatch(annotation: Any, value: Any) -> str:
    return f"expected {_type_name(annotation)}, got {value!r} ({type(value).__name__})"


def _type_name(annotation: Any) -> str:
    if typing.get_origin(annotation) is Literal:
        return "one of " + ", ".join(repr(choice) for choice in typing.get_args(annotation))
    if annotation in (float, types.NoneType):
        return "a finite float" if annotation is float else "None"
    if typing.get_origin(annotation) in (Union, types.UnionType):
        return " or ".join(_type_name(a) for a in typing.get_args(annotation))
    if isinstance(annotation, type) and typing.get_origin(annotation) is None:
        return annotation.__name__
    return str(annotation)
