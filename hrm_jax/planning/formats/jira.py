"""Jira's CSV export ("Export > CSV (all fields)"), which repeats names of columns.

Issue key, Summary                   id and title
Original Estimate (seconds),         the estimate; a story point is a working day
  or Custom field (Story Points)
Labels (repeated)                    skill:x, estimate:3, as in `github`
Inward issue link (Blocks)           what it waits for; repeated
Assignee, Due date, Priority         who, by when, and 1 (lowest) to 5 (highest)
Status                               Done, Closed, Resolved: left out
"""

import csv
import datetime
import io
from collections.abc import Sequence

from hrm_jax.planning.errors import FormatError
from hrm_jax.planning.formats.filling import HOURS_PER_DAY, Estimator, fill_estimates
from hrm_jax.planning.formats.github import label_value, needs_of
from hrm_jax.planning.formats.lists import join
from hrm_jax.planning.formats.rows import DONE, Row, hours_text

_PRIORITIES = {"lowest": "1", "low": "2", "medium": "3", "high": "4", "highest": "5"}
_DATES = ("%d/%b/%y %I:%M %p", "%d/%b/%y", "%Y-%m-%d %H:%M", "%Y-%m-%d", "%d/%b/%Y %I:%M %p")
_SECONDS_AN_HOUR = 3600


def read_jira(
    text: str,
    source: str,
    estimate: Estimator | None = None,
    *,
    hours_per_day: float = HOURS_PER_DAY,
) -> list[Row]:
    """Returns the rows of tasks of an export, those without an estimate as `fill_estimates` has it.

    Raises:
      FormatError: columns are missing, or a date is of another format; the message names the line.
    """
    try:
        reader = csv.reader(io.StringIO(text, newline=""))
        columns = [column.strip().lower() for column in next(reader, [])]
        # Lines of the file and not rows: descriptions have line breaks in them.
        records = [(reader.line_num, record) for record in reader if any(record)]
    except csv.Error as error:
        raise FormatError(f"{source}: expected CSV, got {error}; export it anew") from error
    if "issue key" not in columns or not records:
        raise FormatError(
            f"{source}: expected a column Issue key and rows, got columns "
            f"{', '.join(columns[:5]) or 'none'} and {len(records)} rows; export it as CSV (all "
            "fields)"
        )
    rows = []
    for line, record in records:
        place = f"{source}, line {line}"
        if len(record) != len(columns):
            raise FormatError(
                f"{place}: expected {len(columns)} fields, got {len(record)}; export it anew"
            )
        rows.append(Row(place, _fields(columns, record, place)))
    known = {row.fields["id"] for row in rows}
    kept = []
    for row in rows:
        # As for GitHub: what is not in the export cannot be waited for.
        after = [other for other in row.fields["after"].split("; ") if other in known]
        kept.append(Row(row.place, {**row.fields, "after": "; ".join(after)}))
    return fill_estimates(kept, estimate, hours_per_day=hours_per_day)


def _fields(columns: Sequence[str], record: Sequence[str], place: str) -> dict[str, str]:
    def every(name: str) -> list[str]:
        # Jira repeats a column for each of its values, so a dictionary would keep the last one
        # alone.
        pairs = zip(columns, record, strict=True)
        return [field.strip() for column, field in pairs if column == name and field.strip()]

    def first(*names: str) -> str:
        return next((found for name in names for found in every(name)), "")

    labels = [label.lower() for label in every("labels")]
    people = every("assignee")
    points = first("custom field (story points)", "story points")
    seconds = first("original estimate")
    return {
        "id": first("issue key"),
        "title": " ".join(first("summary").split()),
        "estimate": label_value(labels, "estimate") or _estimate(seconds, points, place),
        "skills": needs_of(labels, len(people)),
        "after": "; ".join(dict.fromkeys(every("inward issue link (blocks)"))),
        "due": _date(first("due date"), place),
        "priority": _PRIORITIES.get(first("priority").lower(), ""),
        "people": join(people),
        "status": "done" if first("status").lower() in DONE else "",
        "description": first("description"),
    }


def _estimate(seconds: str, points: str, place: str) -> str:
    # Seconds are an estimate; story points stand in for one where there is none.
    text = seconds or points
    if not text:
        return ""
    try:
        number = float(text)
    except ValueError:
        raise FormatError(
            f"{place}: estimate: expected a number, got {text!r:.40}; export numbers unformatted"
        ) from None
    return hours_text(number / _SECONDS_AN_HOUR) if seconds else f"{number:g}"


def _date(text: str, place: str) -> str:
    if not text:
        return ""
    for form in _DATES:
        try:
            return datetime.datetime.strptime(text, form).date().isoformat()
        except ValueError:
            continue
    raise FormatError(
        f"{place}: Due date: expected a date such as 30/Jan/26 12:00 AM or 2026-01-30, got "
        f"{text!r:.40}; set Jira's date format to one of these and export anew"
    )
