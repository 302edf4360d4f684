"""Plans of work, as `python -m experiments.assignments --out=plan.json` writes them.

Their charts alone are read, `hrm_jax.planning.formats.chart`, so no planner is needed.
"""

import contextlib
import os
import pathlib
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hrm_jax.core.errors import UserError
from hrm_jax.core.files import parse_json
from hrm_jax.studio.folders import open_regular

MOST_BYTES = 8 << 20
_END = ".json"
_MOST_FILES = 200


class PlanError(UserError, ValueError):
    """This is no plan that can be shown."""


class _Part(BaseModel):
    # Fields that later versions add are left out.
    model_config = ConfigDict(extra="ignore", strict=True, allow_inf_nan=False)


class _Row(_Part):
    person: str
    name: str
    load: float = Field(ge=0)


class _Bar(_Part):
    task: str
    title: str
    start: int = Field(ge=0)
    end: int = Field(ge=0)
    times: str
    people: list[str]
    due: int | None
    due_text: str
    critical: bool
    late: bool
    reason: str
    waits_for: list[str]


class _Chart(_Part):
    version: int = Field(ge=1, le=1)
    length: int = Field(ge=1)
    marks: list[str] = Field(min_length=2, max_length=50)
    rows: list[_Row]
    bars: list[_Bar]
    risks: list[str]


class _Plan(_Part):
    planner: str = ""
    proven: bool = False
    chart: _Chart


def parse_plan(text: str, source: str) -> dict[str, Any]:
    """Returns what is shown of a plan, as JSON holds it.

    Raises:
      PlanError, JsonError: it is none, or was written by earlier code, without a chart.
    """
    try:
        return _Plan.model_validate(parse_json(text, source)).model_dump()
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise PlanError(
            f"{source}: expected a plan with a chart, got at {place}: {first['msg']}; take one "
            "that python -m experiments.assignments --out=FILE.json wrote"
        ) from error


def plan_names(root: pathlib.Path) -> list[str]:
    """Returns the names of the files in the runs folder itself that may be plans."""
    with contextlib.suppress(OSError), os.scandir(root) as entries:
        named = [entry for entry in entries if entry.name.endswith(_END)]
        files = [entry for entry in named if not entry.name.startswith(".")]
        names = sorted(one.name for one in files if one.is_file(follow_symlinks=False))
        return names[:_MOST_FILES]
    return []


def read_plan(root: pathlib.Path, name: str) -> dict[str, Any]:
    """Returns what is shown of a plan in the runs folder.

    Raises:
      PlanError, JsonError: as `parse_plan`; or there is no such file.
    """
    if name not in plan_names(root):
        raise PlanError(f"there is no file {name!r} in {root} (any more)")
    with open_regular(root / name) as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise PlanError(f"{name}: expected at most {MOST_BYTES:,} bytes; it is too large to show")
    return parse_plan(content.decode("utf-8", "replace"), name)
