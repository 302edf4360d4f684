"""Instances from what readers have found."""

from collections.abc import Mapping
from typing import Any

from hrm_jax.core.config import from_dict
from hrm_jax.core.config_values import ConfigError
from hrm_jax.planning.errors import FormatError
from hrm_jax.planning.instance import Instance


def build(
    found: Mapping[str, Any], source: str, places: Mapping[str, str] | None = None
) -> Instance:
    """Returns the instance of plain values.

    Args:
      found: as `to_dict` gives an instance.
      source: what was read, for errors.
      places: where in it each task and person is told, by id, such as `FILE, line 7`.

    Raises:
      FormatError: a value is not as an instance has it; the message names the place.
    """
    try:
        return from_dict(Instance, found)
    except ConfigError as error:
        # A config names a field such as `tasks[3].duration`; a person needs the line of the file.
        place = _place(error.path, found, places or {}) or source
        raise FormatError(f"{place}: {error}") from error


def _place(path: str, found: Mapping[str, Any], places: Mapping[str, str]) -> str:
    """Returns where the task or person of a path such as `tasks[3].duration` is told."""
    names = path.replace("]", "").replace("[", ".").split(".")
    # Rules over several fields name the task or person by its id, in the path itself.
    candidates = list(names)
    if len(names) > 1 and names[0] in ("tasks", "people") and names[1].isdecimal():
        items = found.get(names[0], ())
        if int(names[1]) < len(items):
            candidates.append(str(items[int(names[1])].get("id", "")))
    for name in candidates:
        if name in places:
            return places[name]
    return ""
