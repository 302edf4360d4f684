"""Plans as CSV, JSON, Markdown, a Mermaid gantt chart and an iCalendar file."""

import csv
import dataclasses
import datetime
import io
import json
from collections.abc import Callable, Mapping, Sequence

from hrm_jax.core.config import from_dict, to_json
from hrm_jax.core.config_values import ConfigError
from hrm_jax.core.files import parse_json
from hrm_jax.planning.errors import FormatError
from hrm_jax.planning.explaining import Risk
from hrm_jax.planning.formats.chart import chart_of
from hrm_jax.planning.formats.lists import join, split
from hrm_jax.planning.formats.rows import Clock, Row
from hrm_jax.planning.formats.table_files import read_csv
from hrm_jax.planning.formats.times import end_text, start_text
from hrm_jax.planning.instance import Instance, Task, tasks_by_id
from hrm_jax.planning.plan import Assignment, Plan

CHART = "chart"
CHART_VERSION = 1
"""Field of a plan's JSON for who only shows it, and the version of what it holds."""

_EPOCH = datetime.datetime(2000, 1, 1)
"""When tick 0 is, where ticks have no dates and a format asks for them; a tick is an hour."""


def read_plan_json(text: str, source: str) -> Plan:
    """Returns the plan that `write_json` wrote.

    Raises:
      FormatError, JsonError: it is something else.
    """
    found = parse_json(text, source)
    try:
        if not isinstance(found, Mapping):
            raise ConfigError("", f"expected an object, got {str(found)[:40]!r}")
        # The chart is made of the plan and of its instance; the plan alone is what counts.
        return from_dict(Plan, {name: x for name, x in found.items() if name != CHART})
    except ConfigError as error:
        raise FormatError(f"{source}: {error}; take a plan that --out=FILE.json wrote") from error


def read_plan_csv(text: str, source: str, instance: Instance) -> Plan:
    """Returns a plan of columns task, start, end, people; start and end are ticks (`@8`) or dates.

    An end left out is when the work is done by the instance's calendars.

    Raises:
      FormatError: a row is not as documented.
    """
    clock = Clock(instance.days)
    # Once, as finding them hashes the whole instance.
    tasks = tasks_by_id(instance)
    assignments = []
    for row in read_csv(text, source):
        name = row.fields.get("task", "").strip()
        start = clock.tick(row, "start")
        if start is None:
            raise row.error("start", "a tick or a date", "write @8 or 2026-01-30")
        people = tuple(split(row.fields.get("people", "")))
        end = clock.tick(row, "end", end=True)
        if end is None:
            end = _work_end(instance, tasks.get(name), row, start, people)
        assignments.append(Assignment(name, start, end, people))
    return Plan(tuple(assignments), "by hand")


def _work_end(
    instance: Instance, task: Task | None, row: Row, start: int, people: tuple[str, ...]
) -> int:
    team = [person for person in instance.people if person.id in people]
    if task is None or task.duration == 0:
        return start
    left = 100 * task.duration
    tick = start
    idle = 0
    while left > 0:
        rate = min((instance.rate(person, tick) for person in team), default=100)
        idle = 0 if rate else idle + 1
        # Absences pass, but people whose days have nothing in common never work together.
        if idle > 10_000:
            raise row.error("people", "people who work at one time", "give it to others")
        # The slowest of the team sets the pace, as in the checker.
        left -= rate
        tick += 1
    return tick


def write_json(instance: Instance, plan: Plan) -> str:
    """Returns a plan as JSON, which `read_plan_json` reads, and as a chart, for the studio."""
    chart = {"version": CHART_VERSION, **dataclasses.asdict(chart_of(instance, plan))}
    return json.dumps({**json.loads(to_json(plan)), CHART: chart}, indent=2) + "\n"


