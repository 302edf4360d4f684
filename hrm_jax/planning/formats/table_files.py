"""CSV and YAML files of tasks and people, as `rows` documents their columns.

A YAML file has `tasks`, `people` and `calendar`, each of which may stand in a file of its own;
lists may be written as lists.
"""

import csv
import io
from collections.abc import Mapping, Sequence
from typing import Any

import yaml

from hrm_jax.core.config import from_dict
from hrm_jax.core.config_values import ConfigError
from hrm_jax.planning.errors import FormatError
from hrm_jax.planning.formats.lists import join
from hrm_jax.planning.formats.rows import (
    PERSON_COLUMNS,
    TASK_COLUMNS,
    Row,
    person_row,
    task_row,
)
from hrm_jax.planning.instance import Instance
from hrm_jax.planning.workdays import Workdays

_PARTS = ("calendar", "people", "tasks")


class _TextLoader(yaml.SafeLoader):
    """Reads numbers as they are written: YAML takes 10:00 for 600 (minutes), and 010 for 8."""


for _kind in ("int", "float", "bool"):
    _TextLoader.add_constructor(f"tag:yaml.org,2002:{_kind}", _TextLoader.construct_scalar)


def read_csv(text: str, source: str) -> list[Row]:
    """Returns the rows of a CSV file, with commas or semicolons; empty rows are left out.

    Raises:
      FormatError: it has no rows, an unnamed column, or a row with more fields than columns.
    """
    try:
        # Spreadsheets in many languages write semicolons; the heading tells which it is.
        first = text.splitlines()[0] if text.strip() else ""
        delimiter = ";" if first.count(";") > first.count(",") else ","
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        columns = [column.strip().lower() for column in next(reader, [])]
        rows = []
        for record in reader:
            place = f"{source}, line {reader.line_num}"
            # A blank behind the mark, as ids of issues begin with one: `#12`.
            if not any(field.strip() for field in record) or record[0].startswith("# "):
                continue
            if len(record) > len(columns):
                raise FormatError(
                    f"{place}: expected {len(columns)} fields, got {len(record)}; put what holds a "
                    f"{delimiter!r} in double quotes"
                )
            # A row that ends early has empty fields at its end, as spreadsheets leave them out.
            rows.append(Row(place, dict(zip(columns, record, strict=False))))
    except csv.Error as error:
        raise FormatError(f"{source}: expected CSV, got {error}; mend the quotes") from error
    twice = sorted({column for column in columns if columns.count(column) > 1})
    if not rows or twice or "" in columns:
        got = (
            f"the column {twice[0]!r} twice" if twice else f"columns {', '.join(columns) or 'none'}"
        )
        raise FormatError(
            f"{source}: expected a line of different column names and rows below it, got {got} "
            f"and {len(rows)} rows; --template=FOLDER writes an example"
        )
    return rows


def read_yaml(text: str, source: str) -> tuple[list[Row], list[Row], Workdays | None]:
    """Returns tasks, people and calendar of a YAML file, those that it has.

    Raises:
      FormatError: it is no YAML, or has other parts than documented.
    """
    try:
        # Nodes instead of values, because they know the lines that errors name.
        root = yaml.compose(text, Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        detail = " ".join(str(error).split())
        raise FormatError(f"{source}: expected YAML, got {detail:.150}; mend it") from error
    if not isinstance(root, yaml.MappingNode):
        raise FormatError(
            f"{source}: expected {', '.join(_PARTS)}, got {text[:20]!r}; --template=FOLDER writes "
            "an example"
        )
    tasks: list[Row] = []
    people: list[Row] = []
    days = None
    for key, node in root.value:
        place = f"{source}, line {key.start_mark.line + 1}"
        if key.value == "tasks":
            tasks = _rows(node, source)
        elif key.value == "people":
            people = _rows(node, source)
        elif key.value == "calendar":
            days = _calendar(node, place)
        else:
            raise FormatError(
                f"{place}: expected {', '.join(_PARTS)}, got {key.value!r:.40}; rename it"
            )
    return tasks, people, days


def _rows(node: yaml.Node, source: str) -> list[Row]:
    if not isinstance(node, yaml.SequenceNode):
        line = node.start_mark.line + 1
        raise FormatError(f"{source}, line {line}: expected a list; begin each item with `- id:`")
    rows = []
    for item in node.value:
        place = f"{source}, line {item.start_mark.line + 1}"
        plain = _plain(item, place, _TextLoader)
        if not isinstance(plain, Mapping):
            raise FormatError(
                f"{place}: expected `column: value`, got {plain!r:.40}; see --template"
            )
        rows.append(Row(place, {str(key): _text(value, place) for key, value in plain.items()}))
    return rows


def _plain(node: yaml.Node, place: str, loader: type[yaml.SafeLoader] = yaml.SafeLoader) -> Any:
    try:
        return loader("").construct_document(node)
    except (yaml.YAMLError, ValueError, TypeError, RecursionError) as error:
        detail = " ".join(str(error).split())
        raise FormatError(f"{place}: expected plain values, got {detail:.100}; mend it") from error


def _text(value: Any, place: str) -> str:
    # An empty value in YAML is an empty cell.
    if value is None:
        return ""
    if isinstance(value, list):
        return join(_text(item, place) for item in value)
    if isinstance(value, Mapping):
        raise FormatError(
            f"{place}: expected a text, a number or a list, got {value!r:.40}; mend it"
        )
    return str(value)


def _calendar(node: yaml.Node, place: str) -> Workdays:
    plain = _plain(node, place)
    if not isinstance(plain, Mapping):
        raise FormatError(
            f"{place}: expected `start: 2026-01-05`, got {plain!r:.40}; see --template"
        )
    fields = dict(plain)
    # YAML makes dates and numbers of what looks like them, and configs take text.
    texts = _plain(node, place, _TextLoader)
    for name in ("start", "day_starts"):
        if name in fields:
            fields[name] = str(texts[name])
    if isinstance(fields.get("holidays"), list):
        fields["holidays"] = [str(date) for date in fields["holidays"]]
    try:
        return from_dict(Workdays, fields)
    except ConfigError as error:
        raise FormatError(f"{place}: calendar: {error}") from error


def write_tasks_csv(instance: Instance) -> str:
    """Returns the tasks of an instance as CSV."""
    return _csv(TASK_COLUMNS, [task_row(task, instance.days) for task in instance.tasks])


def write_people_csv(instance: Instance) -> str:
    """Returns the people of an instance as CSV."""
    return _csv(PERSON_COLUMNS, [person_row(person) for person in instance.people])


def write_yaml(instance: Instance) -> str:
    """Returns an instance as YAML."""
    parts: dict[str, Any] = {}
    if instance.days is not None:
        days = instance.days
        parts["calendar"] = {
            "start": days.start,
            "weekdays": list(days.weekdays),
            "ticks_per_day": days.ticks_per_day,
            "hours_per_day": days.hours_per_day,
            "day_starts": days.day_starts,
            "holidays": list(days.holidays),
        }
    # What is empty is left out, which reads the same.
    parts["people"] = [_said(person_row(person)) for person in instance.people]
    parts["tasks"] = [_said(task_row(task, instance.days)) for task in instance.tasks]
    return yaml.safe_dump(parts, sort_keys=False, allow_unicode=True, width=1000)


def _said(row: Mapping[str, str]) -> dict[str, str]:
    return {column: text for column, text in row.items() if text}


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, str]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()
