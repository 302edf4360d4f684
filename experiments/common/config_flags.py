"""Command-line flags of an experiment: `--preset=<name>` and `--config.<path>=<value>`.

    _PRESETS = {"paper": Config(), "cpu_minute": replace(Config(), {"model.hidden_size": 64})}
    config_flags.define(_PRESETS, default="paper")

    def main(argv):
        config = config_flags.resolve()  # frozen and validated

Values are written as in Python: `--config.optim.betas="(0.9, 0.95)"`, `--config.seed=None`;
text needs no quotes, and `--config.data.shuffle` or `--noconfig.data.shuffle` sets a bool. A field
that may be None needs the `=`: after a blank, absl would read the value as an argument.
"""

import re
import sys
import typing
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, Literal, NoReturn, TypeVar

from absl import app, flags
from ml_collections import config_dict
from ml_collections import config_flags as ml_flags

from experiments.common import command
from hrm_jax.core import config as config_lib

Config = TypeVar("Config")
_PRESET_LINE_CHARACTERS = 100

flags.disclaim_key_flags()  # the flags belong to the experiment that defines them: see --help


class ConfigFlags(Generic[Config]):
    """The defined flags, for callers that do not use this module's `resolve`."""

    def __init__(self, presets: Mapping[str, Config], flag_values: flags.FlagValues):
        self._presets = presets
        self._flag_values = flag_values

    def resolve(self, base: Config | None = None) -> Config:
        """Returns a config with the overrides given; exits with a message if they do not fit.

        Args:
            base: what the overrides change, such as a resumed run's config; the chosen preset if
                None.
        """
        if base is None:
            # Only now: `--preset` has its value when the command line has been read.
            base = self._presets[str(self._flag_values["preset"].value)]
        # Overrides alone: the template also has fields that the chosen config does not have.
        overrides = ml_flags.get_override_values(self._flag_values["config"])
        try:
            return config_lib.replace(base, overrides)
        except config_lib.ConfigError as error:
            _leave(error)

    def refuse_unread(self, mode: str, reads: Mapping[str, Sequence[str]]) -> None:
        """Refuses flags of other modes, which would change nothing.

        Args:
            mode: the one that was chosen.
            reads: for each mode, names of its flags; `config` stands for all fields, `config.test`
                for those below.

        Raises:
            app.UsageError: the command line has such a flag; the message names the modes it is of.
        """
        # Flags that belong to no mode, such as absl's own, are not looked at.
        own = {name for names in reads.values() for name in names if not name.startswith("config")}
        given = [name for name in sorted(own) if self._flag_values[name].present]
        overrides = ml_flags.get_override_values(self._flag_values["config"])
        for flag in (*given, *(f"config.{path}" for path in overrides)):
            if not _covers(reads[mode], flag):
                others = ", ".join(other for other, names in reads.items() if _covers(names, flag))
                raise app.UsageError(
                    f"--mode={mode} does not read --{flag}, only {others} does; leave it out",
                    exitcode=2,
                )


_defined: ConfigFlags[Any] | None = None


def define(
    presets: Mapping[str, Config],
    default: str,
    *,
    flag_values: flags.FlagValues = flags.FLAGS,
    argv: Sequence[str] | None = None,
) -> ConfigFlags[Config]:
    """Defines `--preset` and `--config.*`; call once, at the top of an experiment.

    Args:
        presets: named configs. `--help` shows a config's `description` field where it has one,
            and otherwise how it differs from the default preset.
        default: the preset used when none is named.
        flag_values: where the flags are defined.
        argv: the command line, if not `sys.argv`: ml_collections makes a flag for each
            `--config.<path>` that it finds there.

    Returns:
        The flags, whose `resolve` is also this module's.

    Raises:
        KeyError: `default` is not among the presets.
        SystemExit: the command line names a field that no preset has; the message names the
            nearest one.
    """
    if default not in presets:
        raise KeyError(f"default: expected one of {', '.join(presets)}, got {default!r}")
    argv = list(sys.argv if argv is None else argv)
    # The default preset first: its values are shown in the help.
    leaves = _settable_fields([presets[default], *presets.values()])
    # --flagfile is expanded here, as it may hold config flags too.
    _refuse_unknown(flag_values.read_flags_from_files(argv, force_gnu=False), list(leaves))

    flags.DEFINE_enum(
        "preset", default, list(presets), _preset_help(presets, default), flag_values=flag_values
    )
    # A template of all fields of all presets, as flags must exist before --preset is read.
    ml_flags.DEFINE_config_dict(
        "config",
        _template(leaves.values()),
        _config_help(leaves.values(), presets[default]),
        flag_values=flag_values,
        sys_argv=argv,
    )
    flag_values["config"].default_as_str = None  # the help already lists every default
    flags.declare_key_flag("config", flag_values)
    # absl's flags are global as well, so the newest definition serves `resolve` without an
    # argument.
    global _defined
    _defined = ConfigFlags(presets, flag_values)
    return _defined


