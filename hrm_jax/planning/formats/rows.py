"""Tasks, people and calendars as rows of text, whatever file they came from, and back.

All readers give `Row`s with the columns below; this module turns them into an instance. Times:

    estimate, low, high   2 or 2d: working days; 6h: hours
    due                   2026-01-30: the evening of that day; @40: by tick 40
    not_before, started   2026-01-12: the morning of that day; @16: tick 16
    absences              2026-02-02..2026-02-06; 2026-03-02: whole days; @8..@16: ticks
    skills                python+sql: one person with both; python:2; qa: three people

Lists, and names that hold `;`, `,` or `:`, are as in `lists`.
"""

import dataclasses
import datetime
import math
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from hrm_jax.planning.errors import FormatError
from hrm_jax.planning.formats.building import build
from hrm_jax.planning.formats.lists import join, join_need, split, split_need, split_written
from hrm_jax.planning.instance import Instance, Person, Task
from hrm_jax.planning.workdays import Workdays

TASK_COLUMNS = (
    *("id", "title", "estimate", "low", "high", "skills", "after", "not_before", "due"),
    *("priority", "people", "forbidden", "started", "status"),
)
DESCRIPTION = "description"
"""A column of tasks that is read for guesses and stories, and not kept."""

PERSON_COLUMNS = ("id", "name", "skills", "speed", "capacity", "week", "absences")
DONE = ("done", "closed", "resolved")

_AMOUNT = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|)\Z")
_TICK = re.compile(r"@(\d+)\Z")
_MOST_YEARS = 30


@dataclasses.dataclass(frozen=True)
class Row:
    """What a file says of a task or a person.

    Attributes:
      place: the file and line, for errors.
      fields: texts by column; a column left out is as an empty one.
      estimated: whether the estimate is not the user's.
    """

    place: str
    fields: Mapping[str, str]
    estimated: bool = False

    def error(self, column: str, expected: str, remedy: str) -> FormatError:
        """Returns the error that a column is not as expected."""
        got = self.fields.get(column, "")
        return FormatError(
            f"{self.place}: {column}: expected {expected}, got {got!r:.60}; {remedy}"
        )


@dataclasses.dataclass(frozen=True)
class Clock:
    """How texts of time become ticks.

    Attributes:
      days: the calendar, without which there are no dates.
      ticks_per_day: of an estimate in days, where there is none.
    """

    days: Workdays | None
    ticks_per_day: int = 8

    @property
    def hours_per_day(self) -> float:
        """Hours of a working day; without a calendar a tick is an hour."""
        return self.days.hours_per_day if self.days else float(self.ticks_per_day)

    def amount(self, row: Row, column: str) -> int | None:
        """Returns the ticks of an estimate, rounded up; None for an empty one."""
        text = row.fields.get(column, "").strip().lower()
        if not text:
            return None
        match = _AMOUNT.match(text)
        if not match:
            raise row.error(column, "working days or hours", "write 2, 0.5d or 6h")
        hours = self.hours_per_day
        per_day = self.days.ticks_per_day if self.days else self.ticks_per_day
        ticks = float(match[1]) * (per_day / hours if match[2] == "h" else per_day)
        # Rounded up, as work takes the whole of its last tick; what is taken off is rounding.
        return math.ceil(ticks - 1e-9)

    def tick(
        self, row: Row, column: str, *, end: bool = False, text: str | None = None
    ) -> int | None:
        """Returns the tick of a date, its morning or its evening; None for an empty one."""
        text = (row.fields.get(column, "") if text is None else text).strip()
        if not text:
            return None
        # Bare ticks need no calendar.
        match = _TICK.match(text)
        if match:
            return int(match[1])
        date = self._date(row, column, text)
        assert self.days is not None
        return self.days.end_tick(date) if end else self.days.first_tick(date)

    def _date(self, row: Row, column: str, text: str) -> datetime.date:
        try:
            date = datetime.date.fromisoformat(text)
        except ValueError:
            raise row.error(column, "a date", "write it as year-month-day: 2026-01-30") from None
        if self.days is None:
            raise row.error(column, "no date, as no calendar is given", "say --start=DATE")
        start = datetime.date.fromisoformat(self.days.start)
        # Working days are counted one by one up to a date, which a mistyped year would make
        # endless.
        if abs(date.year - start.year) > _MOST_YEARS:
            raise row.error(
                column, f"a date within {_MOST_YEARS} years of {start}", "mend the year"
            )
        return date


