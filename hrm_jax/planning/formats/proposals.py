"""Tasks that are proposed for stories, in a CSV file of their own that a person edits.

    story,status,by,id,title,estimate,skills,after,people,forbidden
    #12,proposed,rules,#12.1,Search orders by date,7.2h,python,,,

What a person takes over gets the status `accepted`; what is not wanted is removed. A story with
accepted tasks stays as a milestone of no work after them, so that its due date, its priority and
what waits for it hold.
"""

import csv
import io
import re
from collections.abc import Callable, Mapping, Sequence

from hrm_jax.planning.errors import FormatError
from hrm_jax.planning.formats.filling import HOURS_PER_DAY
from hrm_jax.planning.formats.lists import join, join_need, split_need, split_written
from hrm_jax.planning.formats.rows import DESCRIPTION, DONE, Row, is_done
from hrm_jax.planning.formats.table_files import read_csv
from hrm_jax.planning.stories import Part, Story, read_story

PROPOSED, ACCEPTED = "proposed", "accepted"
COLUMNS = (
    *("story", "status", "by", "id", "title", "estimate", "skills", "after", "people"),
    "forbidden",
)
_HOURS = re.compile(r"(\d+(?:\.\d+)?)\s*(d|h|)\Z")

Splitter = Callable[[Story, Sequence[str]], tuple[list[Part], str]]
"""Parts of a story that needs some skills, and who made them."""


def propose(
    rows: Sequence[Row], split: Splitter, *, hours_per_day: float = HOURS_PER_DAY
) -> list[dict[str, str]]:
    """Returns proposed tasks, as rows of `COLUMNS`, for the stories among open tasks.

    Stories that have begun or are of one piece are left as they are.

    Args:
      rows: tasks, done ones with them.
      split: makes the parts of a story.
      hours_per_day: of a working day of the team's.
    """
    found = []
    for row in rows:
        fields = row.fields
        story = read_story(fields.get("title", ""), fields.get(DESCRIPTION, ""))
        if story is None or is_done(row) or fields.get("started"):
            continue
        parts, by = split(story, _skills(row))
        if parts:
            found += _proposed(row, parts, by, _story_hours(row, hours_per_day))
    return found


def write_proposals(proposals: Sequence[Mapping[str, str]]) -> str:
    """Returns the file that a person edits."""
    file = io.StringIO()
    writer = csv.DictWriter(file, COLUMNS, lineterminator="\n")
    writer.writeheader()
    # A comment line, which `read_csv` passes over.
    file.write(
        f"# write {ACCEPTED} in place of {PROPOSED}, change what you like, remove the rest\n"
    )
    writer.writerows(proposals)
    return file.getvalue()


def accept(rows: Sequence[Row], text: str, source: str) -> list[Row]:
    """Returns the rows with stories replaced by their accepted tasks; other stories stay whole.

    Raises:
      FormatError: nothing is accepted, a story is accepted in part, or is none of the rows.
    """
    accepted: dict[str, list[Row]] = {}
    waiting: dict[str, Row] = {}
    stories = {row.fields.get("id", "").strip(): row for row in rows}
    for row in read_csv(text, source):
        story, status = (row.fields.get(name, "").strip() for name in ("story", "status"))
        if story not in stories:
            raise row.error("story", "the id of a task of the backlog", "mend it")
        if status.lower() == PROPOSED:
            waiting.setdefault(story, row)
        # A part may be done by the time that the file is read again.
        elif status.lower() == ACCEPTED or status.lower() in DONE:
            accepted.setdefault(story, []).append(row)
        else:
            raise row.error("status", f"{ACCEPTED} or {PROPOSED}", "write one of them")
    if not accepted:
        raise FormatError(
            f"{source}: expected tasks with the status {ACCEPTED}, got none; read the proposals, "
            f"and write {ACCEPTED} where a task is right"
        )
    # Parts left as proposed would be lost silently, as the story itself becomes a milestone.
    for story in accepted:
        if story in waiting:
            raise waiting[story].error(
                "status",
                f"all tasks of {story} accepted or none",
                f"write {ACCEPTED}, or remove the row",
            )
    return [made for row in rows for made in _replaced(row, accepted)]


def _proposed(row: Row, parts: Sequence[Part], by: str, hours: float) -> list[dict[str, str]]:
    fields = row.fields
    story = fields.get("id", "").strip()
    ids = [f"{story}.{number}" for number in range(1, len(parts) + 1)]
    before = [name for name, part in zip(ids, parts, strict=True) if not part.last]
    return [
        {
            "story": story,
            "status": PROPOSED,
            "by": by,
            "id": name,
            "title": part.title,
            "estimate": f"{max(round(hours * part.share, 1), 0.5):g}h",
            "skills": fields.get("skills", "")
            if part.skills is None
            else "; ".join(join_need([skill]) for skill in part.skills),
            "after": join(before) if part.last else "",
            "people": fields.get("people", "") if part.skills is None else "",
            "forbidden": fields.get("forbidden", ""),
        }
        for name, part in zip(ids, parts, strict=True)
    ]


def _replaced(row: Row, accepted: Mapping[str, Sequence[Row]]) -> list[Row]:
    """Returns a row, or its accepted tasks and the milestone behind them."""
    fields = row.fields
    parts = accepted.get(fields.get("id", "").strip())
    if not parts or is_done(row):
        return [row]
    made = []
    for part in parts:
        # What only proposals have is left out of the backlog's rows.
        own = {key: text for key, text in part.fields.items() if key not in ("story", "by")}
        # Each part waits for what the story waited for, and the milestone for all parts.
        after = "; ".join(text for text in (fields.get("after"), own.get("after")) if text)
        own |= {"after": after, "status": own["status"] if is_done(part) else ""}
        made.append(Row(part.place, {"not_before": fields.get("not_before", ""), **own}))
    last = "; ".join([fields.get("after", ""), join(part.fields.get("id", "") for part in parts)])
    # The story becomes a milestone: its work is that of its parts.
    nobody = dict.fromkeys(("low", "high", "skills", "people", "forbidden"), "")
    return [*made, Row(row.place, {**fields, **nobody, "estimate": "0", "after": last})]


def _skills(row: Row) -> list[str]:
    needs = [split_need(item) for item in split_written(row.fields.get("skills", ""))]
    return list(dict.fromkeys(skill for need in needs if need for skill in need[0]))


def _story_hours(row: Row, hours_per_day: float) -> float:
    match = _HOURS.match(row.fields.get("estimate", "").strip().lower())
    if not match:
        raise row.error("estimate", "working days or hours", "write 2, 0.5d or 6h")
    return float(match[1]) * (1 if match[2] == "h" else hours_per_day)
