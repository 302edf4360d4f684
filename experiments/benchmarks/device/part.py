"""What a part of the device suite takes and returns."""

import dataclasses
import time
from collections.abc import Callable, Iterable
from typing import Any

from experiments.benchmarks.device.card import Card
from experiments.common.terminal import Table


@dataclasses.dataclass(frozen=True)
class Setting:
    """Settings of a part.

    Attributes:
      card: the device.
      small: whether to take sizes that a CPU can do, and run the kernels in their interpreter.
      deadline: by `time.monotonic`, when the part ends; rows that would begin later are left out.
      processes: how many processes check cases side by side.
      torch_python: the interpreter that has PyTorch.
    """

    card: Card
    small: bool
    deadline: float
    processes: int
    torch_python: str

    @property
    def late(self) -> bool:
        """Whether the deadline has passed."""
        return time.monotonic() > self.deadline


@dataclasses.dataclass(frozen=True)
class Result:
    """Results of a part.

    Attributes:
      rows: figures, as JSON values.
      wrong: errors that were found, a sentence each.
      left_out: rows for which there was no time.
    """

    rows: list[dict[str, Any]]
    wrong: list[str] = dataclasses.field(default_factory=list)
    left_out: list[str] = dataclasses.field(default_factory=list)


@dataclasses.dataclass(frozen=True)
class Part:
    """One part of the suite.

    Attributes:
      about: what it measures.
      share: of the suite's minutes, relative to the other parts.
      run: returns the results.
      table: returns a table of the rows.
    """

    about: str
    share: float
    run: Callable[[Setting], Result]
    table: Callable[[list[dict[str, Any]]], Table]


Job = tuple[str, Callable[[], dict[str, Any]]]
"""The name of a row, and what returns its other figures."""


def measure(setting: Setting, jobs: Iterable[Job]) -> Result:
    """Returns the rows of jobs, in their order; what would begin after the deadline is left out.

    A job that raises an exception is recorded as wrong, and those after it are measured all the
    same: device time is too short to begin again.
    """
    result = Result([])
    for name, job in jobs:
        if setting.late:
            result.left_out.append(name)
            continue
        try:
            result.rows.append({"name": name} | job())
        except Exception as error:
            result.wrong.append(f"{name}: {told(error)}")
    return result


def told(error: Exception) -> str:
    """Returns an exception's name and the beginning of what it says."""
    return f"{type(error).__name__}: {str(error).strip()[:300]}"


def table_of(title: str, columns: dict[str, str], rows: list[dict[str, Any]]) -> Table:
    """Returns a table of some fields of the rows.

    Args:
      title: above it.
      columns: heading -> format of a row's fields, as `str.format_map` takes it; a field that a row
        lacks leaves the cell empty.
      rows: what to show.
    """
    table = Table(title=title)
    for heading in columns:
        table.add_column(heading, no_wrap=True, justify="right" if table.columns else "left")
    for row in rows:
        table.add_row(*(_cell(form, row) for form in columns.values()))
    return table


def _cell(form: str, row: dict[str, Any]) -> str:
    try:
        return form.format_map(row)
    except (KeyError, TypeError, ValueError):
        return ""
