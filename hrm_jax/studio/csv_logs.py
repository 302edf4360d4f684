"""Reads CSV files of metrics, which grow: a column for each metric, or a row for each value.

    step,loss,accuracy               a column that is named as one of `STEPS`, or none: rows count
    curve,step,time_seconds,value    what this studio and others export
    Wall time,Step,Value             what TensorBoard exports

Fields are separated by commas, semicolons or tabs. Empty fields and text are passed over.
"""

import csv
import pathlib
from collections.abc import Iterator, Sequence

from hrm_jax.studio.lines import CHUNK_BYTES, LineReader
from hrm_jax.studio.series import MOST_CURVES, Point

STEPS = ("step", "global_step", "_step", "steps", "iteration", "iter", "update", "epoch")
_TIMES = ("time_seconds", "wall time", "wall_time", "timestamp", "_timestamp", "created_at")
_CURVES = ("curve", "tag", "metric", "name")
_VALUE = "value"
_LONGEST_FIELD = 10_000


class CsvLog:
    """Where one reader is in one file."""

    def __init__(self, path: pathlib.Path):
        self._lines = LineReader(path)
        self._stem = path.stem[:80]
        self._header: list[str] | None = None
        self._rows = 0
        self._separator = ","

    def read(self, most_bytes: int = CHUNK_BYTES) -> tuple[list[Point], bool, int, int]:
        """Returns new points, whether the file was replaced, damaged rows, and bytes left.

        Raises:
          OSError: the file cannot be read.
        """
        found = self._lines.read(most_bytes)
        if found.restarted:
            self._header = None
            self._rows = 0
        points: list[Point] = []
        damaged = found.too_long
        for line in found.lines:
            row = self._split(line.decode("utf-8", "replace").rstrip("\r"))
            if self._header is None:
                self._header = [name.strip() for name in row[: MOST_CURVES + 8]]
            elif any(row):
                self._rows += 1
                if len(row) != len(self._header):
                    damaged += 1
                else:
                    points += self._points(self._header, row)
        return points, found.restarted, damaged, found.left_bytes

    def _split(self, text: str) -> list[str]:
        if self._header is None:
            text = text.removeprefix("\ufeff")
            self._separator = max(",;\t", key=text.count)
        try:
            return next(csv.reader([text], delimiter=self._separator), [])
        except csv.Error:  # a field that is too long, a NUL
            return []

    def _points(self, header: Sequence[str], row: Sequence[str]) -> Iterator[Point]:
        lower = [name.lower() for name in header]
        step_at = _first(lower, STEPS)
        time_at = _first(lower, _TIMES)
        step = _number(row[step_at]) if step_at is not None else float(self._rows)
        if step is None:
            return
        seconds = _number(row[time_at]) if time_at is not None else None
        time = float("nan") if seconds is None else seconds
        curve_at = _first(lower, _CURVES)
        if _VALUE in lower and (curve_at is not None or len(header) <= 3):
            value = _number(row[lower.index(_VALUE)])
            if value is not None:
                name = row[curve_at] if curve_at is not None else _VALUE
                yield Point(self._named(name.removeprefix("'")), step, time, value)
            return
        for index, text in enumerate(row):
            value = None if index in (step_at, time_at) else _number(text)
            if value is not None and header[index]:
                yield Point(self._named(header[index]), step, time, value)

    def _named(self, name: str) -> str:
        return (name if "/" in name else f"{self._stem}/{name}")[:200]


def _first(names: Sequence[str], wanted: Sequence[str]) -> int | None:
    return next((names.index(name) for name in wanted if name in names), None)


def _number(text: str) -> float | None:
    try:
        return float(text) if len(text) < _LONGEST_FIELD else None
    except ValueError:
        return None
