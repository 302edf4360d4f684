"""Forms of configurations: which fields there are, what was filled in, what the command line is."""

import ast
import contextlib
import dataclasses
import functools
import logging
import shlex
import threading
import typing
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal

from hrm_jax.core import config as config_lib
from hrm_jax.core.config import FieldInfo
from hrm_jax.core.config_fields import type_name
from hrm_jax.core.config_values import ConfigError
from hrm_jax.core.errors import UserError

_LOG = logging.getLogger(__name__)
_LOADING = threading.Lock()
"""Held while presets are imported: two threads in the middle of one cycle of imports may find each
other's modules half made."""


@dataclasses.dataclass(frozen=True)
class Experiment:
    """What the studio can start.

    Attributes:
      name: how the page calls it.
      module: `python -m MODULE` starts it.
      load: returns configurations by name; called once, as it may import JAX, which takes seconds.
      thinker: `python -m THINKER --checkpoint=...` solves puzzles with a model of it, as
        `hrm_jax.studio.thinking` says; empty where it cannot.
      author: likewise writes code.
      models: returns the names of further models that the author takes by `--model`.
    """

    name: str
    module: str
    load: Callable[[], Mapping[str, Any]]
    thinker: str = ""
    author: str = ""
    models: Callable[[], Sequence[str]] = tuple

    @functools.cached_property
    def presets(self) -> Mapping[str, Any]:
        """Configurations by name.

        Raises:
          FormError: what they need is not installed.
        """
        try:
            with _LOADING:
                return self.load()
        except ImportError as error:
            _LOG.warning("%s cannot be started: %s", self.name, error)
            raise FormError({"": f"{self.name} cannot be started: {error}"}) from error

    @property
    def is_loaded(self) -> bool:
        """Whether its presets are there already."""
        return "presets" in self.__dict__

    @property
    def kind(self) -> type:
        """The class of its configurations."""
        return type(next(iter(self.presets.values())))


class FormError(UserError, ValueError):
    """What was filled in cannot be started.

    Attributes:
      problems: what is wrong, by path; an empty path for the whole.
    """

    def __init__(self, problems: Mapping[str, str]):
        super().__init__("; ".join(f"{path}: {text}" for path, text in problems.items()))
        self.problems = dict(problems)


@dataclasses.dataclass(frozen=True)
class Filled:
    """A form whose values make a valid configuration.

    Attributes:
      config: that configuration.
      flags: `--preset` and `--config.*` of the command line that says the same.
      changed: paths that differ from the preset.
    """

    config: Any
    flags: tuple[str, ...]
    changed: tuple[str, ...]


def load_all(experiments: Mapping[str, Experiment]) -> list[Experiment]:
    """Returns those that can be started, with their presets; the first call takes seconds."""
    found = []
    for experiment in experiments.values():
        with contextlib.suppress(FormError):
            if experiment.presets:
                found.append(experiment)
    return found


def describe(experiment: Experiment, preset: str) -> list[dict[str, Any]]:
    """Returns the fields of a form, in order, as JSON holds them."""
    return [_describe(leaf) for leaf in config_lib.fields(_preset(experiment, preset))]


def fill(experiment: Experiment, preset: str, texts: Mapping[str, str]) -> Filled:
    """Returns what a form says.

    Args:
      experiment: what is started.
      preset: the configuration that it starts from.
      texts: what was written into fields, by path; those left as they were may be absent.

    Raises:
      FormError: a field is unknown or has a wrong value, or values do not fit together.
    """
    base = _preset(experiment, preset)
    leaves = {leaf.path: leaf for leaf in config_lib.fields(base)}
    changes: dict[str, Any] = {}
    problems: dict[str, str] = {}
    for path, text in texts.items():
        if path not in leaves:
            problems[path] = config_lib.unknown_field(path, list(leaves)).problem
        elif text != as_text(leaves[path].value):
            changes[path] = parse(text, leaves[path].annotation)
            problems |= _problems(lambda path=path: config_lib.replace(base, {path: changes[path]}))
    # One by one above, so that all are told; fields that depend on each other only together.
    together = _problems(lambda: config_lib.replace(base, changes)) if changes else {}
    if together or problems.keys() - leaves.keys():
        wrong = {path: text for path, text in problems.items() if path in texts}
        raise FormError(wrong | together)
    flags = [f"--config.{path}={as_text(value)}" for path, value in changes.items()]
    return Filled(config_lib.replace(base, changes), (f"--preset={preset}", *flags), tuple(changes))


def command_line(experiment: Experiment, flags: tuple[str, ...]) -> str:
    """Returns the command as a shell takes it."""
    return shlex.join(["python", "-m", experiment.module, *flags])


def as_text(value: Any) -> str:
    """Returns a value as flags and forms write it: as Python does, but text without quotes."""
    return value if isinstance(value, str) else repr(value)


def parse(text: str, annotation: Any) -> Any:
    """Returns the value that a text means for a field; the text itself where it means none."""
    is_text = annotation is str or (
        typing.get_origin(annotation) is Literal
        and all(isinstance(choice, str) for choice in typing.get_args(annotation))
    )
    if is_text:
        return text
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return text


def recognise(experiments: Mapping[str, Experiment], plain: Mapping[str, Any]) -> str:
    """Returns which experiment a run's `config.json` is of; empty where it is of none.

    Experiments that are not loaded yet are passed over: who looks on does not wait for them.
    """
    for name, experiment in experiments.items():
        if plain and experiment.is_loaded and _is_of(experiment.kind, plain):
            return name
    return ""


def _preset(experiment: Experiment, preset: str) -> Any:
    if preset not in experiment.presets:
        known = ", ".join(experiment.presets)
        raise FormError({"": f"preset: expected one of {known}, got {preset!r}"})
    return experiment.presets[preset]


def _is_of(kind: type, plain: Mapping[str, Any]) -> bool:
    return not _problems(lambda: config_lib.from_dict(kind, plain))


def _problems(attempt: Callable[[], object]) -> dict[str, str]:
    try:
        attempt()
    except ConfigError as error:
        return {error.path: error.problem}
    return {}


def _describe(leaf: FieldInfo) -> dict[str, Any]:
    # A tuple of configs has no form as text that could be read again, nor a config that is absent.
    is_tuple = isinstance(leaf.value, tuple) and any(map(dataclasses.is_dataclass, leaf.value))
    is_absent = any(map(dataclasses.is_dataclass, typing.get_args(leaf.annotation)))
    choices: list[str] = []
    if leaf.annotation is bool:
        choices = ["True", "False"]
    elif typing.get_origin(leaf.annotation) is Literal:
        choices = [as_text(choice) for choice in typing.get_args(leaf.annotation)]
    return {
        "path": leaf.path,
        "value": f"{len(leaf.value)} of them" if is_tuple else as_text(leaf.value),
        "help": leaf.help,
        "allowed": leaf.allowed,
        "type": type_name(leaf.annotation).replace("a finite float", "float"),
        "choices": choices,
        "fixed": is_tuple or is_absent,
    }
