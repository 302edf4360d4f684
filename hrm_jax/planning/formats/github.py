"""GitHub issues, as JSON of

    gh issue list --state all --limit 1000 \\
      --json number,title,labels,assignees,milestone,state,body

Issues have no estimate, skills or dependencies; these are read from what people write:

    label skill:python          somebody who has python; several such labels: one person with all
    label skill:python*2        two people, apart from those of other labels
    label estimate:3, :4h       working days, or hours
    label priority:2            weight of its lateness
    body "blocked by #12"       also: depends on, after, and several: #12, #13
    milestone's due date        the date by which it should be done
    assignees                   who does it; more than one: together
    state CLOSED                done: left out, and nothing waits for it

An issue without an estimate takes what an estimator learns from closed ones that have one, or
the median of the others, or a day, and is marked so.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from hrm_jax.core.files import parse_json
from hrm_jax.planning.errors import FormatError
from hrm_jax.planning.formats.filling import HOURS_PER_DAY, Estimator, fill_estimates
from hrm_jax.planning.formats.lists import join, join_need
from hrm_jax.planning.formats.rows import Row

_BLOCKED = re.compile(
    r"(?:blocked\s+by|depends\s+on|after)\s*:?\s*(#\d+(?:\s*(?:,|and|&)\s*#\d+)*)", re.IGNORECASE
)
_NUMBER = re.compile(r"#\d+")
_COUNTED = re.compile(r"(.+?)\s*[*x]\s*(\d+)\Z")


def read_github(
    text: str,
    source: str,
    estimate: Estimator | None = None,
    *,
    hours_per_day: float = HOURS_PER_DAY,
) -> list[Row]:
    """Returns the rows of tasks of an export, those without an estimate as `fill_estimates` has it.

    Raises:
      FormatError: it is not a list of issues; the message names the issue.
      JsonError: it is no JSON.
    """
    issues = parse_json(text, source)
    if not isinstance(issues, list) or not issues:
        raise FormatError(
            f"{source}: expected a list of issues, got {str(issues)[:40]!r}; export them by gh "
            "issue list --json number,title,labels,assignees,milestone,state,body"
        )
    found = [
        _fields(issue, f"{source}, issue {position}") for position, issue in enumerate(issues, 1)
    ]
    known = {fields["id"] for fields in found}
    for fields in found:
        # What is not in the export, such as an issue of another project, cannot be waited for.
        after = [other for other in fields["after"].split("; ") if other in known]
        fields["after"] = "; ".join(after)
    rows = [Row(f"{source}, issue {fields['id']}", fields) for fields in found]
    return fill_estimates(rows, estimate, hours_per_day=hours_per_day)


def needs_of(labels: Sequence[str], people: int) -> str:
    """Returns the skills that labels ask for, as a row has them, for at least so many people."""
    skills = [label[len("skill:") :].strip() for label in labels if label.startswith("skill:")]
    counted = [match for skill in skills if (match := _COUNTED.match(skill))]
    joined = [skill for skill in skills if not _COUNTED.match(skill)]
    # Labels with a number are needs of their own; all others are skills of one kind of person, as
    # many as assignees are left for.
    needs = [join_need([match[1]], int(match[2])) for match in counted]
    others = people - sum(int(match[2]) for match in counted)
    if not needs or joined or others > 0:
        needs.append(join_need(joined, max(others, 1)))
    return "; ".join(needs)


def label_value(labels: Sequence[str], name: str) -> str:
    """Returns what stands behind `name:` in the first such label, or nothing."""
    return next(
        (label[len(name) + 1 :].strip() for label in labels if label.startswith(name + ":")), ""
    )


def _fields(issue: Any, place: str) -> dict[str, str]:
    """Returns an issue's fields as a row has them."""
    if not isinstance(issue, Mapping) or not isinstance(issue.get("number"), int):
        raise FormatError(
            f"{place}: expected an issue with its number, got {str(issue)[:40]!r}; add number to "
            "the --json fields"
        )
    # Labels are compared without case, as people write them in both.
    labels = [str(label).lower() for label in _names(issue, "labels", "name", place)]
    people = _names(issue, "assignees", "login", place)
    milestone = issue.get("milestone")
    # The export has a time of day as well, of which the date is taken.
    due = milestone.get("dueOn") if isinstance(milestone, Mapping) else None
    body = str(issue.get("body") or "")
    after = [number for match in _BLOCKED.finditer(body) for number in _NUMBER.findall(match[1])]
    return {
        "id": f"#{issue['number']}",
        "title": " ".join(str(issue.get("title") or "").split()),
        "estimate": label_value(labels, "estimate"),
        "skills": needs_of(labels, len(people)),
        "after": "; ".join(dict.fromkeys(after)),
        "due": str(due)[:10] if due else "",
        "priority": label_value(labels, "priority"),
        "people": join(people),
        "status": "done" if str(issue.get("state", "")).upper() == "CLOSED" else "",
        "description": body,
    }


def _names(issue: Mapping[str, Any], key: str, name: str, place: str) -> list[str]:
    items = issue.get(key) or []
    if not isinstance(items, list):
        raise FormatError(
            f"{place}: {key}: expected a list, got {str(items)[:40]!r}; export it anew"
        )
    names = [item.get(name) if isinstance(item, Mapping) else item for item in items]
    return [str(one) for one in names if one]