def resolve(base: Any = None) -> Any:
    """Returns the config that the last `define`d flags resolve to; see `ConfigFlags.resolve`.

    Raises:
        RuntimeError: nothing was defined.
        SystemExit: an override has a wrong type, or the config refuses the values together.
    """
    return _last_defined().resolve(base)


def refuse_unread(mode: str, reads: Mapping[str, Sequence[str]]) -> None:
    """Refuses flags of other modes, of the last `define`d flags.

    See `ConfigFlags.refuse_unread`.
    """
    _last_defined().refuse_unread(mode, reads)


def _last_defined() -> ConfigFlags[Any]:
    if _defined is None:
        raise RuntimeError("expected flags, got none; call config_flags.define(presets, ...) first")
    return _defined


def _covers(names: Sequence[str], flag: str) -> bool:
    return any(flag == name or flag.startswith(f"{name}.") for name in names)


def _settable_fields(presets: Iterable[Any]) -> dict[str, config_lib.FieldInfo]:
    leaves: dict[str, config_lib.FieldInfo] = {}
    for preset in presets:
        for leaf in config_lib.fields(preset):
            leaves.setdefault(leaf.path, leaf)  # the first preset's value is the one shown
    # Where one preset has None and another a config, the flags are those of the config's fields.
    configs = {path.rpartition(".")[0] for path in leaves}
    return {path: leaf for path, leaf in leaves.items() if path not in configs}


def _refuse_unknown(argv: Iterable[str], known: list[str]) -> None:
    # ml_collections would end with a traceback, before any main has begun.
    for argument in argv:
        match = re.match(r"--?(?:no)?config\.([^=]*)", argument)
        if match and match[1] not in known:
            _leave(config_lib.unknown_field(match[1], known))


def _leave(error: config_lib.ConfigError) -> NoReturn:
    sys.exit(command.refuse(f"--config.{error} (--help lists all fields)"))


def _template(leaves: Iterable[config_lib.FieldInfo]) -> config_dict.ConfigDict:
    """Returns all fields of all presets as placeholders, whose types tell how flags are read."""
    template: dict[str, Any] = {}
    for leaf in leaves:
        *parents, name = leaf.path.split(".")
        node = template
        for parent in parents:
            node = node.setdefault(parent, {})
        node[name] = config_dict.placeholder(_reading(leaf.annotation))
    return config_dict.ConfigDict(template)


def _reading(annotation: Any) -> type:
    """Returns the type by which a flag's text is read.

    `object` reads it as a Python literal, whose type `core.config.replace` checks.
    """
    if typing.get_origin(annotation) is tuple:
        return tuple
    if typing.get_origin(annotation) is Literal:
        # Choices of one type are read as that; of several, a literal's form tells which is meant.
        kinds = {type(choice) for choice in typing.get_args(annotation)}
        return kinds.pop() if len(kinds) == 1 else object
    return annotation if annotation in (bool, int, float, str) else object


def _preset_help(presets: Mapping[str, Any], default: str) -> str:
    lines = [f"{name}: {_describe(preset, presets[default])}" for name, preset in presets.items()]
    return "\n".join(["The config to start from:", *lines])


def _describe(preset: Any, default: Any) -> str:
    description = getattr(preset, "description", "")
    if description:
        return description
    # A preset without a description is told by what differs from the default one.
    base = {leaf.path: leaf.value for leaf in config_lib.fields(default)}
    changed = [
        f"{leaf.path}={leaf.value!r}"
        for leaf in config_lib.fields(preset)
        if leaf.path not in base or leaf.value != base[leaf.path]
    ]
    line = ", ".join(changed) or "the default"
    too_long = len(line) > _PRESET_LINE_CHARACTERS
    return line[:_PRESET_LINE_CHARACTERS] + "..." if too_long else line


def _config_help(leaves: Iterable[config_lib.FieldInfo], default: Any) -> str:
    defaults = {leaf.path for leaf in config_lib.fields(default)}
    lines = ["Changes one field of the preset. Fields, and their values in the default preset:"]
    for leaf in leaves:
        elsewhere = "" if leaf.path in defaults else "only in presets that have it"
        note = "; ".join(part for part in (leaf.help, leaf.allowed, elsewhere) if part)
        lines.append(f"--config.{leaf.path}={leaf.value!r}" + (f"  ({note})" if note else ""))
    return "\n".join(lines)
