"""What backlogs and teams are like, in numbers, from published files of sprints and issues.

Quantiles are at 21 even shares from 0 to 1, each project counted alike; sprints are those with
something planned when they begin.
"""

import json
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import numpy as np

from hrm_jax.core.config import configclass, from_dict
from hrm_jax.planning.forecast import sprints
from hrm_jax.planning.forecast.tables import plain_or_packed, projects_with, read_table

SHARES = np.linspace(0, 1, 21)

_PRIORITIES = {"Trivial": 1, "Minor": 1, "Major": 2, "Critical": 3, "Blocker": 4}
_WORKDAYS_A_WEEK = 5
_LAST_SPRINTS = 5
_FILE = "fitted.json"


@configclass
class Fitted:
    """Distributions of backlogs and teams; tuples of 21 are quantiles.

    Attributes:
      size: points of an issue over the project's mean.
      issues: issues of a sprint.
      members: people who have an issue of a sprint.
      days: working days of a sprint.
      load: points planned over the mean of what the board's last five sprints delivered.
      blocked: share of issues that another one blocks.
      priorities: shares of the priorities 1 (minor) to 4 (blocker).
    """

    size: tuple[float, ...]
    issues: tuple[float, ...]
    members: tuple[float, ...]
    days: tuple[float, ...]
    load: tuple[float, ...]
    blocked: float
    priorities: tuple[float, ...]


def fit(folder: Path) -> Fitted:
    """Returns the numbers of a folder with `sprints/` and `story_points/`.

    Raises:
      TableError, TextError, OSError: as `read_table`.
    """
    names = sprints.projects(folder / "sprints")
    snapshots = [sprints.read_project(folder / "sprints", name)[0] for name in names]
    planned = [snapshot.planned > 0 for snapshot in snapshots]

    def of_sprints(column: str) -> list[np.ndarray]:
        pairs = zip(snapshots, planned, strict=True)
        return [snapshot.numbers[column][rows] for snapshot, rows in pairs]

    paths = [plain_or_packed(folder / "sprints", f"{name}_issue_0") for name in names]
    issues = [read_table(path, ("priority", "no_blockedby")) for path in paths]
    blocked = [float(np.mean(table.numbers("no_blockedby") > 0)) for table in issues]
    # The files count days of the calendar, backlogs those of work.
    days = [values * _WORKDAYS_A_WEEK / 7 for values in of_sprints("planday")]
    return Fitted(
        size=_quantiles(_sizes(folder / "story_points")),
        issues=_quantiles(of_sprints("no_issue_starttime")),
        members=_quantiles(of_sprints("no_teammember")),
        days=_quantiles(days),
        load=_quantiles([_loads(snapshot) for snapshot in snapshots]),
        blocked=round(float(np.mean(blocked)), 4),
        priorities=_priorities([table.texts("priority") for table in issues]),
    )


def fitted() -> Fitted:
    """Returns the numbers that the package carries."""
    text = resources.files("hrm_jax.planning.backlogs").joinpath(_FILE).read_text(encoding="utf-8")
    return from_dict(Fitted, json.loads(text))


def _sizes(folder: Path) -> list[np.ndarray]:
    sizes = []
    for project in projects_with(folder, ""):
        table = read_table(plain_or_packed(folder, project), ("storypoint",))
        points = table.numbers("storypoint")
        # Points mean something else in each project, so sizes are over its own mean.
        sizes.append(points[points > 0] / points[points > 0].mean())
    return sizes


def _loads(snapshot: sprints.Snapshot) -> np.ndarray:
    found = []
    for board in np.unique(snapshot.boards):
        own = np.flatnonzero(snapshot.boards == board)
        # Only what was delivered before counts as the velocity that a team plans by.
        for place in range(_LAST_SPRINTS, len(own)):
            velocity = snapshot.delivered[own[place - _LAST_SPRINTS : place]].mean()
            if velocity > 0 and snapshot.planned[own[place]] > 0:
                found.append(snapshot.planned[own[place]] / velocity)
    return np.array(found)


def _quantiles(projects: Sequence[np.ndarray]) -> tuple[float, ...]:
    each = [np.quantile(values, SHARES) for values in projects if len(values)]
    # Means of quantiles, so that a project with thousands of sprints does not outweigh the others.
    return tuple(round(float(value), 4) for value in np.mean(each, axis=0))


def _priorities(projects: Sequence[Sequence[str]]) -> tuple[float, ...]:
    counts = np.zeros(4)
    for texts in projects:
        # Names that a project made up count as Major.
        found = np.bincount([_PRIORITIES.get(text, 2) - 1 for text in texts], minlength=4)
        counts += found / len(texts)
    return tuple(round(float(share), 4) for share in counts / counts.sum())