def make_instance(
    tasks: Sequence[Row],
    people: Sequence[Row],
    days: Workdays | None,
    *,
    now: int = 0,
    name: str = "",
) -> Instance:
    """Returns the instance of rows. Done tasks are left out, and what comes after them is free.

    Raises:
      FormatError: a row is not as documented; the message names its file, line and column.
    """
    clock = Clock(days)
    done = {row.fields.get("id", "").strip() for row in tasks if is_done(row)}
    open_tasks = [_task(row, clock, done) for row in tasks if not is_done(row)]
    persons = [_person(row, clock) for row in people]
    # Tasks last, so that a task's line is named where a person has the same id.
    places = {
        row.fields.get("id", "").strip(): row.place for row in (*people, *tasks) if row.fields
    }
    found: dict[str, Any] = {"tasks": open_tasks, "people": persons, "now": now, "name": name}
    if days is not None:
        found["days"] = dataclasses.asdict(days)
    return build(found, name or "input", places)


def hours_text(hours: float) -> str:
    """Returns hours as an estimate, which `Clock.amount` reads."""
    # With all digits, as a rounded number may be read as a tick more.
    return f"{np.format_float_positional(hours, trim='-')}h"


def is_done(row: Row) -> bool:
    """Returns whether a task needs no more work."""
    return row.fields.get("status", "").strip().lower() in DONE


def _task(row: Row, clock: Clock, done: set[str]) -> dict[str, Any]:
    _only_known(row, (*TASK_COLUMNS, DESCRIPTION))
    fields = row.fields
    duration = clock.amount(row, "estimate")
    if duration is None:
        raise row.error("estimate", "working days or hours", "write 2, 0.5d or 6h")
    low, high = clock.amount(row, "low"), clock.amount(row, "high")
    task = {
        "id": fields.get("id", "").strip(),
        "title": fields.get("title", "").strip(),
        "duration": duration,
        "low": low,
        "high": high,
        # A milestone needs nobody, even where its row names skills.
        "needs": _needs(row) if duration else [],
        "after": [other for other in _items(row, "after") if other not in done],
        "release": clock.tick(row, "not_before") or 0,
        "due": clock.tick(row, "due", end=True),
        "priority": _whole(row, "priority", 1),
        "people": _items(row, "people"),
        "forbidden": _items(row, "forbidden"),
        "started": clock.tick(row, "started"),
        "estimated": row.estimated,
    }
    return task


def _items(row: Row, column: str, part: Callable[[str], list[str]] = split) -> list[str]:
    try:
        return part(row.fields.get(column, ""))
    except FormatError:
        raise row.error(column, "a list such as ada; ben", "close the quote") from None


def _needs(row: Row) -> list[dict[str, Any]]:
    needs = []
    for item in _items(row, "skills", split_written):
        found = split_need(item)
        if found is None:
            raise row.error(
                "skills", "skills with counts", 'write python+sql, python:2, qa or "a:b"'
            )
        needs.append({"skills": found[0], "count": found[1]})
    # Work without a skill is done by somebody, not by nobody.
    return needs or [{"skills": [], "count": 1}]


def _person(row: Row, clock: Clock) -> dict[str, Any]:
    _only_known(row, PERSON_COLUMNS)
    fields = row.fields
    return {
        "id": fields.get("id", "").strip(),
        "name": fields.get("name", "").strip(),
        "skills": _items(row, "skills"),
        "speed": _whole(row, "speed", 100),
        "capacity": _whole(row, "capacity", 100),
        "week": [
            _percent(row, item) for item in re.split(r"[\s/;,]+", fields.get("week", "").strip())
        ]
        if fields.get("week", "").strip()
        else [],
        "absences": _absences(row, clock),
    }


