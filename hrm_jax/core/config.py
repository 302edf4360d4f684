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

Where a field takes configs of several classes, plain forms say under `type` which one is meant:
`{"model": {"type": "ModelConfig", "hidden_size": 64}}`. A class that was renamed keeps its name in
files, and so stays readable, by `type_in_files: ClassVar[str] = "ModelConfig"`.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar

from hrm_jax.core.config_values import (
    ConfigError,
    convert,
    own_fields,
    replace_fields,
    to_plain,
)
from hrm_jax.core.config_values import (
    unknown_field as unknown_field,
)

Config = TypeVar("Config")


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
    for name, annotation, help_line in own_fields(type(config)):
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
    return to_plain(config, type(config), "")


def from_dict(cls: type[Config], mapping: Mapping[str, Any]) -> Config:
    """Builds a `cls` from nested mappings, checking every name, type and value.

    Fields left out take their defaults. An int is accepted for a float, a list for a tuple.

    Raises:
        ConfigError: a field is unknown, missing, of a wrong type, or fails its config's check.
    """
    return convert(cls, mapping, "", cls)


def replace(config: Config, overrides: Mapping[str, Any]) -> Config:
    """Returns `config` with the fields at dotted paths changed: `{"model.hidden_size": 256}`.

    All changes are made before anything is checked, so fields that depend on each other can
    change together. A value may be a whole config; longer paths then change fields inside it.

    Raises:
        ConfigError: as `from_dict`.
    """
    return replace_fields(config, dict(overrides), "", type(config))


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
