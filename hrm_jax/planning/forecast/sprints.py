"""Sprints of a project at several moments of their time, as the published data set has them.

A folder holds, for each project and each moment (0, 30, 50 and 80 % of the planned time), a file of
sprints `<project>_iteration_<moment>.csv.gz` and one of their issues
`<project>_issue_<moment>.csv.gz`.

What the columns of sprints mean, by the files themselves:

* `vel_` counts points and `no_issue` issues; `vel_todo`, `vel_inprogress` and `vel_done` are what
  the sprint holds at the moment by state: together what is planned at that moment. It equals
  `vel_starttime + vel_added - vel_removed` in 96 to 100 % of the rows.
* `vel_diff` is what is delivered at the end less what is planned at the moment: their sum is the
  same at all four moments in 96 to 100 % of the rows, and is hence the outcome, `delivered`.
* `planday` is the planned length in days, `no_teammember` those who have an issue at the moment,
  `no_admin` the administrators of the board.
* `gunning_fog` of an issue is how hard its description reads; `no_comment` to `no_des_change` count
  what happened to it up to the moment.

There are no dates: sprints are ordered by `sprintid`, which the tracker counts up as sprints are
made. One sprint shown on several boards has several rows. Where those are alike in every
number they are one row here: counting copies would make few sprints look like many.
"""

import dataclasses
from pathlib import Path

import numpy as np

from hrm_jax.planning.forecast.tables import (
    Table,
    TableError,
    plain_or_packed,
    projects_with,
    read_table,
)

MOMENTS = (0, 30, 50, 80)
"""Shares of the planned time, in percent."""

_STATES = ("vel_todo", "vel_inprogress", "vel_done")
_SPRINT_NUMBERS = (
    "planday",
    "no_issue_starttime",
    "vel_starttime",
    "no_issue_added",
    "vel_added",
    "no_issue_removed",
    "vel_removed",
    "no_issuetodo",
    "vel_todo",
    "no_issueinprogress",
    "vel_inprogress",
    "no_issuedone",
    "vel_done",
    "no_admin",
    "no_teammember",
)
_ISSUE_COUNTS = (
    "no_comment",
    "no_fixversion",
    "no_issuelink",
    "no_blocking",
    "no_blockedby",
    "no_fixversion_change",
    "no_priority_change",
    "no_des_change",
)
_ISSUE_KINDS = {
    "type": ("Bug", "Story", "Task", "Sub-task", "Improvement", "Epic"),
    "priority": ("Blocker", "Critical", "Major", "Minor"),
    "gunning_fog": ("easy", "hard"),
}


@dataclasses.dataclass(frozen=True)
class Snapshot:
    """All sprints of a project at one moment, in order of their ids.

    Attributes:
      moment: percent of the planned time.
      boards: text [sprints], the board that shows the sprint.
      order: int64 [sprints], its id; later sprints have larger ones.
      numbers: float64 [sprints] for each column of the file that holds numbers.
      issues: float64 [sprints, features], averages over the sprint's issues at the moment.
      delivered: float64 [sprints], points delivered at the sprint's end: what is to be forecast.
    """

    moment: int
    boards: np.ndarray
    order: np.ndarray
    numbers: dict[str, np.ndarray]
    issues: np.ndarray
    delivered: np.ndarray

    @property
    def planned(self) -> np.ndarray:
        """Points that the sprint holds at the moment."""
        return sum((self.numbers[state] for state in _STATES), np.zeros(len(self.order)))

    @property
    def done(self) -> np.ndarray:
        """Points that are done at the moment."""
        return self.numbers["vel_done"]

    def take(self, rows: np.ndarray) -> "Snapshot":
        """Returns some of the sprints."""
        return Snapshot(
            self.moment,
            self.boards[rows],
            self.order[rows],
            {name: values[rows] for name, values in self.numbers.items()},
            self.issues[rows],
            self.delivered[rows],
        )