def _absences(row: Row, clock: Clock) -> list[list[int]]:
    absences = []
    for item in _items(row, "absences"):
        first, _, last = (part.strip() for part in item.partition(".."))
        begins = clock.tick(row, "absences", text=first)
        ends = clock.tick(row, "absences", text=last or first, end=True)
        # Dates of a weekend may leave no ticks; a range that is given in ticks has to have some.
        if begins is None or ends is None or (last.startswith("@") and ends <= begins):
            raise row.error("absences", "ranges of dates", "write 2026-02-02..2026-02-06")
        if last and _is_turned_round(first, last, begins, ends):
            raise row.error("absences", "the earlier date first", "turn the range round")
        # A weekend or a holiday has no ticks to be absent in.
        if begins < ends:
            absences.append([begins, ends])
    return absences


def _is_turned_round(first: str, last: str, begins: int, ends: int) -> bool:
    # A range of holidays is right, and has no ticks either: dates tell more than their ticks.
    if _TICK.match(first) or _TICK.match(last):
        return ends < begins
    return datetime.date.fromisoformat(last) < datetime.date.fromisoformat(first)


def _whole(row: Row, column: str, default: int) -> int:
    text = row.fields.get(column, "").strip().rstrip("%")
    if not text:
        return default
    if not re.fullmatch(r"\d{1,9}", text):
        raise row.error(column, "a whole number", "write digits only")
    return int(text)


def _percent(row: Row, text: str) -> int:
    if not re.fullmatch(r"\d{1,3}%?", text):
        raise row.error("week", "a percentage for each working day", "write 100 100 50 0 100")
    return int(text.rstrip("%"))


def _only_known(row: Row, columns: Sequence[str]) -> None:
    unknown = [column for column in row.fields if column not in columns]
    if unknown:
        raise FormatError(
            f"{row.place}: expected columns {', '.join(columns)}, got {unknown[0]!r:.40}; rename "
            "it, or remove it"
        )


def task_row(task: Task, days: Workdays | None) -> dict[str, str]:
    """Returns a task as texts, which `make_instance` reads as the same task.

    Raises:
      FormatError: a file could not hold its id.
    """
    _check_id(task.id)
    hours = days.hours_per_tick if days else 1.0

    def amount(ticks: int | None) -> str:
        return "" if ticks is None else hours_text(ticks * hours)

    return {
        "id": task.id,
        "title": task.title,
        "estimate": amount(task.duration),
        "low": amount(task.low),
        "high": amount(task.high),
        "skills": "; ".join(join_need(need.skills, need.count) for need in task.needs),
        "after": join(task.after),
        # Ticks and not dates: a date says a whole day, and a tick may be within one.
        "not_before": f"@{task.release}" if task.release else "",
        "due": "" if task.due is None else f"@{task.due}",
        "priority": str(task.priority),
        "people": join(task.people),
        "forbidden": join(task.forbidden),
        "started": "" if task.started is None else f"@{task.started}",
        "status": "",
    }


def person_row(person: Person) -> dict[str, str]:
    """Returns a person as texts, which `make_instance` reads as the same person.

    Raises:
      FormatError: a file could not hold the id.
    """
    _check_id(person.id)
    return {
        "id": person.id,
        "name": person.name,
        "skills": join(person.skills),
        "speed": str(person.speed),
        "capacity": str(person.capacity),
        "week": " ".join(map(str, person.week)),
        "absences": "; ".join(f"@{first}..@{end}" for first, end in person.absences),
    }


def _check_id(name: str) -> None:
    """Refuses an id that readers would change: they strip cells, and take `# ` for a comment."""
    if name != name.strip() or name.startswith("# "):
        raise FormatError(
            f"id: expected no blanks around it and no '# ' before it, got {name!r:.60}; rename it"
        )
