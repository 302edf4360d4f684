"""Estimates for tasks that have none: learned from done ones, or the median of the others."""

import re
import statistics
from collections.abc import Callable, Sequence
from typing import NamedTuple

from hrm_jax.planning.formats.rows import Row, hours_text, is_done

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|)\Z")
_NUMBER = re.compile(r"(\d+)\Z")
HOURS_PER_DAY = 8.0
"""Of a working day, where no calendar says otherwise."""


class Guess(NamedTuple):
    """An estimate that nobody gave, in working days, with its 10th and 90th percentile."""

    days: float
    low: float
    high: float


Estimator = Callable[[Sequence[Row], Sequence[float], Sequence[Row]], Sequence[Guess] | None]
"""Guesses for rows, from done rows in time order and their days; None where those are too few."""


def fill_estimates(
    rows: Sequence[Row],
    estimate: Estimator | None = None,
    *,
    hours_per_day: float = HOURS_PER_DAY,
) -> list[Row]:
    """Returns the rows with an estimate each: given, guessed and marked, or their median likewise.

    Without any estimate a day is taken.

    Args:
      rows: tasks, done ones with them.
      estimate: guesses what is missing from the done ones that have an estimate.
      hours_per_day: of a working day of the team's.
    """
    days = {
        index: found
        for index, row in enumerate(rows)
        if (found := _days(row, hours_per_day)) is not None
    }
    # The median, which a few estimates of months do not move.
    typical = statistics.median(days.values()) if days else 1.0
    missing = [
        index
        for index, row in enumerate(rows)
        if not row.fields.get("estimate", "").strip() and not is_done(row)
    ]
    # In time order, as an estimator holds each of its past guesses against what came later.
    done = _in_time_order(rows, [index for index in days if is_done(rows[index])])
    guesses = None
    if estimate and missing:
        known = [rows[index] for index in done], [days[index] for index in done]
        guesses = estimate(*known, [rows[index] for index in missing])
    filled = list(rows)
    for position, index in enumerate(missing):
        row = rows[index]
        found = {"estimate": typical}
        if guesses is not None:
            guess = guesses[position]
            found = {"estimate": guess.days, "low": guess.low, "high": guess.high}
        hours = {name: hours_text(max(x * hours_per_day, 1)) for name, x in found.items()}
        fields = {**row.fields, **hours}
        filled[index] = Row(row.place, fields, estimated=True)
    return filled


def _days(row: Row, hours_per_day: float) -> float | None:
    match = _AMOUNT.match(row.fields.get("estimate", "").strip().lower())
    # A milestone's estimate of 0 tells nothing of the size of work.
    if not match or not float(match[1]):
        return None
    return float(match[1]) / (hours_per_day if match[2] == "h" else 1)


def _in_time_order(rows: Sequence[Row], places: list[int]) -> list[int]:
    """Returns the places by the numbers that ids end with, which trackers count up, if all do."""
    numbers = {place: _NUMBER.search(rows[place].fields.get("id", "")) for place in places}
    if not all(numbers.values()):
        return places
    return sorted(places, key=lambda place: int(match[1]) if (match := numbers[place]) else 0)
