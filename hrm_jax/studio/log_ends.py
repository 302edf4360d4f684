"""What the end of a run's own log says: its last step and newest values, as it grows."""

import math
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

from hrm_jax.studio.lines import LineReader
from hrm_jax.studio.series import MOST_CURVES, as_number
from hrm_jax.training.run_files import parse_line

_END_BYTES = 1 << 14
"""Of a log that is looked at for the first time; from there on its new lines alone are read."""
_MOST_VALUES = 100
_LONGEST_NAME = 200
_NO_VALUES = ("step", "time_seconds", "split", "version")


class LogEnd:
    """The end of one log.

    Attributes:
      step: the last one.
      updated: when the newest record was written, in seconds since 1970; None if that is not known.
      latest: the newest value of each curve; None for what is no finite number.
    """

    def __init__(self, path: pathlib.Path, split: str):
        """Reads nothing yet.

        Args:
          path: of the log, lines of JSON.
          split: that of records which do not name theirs.
        """
        self._reader = LineReader(path, end_bytes=_END_BYTES)
        self._split = split
        self._begin()

    def _begin(self) -> None:
        self.step = 0.0
        self.updated: float | None = None
        self.latest: dict[str, float | None] = {}

    def read(self) -> list[dict[str, Any]]:
        """Reads on; returns the new records that have a step."""
        try:
            found = self._reader.read()
        except OSError:
            self._reader.restart()
            self._begin()
            return []
        if found.restarted:
            self._begin()
        parsed = (parse_line(line) for line in found.lines)
        records = [one for one in parsed if one is not None and step_of(one) is not None]
        for record in records:
            self._add(record)
        return records

    def _add(self, record: Mapping[str, Any]) -> None:
        self.step = max(self.step, step_of(record) or 0.0)
        written = as_number(record.get("time_seconds"))
        if written is not None and math.isfinite(written):
            self.updated = max(written, self.updated or written)
        split = str(record.get("split", self._split))[:80]
        for name, value in list(record.items())[:_MOST_VALUES]:
            number = None if name in _NO_VALUES else as_number(value)
            if number is not None:
                self._take(f"{split}/{name}"[:_LONGEST_NAME], number)

    def _take(self, curve: str, number: float) -> None:
        # A log may name others in every record, and what is kept of it must not grow without end.
        if curve in self.latest or len(self.latest) < MOST_CURVES:
            self.latest[curve] = number if math.isfinite(number) else None


def step_of(record: Mapping[str, Any]) -> float | None:
    """Returns a record's step; None where it has none."""
    step = as_number(record.get("step"))
    return step if step is not None and math.isfinite(step) else None


def losses_of(
    records: Sequence[Mapping[str, Any]],
) -> dict[str, tuple[list[float], list[float]]]:
    """Returns steps and values of each loss, by the names of their curves."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    for record in records:
        value = as_number(record.get("loss"))
        if value is not None:
            steps, values = found.setdefault(f"{record.get('split', 'other')}/loss", ([], []))
            steps.append(step_of(record) or 0.0)
            values.append(value)
    return found
