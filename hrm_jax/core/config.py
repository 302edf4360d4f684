"""What configs, which are frozen dataclasses, share: constraints, dicts, JSON and overrides.

A config may hold `bool`, `int`, `float`, `str`, `None`, `Literal[...]`, `tuple[...]`, unions of
these, and other configs. What a value must be beyond its type is declared on its field;
`__post_init__` checks only what concerns several fields together:

    @configclass
    class ModelConfig:
        hidden_size: int = field(256, help="D, the width of the residual stream", at_least=1)
        num_heads: int = field(8, help="N, attention heads", at_least=1)
        dropout: float = field(0.0, help="share of activations left out", at_least=0, less_than=1)
        activation: Literal["relu", "swiglu"] = "swiglu"

        def __post_init__(self):
            check(self.hidden_size % self.num_heads == 0, "num_heads",
                  expected=f"a divisor of hidden_size={self.hidden_size}", got=self.num_heads,
                  remedy="set num_heads or hidden_size so that one divides the other")

`ModelConfig(hidden_size=0)` says `hidden_size: expected 1 or more, got 0; set 1 or more`.

A config knows only its own field names. `from_dict` and `replace` add the path from the root, so
that the message reads `model.num_heads: expected a divisor of hidden_size=256, got 7; set ...`.

Where a field takes configs of several classes, plain forms name the class under `type`:
`{"model": {"type": "ModelConfig", "hidden_size": 64}}`. A renamed class keeps its name in files,
and so reads older ones, by `type_in_files: ClassVar[str] = "ModelConfig"`.
"""

import dataclasses
import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, TypeVar, dataclass_transform

from hrm_jax.core.config_fields import Constraint, own_fields
from hrm_jax.core.config_values import (
    ConfigError,
    convert,
    replace_fields,
    settle,
    to_plain,
)
from hrm_jax.core.config_values import (
    unknown_field as unknown_field,
)

Config = TypeVar("Config")


class FieldInfo(NamedTuple):
    """One field of a config that is not itself a config.

    Attributes:
        path: dotted path from the root.
        annotation: its type.
        value: its value.
        help: its line of help.
        allowed: what its value must be beyond its type, such as `0 to 1`; empty for anything.
        path_holds: as in `field`.
    """

    path: str
    annotation: Any
    value: Any
    help: str
    allowed: str
    path_holds: str | None


@dataclass_transform(frozen_default=True, field_specifiers=(dataclasses.field,))
def configclass(cls: type[Config]) -> type[Config]:
    """Makes a class a frozen dataclass whose constructor checks its fields.

    Values are converted as by `from_dict` (an int for a float becomes a float, a list for a tuple a
    tuple), so that equal configs hold equal values and every config is hashable. They are checked
    against annotations and constraints, and then by the class's own `__post_init__`, which may
    therefore rely on each value by itself. Constructors raise `ConfigError`.
    """
    # The class's own check, to run behind those of single fields.
    check_together = getattr(cls, "__post_init__", lambda config: None)

    def post_init(self: Config) -> None:
        settle(self)
        check_together(self)

    # Set before `dataclass` runs, which generates an `__init__` that calls `__post_init__`.
    cls.__post_init__ = post_init  # pyright: ignore[reportAttributeAccessIssue]
    return dataclasses.dataclass(frozen=True)(cls)


def field(
    default: Any = dataclasses.MISSING,
    *,
    help: str = "",
    at_least: float | None = None,
    more_than: float | None = None,
    at_most: float | None = None,
    less_than: float | None = None,
    multiple_of: int | None = None,
    one_of: tuple[str, ...] = (),
    nonempty: bool = False,
    remedy: str = "",
    path_holds: str | None = None,
) -> Any:
    """Returns a field of a `configclass`, with the constraints on its value.

    For a field that holds a tuple, constraints are on its items; None always passes. Floats are
    finite and `Literal`s hold one of their values without any constraint.

    Args:
        default: the default value; without it, the field is required.
        help: a line that `--help` of an experiment shows, with the constraint.
        at_least: the smallest allowed number.
        more_than: an exclusive lower bound.
        at_most: the largest allowed number.
        less_than: an exclusive upper bound.
        multiple_of: divisor of the number.
        one_of: the allowed texts, if they are not a fixed choice that a `Literal` could name.
        nonempty: whether a tuple must have an item.
        remedy: the end of the message about a wrong value: what to set, or what a good value means;
          by default, what is allowed.
        path_holds: for a text that may be a path, what is found below it where it is one: a file's
          name, or `.` where the path may lead to anything.
    """
    constraint = Constraint(
        at_least=at_least,
        more_than=more_than,
        at_most=at_most,
        less_than=less_than,
        multiple_of=multiple_of,
        one_of=one_of,
        nonempty=nonempty,
    )
    if not remedy and str(constraint):
        remedy = "set one of these" if one_of else f"set {constraint}"
    metadata = {"help": help, "constraint": constraint, "remedy": remedy, "path_holds": path_holds}
    return dataclasses.field(default=default, metadata=metadata)


def check(condition: bool, path: str, *, expected: str, got: object, remedy: str) -> None:
    """Raises `ConfigError` with `path: expected ..., got ...; remedy` unless `condition` holds.

    For conditions on several fields together, or on no field at all.
    """
    if not condition:
        raise ConfigError(path, f"expected {expected}, got {got!r}; {remedy}")


def fields(config: Any, path: str = "") -> Iterator[FieldInfo]:
    """Yields every field that is not itself a config, depth first, in order of definition."""
    for own in own_fields(type(config)):
        value = getattr(config, own.name)
        # By its value: the field may take several classes of configs, or None.
        if dataclasses.is_dataclass(value):
            yield from fields(value, f"{path}{own.name}.")
        else:
            yield FieldInfo(
                path + own.name, own.annotation, value, own.help, own.allowed, own.path_holds
            )


def to_dict(config: Any) -> dict[str, Any]:
    """Returns the config as nested dicts of JSON values; tuples become lists.

    Raises:
        ConfigError: a value is not representable in JSON, such as an array or an infinity.
    """
    return to_plain(config, type(config), "")


def from_dict(cls: type[Config], mapping: Mapping[str, Any]) -> Config:
    """Builds a `cls` from nested mappings, checking every name, type and value.

    Fields left out take their defaults. An int is accepted for a float, a list for a tuple.

    Raises:
      ConfigError: a field is unknown, missing, of a wrong type, or breaks a constraint.
    """
    return convert(cls, mapping, "", cls)


def replace(config: Config, overrides: Mapping[str, Any]) -> Config:
    """Returns `config` with the fields at dotted paths changed: `{"model.hidden_size": 256}`.

    All changes are made before fields are checked together, so fields that depend on each other can
    be changed together. A value may be a whole config; longer paths then change fields inside it.

    Raises:
        ConfigError: as `from_dict`.
    """
    return replace_fields(config, dict(overrides), "", type(config))


def to_json(config: Any) -> str:
    """Returns the config as indented JSON text; raises as `to_dict`."""
    return json.dumps(to_dict(config), indent=2) + "\n"


def from_json(cls: type[Config], text: str) -> Config:
    """Returns the config that `to_json` wrote; raises as `from_dict`, and for invalid JSON."""
    try:
        mapping = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError("", f"expected JSON text of a {cls.__name__}, got {error}") from error
    return from_dict(cls, mapping)