def write_csv(instance: Instance, plan: Plan) -> str:
    """Returns a plan as CSV, which `read_plan_csv` reads, with dates for people."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["task", "start", "end", "people", "title", "starts", "ends"])
    tasks = tasks_by_id(instance)
    for one in plan.assignments:
        people = join(one.people)
        title = tasks[one.task].title
        dates = start_text(instance, one.start), end_text(instance, one.end)
        writer.writerow([one.task, f"@{one.start}", f"@{one.end}", people, title, *dates])
    return file.getvalue()


def write_markdown(instance: Instance, plan: Plan, risks: Sequence[Risk] = ()) -> str:
    """Returns a plan as a table of Markdown, in the order of starts, and below it what is risky."""
    lines = ["| task | title | people | starts | ends |", "|---|---|---|---|---|"]
    tasks = tasks_by_id(instance)
    for one in _by_start(plan):
        cells = [
            one.task,
            tasks[one.task].title,
            ", ".join(one.people),
            start_text(instance, one.start),
            end_text(instance, one.end),
        ]
        # A bar in a title would end its cell.
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    if risks:
        lines += ["", *(f"- {risk.kind}: {risk.text}" for risk in risks)]
    return "\n".join(lines) + "\n"


def write_mermaid(instance: Instance, plan: Plan) -> str:
    """Returns a plan as a Mermaid gantt chart, a section for each person."""
    lines = ["gantt", "    dateFormat YYYY-MM-DDTHH:mm", "    axisFormat %d %b"]
    tasks = tasks_by_id(instance)
    # A task of several people has a bar in the section of each.
    for person in instance.people:
        own = [one for one in _by_start(plan) if person.id in one.people]
        if own:
            lines.append(f"    section {_mermaid_text(person.name or person.id)}")
        for one in own:
            text = _mermaid_text(f"{one.task} {tasks[one.task].title}".strip())
            start, end = moments(instance, one)
            lines.append(f"    {text} :{start:%Y-%m-%dT%H:%M}, {end:%Y-%m-%dT%H:%M}")
    return "\n".join(lines) + "\n"


def write_icalendar(instance: Instance, plan: Plan) -> str:
    """Returns a plan as an iCalendar file, an event for each task."""
    lines = ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//hrm_jax//assignments//EN"]
    tasks = tasks_by_id(instance)
    for one in _by_start(plan):
        start, end = moments(instance, one)
        summary = f"{one.task} {tasks[one.task].title}".strip()
        lines += [
            "BEGIN:VEVENT",
            f"UID:{_ical_text(one.task)}@{instance.digest}",
            # The standard demands a time of writing; the task's own keeps the file the same at each
            # run. The others have no zone, so that calendars show them as local time.
            f"DTSTAMP:{start:%Y%m%dT%H%M%S}Z",
            f"DTSTART:{start:%Y%m%dT%H%M%S}",
            f"DTEND:{end:%Y%m%dT%H%M%S}",
            f"SUMMARY:{_ical_text(summary)}",
            f"DESCRIPTION:{_ical_text(', '.join(one.people))}",
            "END:VEVENT",
        ]
    lines.append("END:VCALENDAR")
    return "".join(_folded(line) + "\r\n" for line in lines)


def moments(instance: Instance, one: Assignment) -> tuple[datetime.datetime, datetime.datetime]:
    """Returns when an assignment starts and ends; ticks without dates count hours from 2000 on."""
    if instance.days is None:
        hour = datetime.timedelta(hours=1)
        return _EPOCH + one.start * hour, _EPOCH + one.end * hour
    start = instance.days.moment(one.start)
    # A milestone in the morning would end the evening before, as ticks end with their day.
    return start, max(start, instance.days.end_moment(one.end))


def _by_start(plan: Plan) -> list[Assignment]:
    return sorted(plan.assignments, key=lambda one: (one.start, one.end, one.task))


def _mermaid_text(text: str) -> str:
    # These end a name in Mermaid's grammar.
    return "".join(" " if char in ":;#,\n" else char for char in text).strip() or "task"


def _ical_text(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace(";", "\\;").replace(",", "\\,")
    return escaped.replace("\n", "\\n")


def _folded(line: str) -> str:
    """Returns a line in pieces of at most 75 bytes, as RFC 5545 has it."""
    pieces = [""]
    for char in line:
        # One byte less than 75, for the space that begins each further piece; and by characters, so
        # that none of several bytes is cut.
        if len((pieces[-1] + char).encode()) > 74:
            pieces.append("")
        pieces[-1] += char
    return "\r\n ".join(pieces)


WRITERS: Mapping[str, Callable[[Instance, Plan], str]] = {
    ".csv": write_csv,
    ".json": write_json,
    ".md": write_markdown,
    ".mmd": write_mermaid,
    ".ics": write_icalendar,
}
"""What writes a plan, by the ending of the file's name."""