def projects(folder: Path) -> list[str]:
    """Returns the names of the projects in a folder; raises TableError where there are none."""
    return projects_with(folder, "_iteration_0")


def read_project(folder: Path, project: str, *, keep_copies: bool = False) -> list[Snapshot]:
    """Returns a project's sprints at each moment of `MOMENTS`; row i is the same sprint in all.

    Args:
      folder: the folder of all projects.
      project: its name.
      keep_copies: keep a sprint that several boards show alike as several.

    Raises:
      TableError, TextError, OSError: as `read_table`; also for moments that do not fit together.
    """
    snapshots = [_read_snapshot(folder, project, moment) for moment in MOMENTS]
    first = snapshots[0]
    for snapshot in snapshots[1:]:
        # Snapshots are read as rows of one table, so they have to be of the same sprints.
        same = np.array_equal(snapshot.boards, first.boards)
        if not (same and np.array_equal(snapshot.order, first.order)):
            raise TableError(
                f"{folder}: expected the same sprints of {project} at {snapshot.moment} % as at "
                "0 %, got others; fetch its files anew"
            )
    if keep_copies:
        return snapshots
    numbers = [values for snapshot in snapshots for values in snapshot.numbers.values()]
    outcomes = [snapshot.delivered for snapshot in snapshots]
    # A copy is alike in every number at every moment, outcomes included; the first of them stays,
    # and the boards' names do not count.
    whole = np.stack([first.order, *numbers, *outcomes], 1)
    rows = np.sort(np.unique(whole, axis=0, return_index=True)[1])
    return [snapshot.take(rows) for snapshot in snapshots]


def _read_snapshot(folder: Path, project: str, moment: int) -> Snapshot:
    required = ("boardid", "sprintid", "name", "vel_diff", *_SPRINT_NUMBERS)
    path = plain_or_packed(folder, f"{project}_iteration_{moment}")
    # Names of sprints were written without quotes, and cut at a number of bytes.
    sprints = read_table(path, required, unquoted="name", lenient=True)
    issues = read_table(
        plain_or_packed(folder, f"{project}_issue_{moment}"),
        ("boardid", "sprintid", *_ISSUE_KINDS, *_ISSUE_COUNTS),
        lenient=True,
    )
    order = sprints.numbers("sprintid").astype(np.int64)
    boards = np.array(sprints.texts("boardid"))
    numbers = {name: sprints.numbers(name) for name in _SPRINT_NUMBERS}
    averages = _averages_of_issues(issues)
    empty = np.full(len(_ISSUE_COUNTS) + sum(map(len, _ISSUE_KINDS.values())), np.nan)
    keys = zip(boards, sprints.texts("sprintid"), strict=True)
    found = np.array([averages.get(key, empty) for key in keys])
    planned = sum((numbers[state] for state in _STATES), np.zeros(len(order)))
    # Three sums in 348 of one project are a point or so below zero; nothing is delivered then.
    delivered = np.maximum(planned + sprints.numbers("vel_diff"), 0)
    snapshot = Snapshot(moment, boards, order, numbers, found, delivered)
    # By id, and by board where several show the sprint, so that rows agree between moments.
    return snapshot.take(np.lexsort((boards, order)))


def _averages_of_issues(issues: Table) -> dict[tuple[str, str], np.ndarray]:
    columns = [issues.numbers(name) for name in _ISSUE_COUNTS]
    for name, kinds in _ISSUE_KINDS.items():
        texts = np.array(issues.texts(name))
        columns += [(texts == kind).astype(float) for kind in kinds]
    features = np.stack(columns, 1)
    rows: dict[tuple[str, str], list[int]] = {}
    for row, key in enumerate(zip(issues.texts("boardid"), issues.texts("sprintid"), strict=True)):
        rows.setdefault(key, []).append(row)
    return {key: features[of].mean(0) for key, of in rows.items()}
