"""Metrics of a run as curves, and curves with few enough points to be drawn."""

import array
import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int

_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_NOT_METRICS = frozenset({"step", "time_seconds", "split", "version"})
MOST_CURVES = 200
"""Curves of one run; what a damaged log adds beyond them is left out."""


class Points(NamedTuple):
    """Points of a curve: step, time in seconds since 1970, and value of each."""

    steps: Float[np.ndarray, " n"]
    times: Float[np.ndarray, " n"]
    values: Float[np.ndarray, " n"]


class Point(NamedTuple):
    """A value of a metric, named such as `train/loss`; time in seconds since 1970, or NaN."""

    name: str
    step: float
    seconds: float
    value: float


class Curve:
    """A metric that grows by a point at a time."""

    def __init__(self):
        self._columns = tuple(array.array("d") for _ in range(3))

    def __len__(self) -> int:
        return len(self._columns[0])

    def add(self, step: float, seconds: float, value: float) -> None:
        """Adds a point."""
        for column, number in zip(self._columns, (step, seconds, value), strict=True):
            column.append(number)

    @property
    def last(self) -> Point:
        """Its last point, without a name; there has to be one."""
        return Point("", *(column[-1] for column in self._columns))

    def cut(self, step: float) -> bool:
        """Drops the points at its end that are of this step or later; returns whether any were."""
        kept = len(self)
        while kept and self._columns[0][kept - 1] >= step:
            kept -= 1
        is_cut = kept < len(self)
        for column in self._columns:
            del column[kept:]
        return is_cut

    def points(self, after: int = 0) -> Points:
        """Returns the points from number `after` on."""
        # Copies: an array that lends its memory could not grow.
        return Points(*(np.array(column[after:]) for column in self._columns))


class Curves:
    """All curves of one run, by names such as `train/loss`.

    Attributes:
      by_name: at most `MOST_CURVES`, those that came first.
      damaged: number of records left out.
      is_full: whether points of further curves were left out.
    """

    def __init__(self):
        self.by_name: dict[str, Curve] = {}
        self.damaged = 0
        self.is_full = False

    def add(self, record: Mapping[str, Any], split: str) -> None:
        """Adds the numbers of a record; what is no number is left out.

        Args:
          record: a line of a log.
          split: the first part of names, where the record says none.
        """
        step = as_number(record.get("step"))
        seconds = as_number(record.get("time_seconds"))
        if step is None or not math.isfinite(step):
            self.damaged += 1
            return
        seconds = math.nan if seconds is None else seconds
        split = str(record.get("split", split))
        for name, value in record.items():
            number = None if name in _NOT_METRICS else as_number(value)
            if number is not None:
                self.add_point(Point(f"{split}/{name}", step, seconds, number))

    def add_point(self, point: Point) -> None:
        """Adds a point to the curve of its name; one whose step is no number is damaged."""
        if not math.isfinite(point.step):
            self.damaged += 1
            return
        curve = self._curve(point.name)
        if curve is not None:
            curve.add(point.step, point.seconds, point.value)

    def cut(self, step: float, name: str | None = None) -> bool:
        """Drops points of this step or later, of one curve or all; returns whether any were."""
        chosen = self.by_name.values() if name is None else [self.by_name[name]]
        return sum(curve.cut(step) for curve in chosen) > 0

    def last_step(self, name: str) -> float | None:
        """Returns the last step of a curve; None where it has none."""
        curve = self.by_name.get(name)
        return curve.last.step if curve else None

    def latest(self) -> dict[str, Point]:
        """Returns the last point of each curve."""
        return {
            name: curve.last._replace(name=name) for name, curve in self.by_name.items() if curve
        }

    def _curve(self, name: str) -> Curve | None:
        if name not in self.by_name:
            if len(self.by_name) == MOST_CURVES:
                self.is_full = True
                return None
            self.by_name[name] = Curve()
        return self.by_name[name]


def as_number(value: Any) -> float | None:
    """Returns a number of a log, in which infinities and NaN are words; None for what is none."""
    if isinstance(value, str):
        return _NON_FINITE.get(value)
    if isinstance(value, bool | int | float):
        try:
            return float(value)
        except OverflowError:  # an integer of hundreds of digits
            return math.inf if value > 0 else -math.inf
    return None


def decimate(values: Float[np.ndarray, " n"], most: int) -> Int[np.ndarray, " m"]:
    """Returns which points to draw: smallest and largest of each stretch, the first, the last.

    So a peak of one point among a million is seen. Of values that are no numbers, the first is
    kept, too.

    Args:
      values: in the order in which they are drawn.
      most: how many at most, about; at least 4.
    """
    count = len(values)
    if count <= most:
        return np.arange(count)
    stretch = -(-count // (most // 2))
    padded = np.full(-(-count // stretch) * stretch, np.nan)
    padded[:count] = values
    rows = padded.reshape(-1, stretch)
    is_number = np.isfinite(rows)
    starts = np.arange(len(rows)) * stretch
    lowest = starts + np.where(is_number, rows, np.inf).argmin(1)
    highest = starts + np.where(is_number, rows, -np.inf).argmax(1)
    broken = np.flatnonzero(~np.isfinite(values))[:1]
    return np.unique(np.concatenate([[0], lowest, highest, broken, [count - 1]])).astype(int)


def as_json(points: Points) -> dict[str, list[float | None]]:
    """Returns points as JSON holds them: None for what is no finite number."""
    return {
        "steps": _plain(points.steps, 12),
        "times": _plain(points.times, 14),
        "values": _plain(points.values, 7),
    }


def _plain(numbers: Iterable[float], digits: int) -> list[float | None]:
    return [float(f"{x:.{digits}g}") if math.isfinite(x) else None for x in numbers]
