"""Made projects: sprints in files, and issues whose words tell their sizes."""

import numpy as np

from hrm_jax.planning.forecast.sprints import MOMENTS
from hrm_jax.planning.forecast.text_features import Issues

SPRINT_COLUMNS = (
    "boardid,sprintid,name,vel_diff,planday,no_issue_starttime,vel_starttime,no_issue_added,"
    "vel_added,no_issue_removed,vel_removed,no_issuetodo,vel_todo,no_issueinprogress,"
    "vel_inprogress,no_issuedone,vel_done,no_admin,no_teammember"
)
ISSUE_COLUMNS = (
    "boardid,sprintid,type,priority,no_comment,no_affectversion,no_fixversion,no_issuelink,"
    "no_blocking,no_blockedby,no_fixversion_change,no_priority_change,no_des_change,gunning_fog"
)


def write_sprints(folder, count=160, seed=0, project="made"):
    """Writes a project of two boards; every tenth sprint has nothing planned."""
    rng = np.random.default_rng(seed)
    planned = rng.integers(5, 40, count) * (np.arange(count) % 10 > 0)
    delivered = np.round(planned * rng.choice([0, 0.5, 1.0], count, p=[0.2, 0.3, 0.5])).astype(int)
    for moment in MOMENTS:
        done = delivered * moment // 100
        rows, issues = [SPRINT_COLUMNS], [ISSUE_COLUMNS]
        for i in range(count):
            board, todo = i % 2 + 1, planned[i] - done[i]
            rows.append(
                f"{board},{i},a, b {i},{delivered[i] - planned[i]},14,3,{planned[i]},0,0,0,0,"
                f"2,{todo},0,0,1,{done[i]},1,4"
            )
            issues.append(f"{board},{i},Bug,Major,{i % 3},0,1,0,0,0,0,0,0,easy")
        (folder / f"{project}_iteration_{moment}.csv").write_text("\n".join(rows) + "\n")
        (folder / f"{project}_issue_{moment}.csv").write_text("\n".join(issues) + "\n")
    return planned, delivered


def issues(count=120, seed=0):
    """Returns issues of two sorts, and sizes: of one sort about 2, of the other about 8."""
    rng = np.random.default_rng(seed)
    large = rng.random(count) < 0.5
    titles = [
        f"{'rewrite the scheduler' if big else 'fix a typo'} number {i}"
        for i, big in enumerate(large)
    ]
    sizes = np.where(large, rng.integers(6, 11, count), rng.integers(1, 4, count)).astype(float)
    keys = [f"A-{i}" for i in range(count)]
    return Issues(keys, titles, [""] * count, {"type": ["Bug"] * count}), sizes
