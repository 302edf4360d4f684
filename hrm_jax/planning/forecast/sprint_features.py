"""What is known of a sprint at a moment of its time, as numbers that a model learns from.

Nothing here is of the future: features are of the sprint up to the moment, and of what earlier
sprints, those with smaller ids, delivered at their end.
"""

from collections.abc import Sequence

import numpy as np

from hrm_jax.planning.forecast.sprints import Snapshot

RECENT = 5
"""Sprints of a board or project whose average stands for how it went of late."""


def features(snapshots: Sequence[Snapshot]) -> np.ndarray:
    """Returns float64 [sprints, features]; NaN where something is not known.

    Args:
      snapshots: those of a project up to the moment of the forecast, which is the last one's.
    """
    now = snapshots[-1]
    planned = _none_if_zero(now.planned)
    # Over what is planned, so that sprints of small and of large teams compare.
    shares = [
        now.numbers[name] / planned
        for name in ("vel_done", "vel_inprogress", "vel_starttime", "vel_added", "vel_removed")
    ]
    counts = [
        now.numbers[name]
        for name in ("no_issuetodo", "no_issueinprogress", "no_issuedone", "no_issue_added")
    ]
    issues = sum(counts[:3], np.zeros(len(now.order)))
    sizes = [np.log1p(now.planned), now.planned / _none_if_zero(issues), issues]
    people = [now.numbers[name] for name in ("planday", "no_teammember", "no_admin")]
    # How the sprint stood at the earlier moments, over what is planned now.
    before = [
        earlier.numbers[name] / planned
        for earlier in snapshots[:-1]
        for name in ("vel_done", "vel_inprogress", "vel_added")
    ]
    past = history(now)
    columns = [*shares, *counts, *sizes, *people, *before, past, now.issues]
    return np.column_stack(columns)


def history(now: Snapshot) -> np.ndarray:
    """Returns float64 [sprints, 8], how earlier sprints of the board and of the project ended.

    For the board and then for the project: the last ratio of delivered to planned, the average of
    the last `RECENT` ratios, points delivered on average over points planned now, and how many
    earlier sprints there are.
    """
    planned = _none_if_zero(now.planned)
    ratio = now.delivered / planned
    # One name for all makes the whole project a group.
    every = np.full(len(now.order), "")
    parts = []
    for group in (now.boards, every):
        last, recent, velocity, count = _past(group, now.order, ratio, now.delivered)
        parts += [last, recent, velocity / planned, count]
    return np.column_stack(parts)


def last_ratios(now: Snapshot) -> np.ndarray:
    """Returns the average of the last ratios of delivered to planned of each sprint's board.

    Where the board has none yet, that of the project, and 1 where that has none.
    """
    past = history(now)
    of_board, of_project = past[:, 1], past[:, 5]
    known = np.where(np.isnan(of_board), of_project, of_board)
    return np.where(np.isnan(known), 1.0, known)


def _past(
    group: np.ndarray, order: np.ndarray, ratio: np.ndarray, delivered: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    last, recent, velocity, count = (np.full(len(order), np.nan) for _ in range(4))
    for name in np.unique(group):
        rows = np.flatnonzero(group == name)
        for row in rows:
            # One sprint may have rows of other boards: equal ids are at the same time.
            earlier = rows[order[rows] < order[row]]
            count[row] = len(earlier)
            if len(earlier):
                velocity[row] = delivered[earlier[-RECENT:]].mean()
            known = earlier[np.isfinite(ratio[earlier])]
            if len(known):
                last[row] = ratio[known[-1]]
                recent[row] = ratio[known[-RECENT:]].mean()
    return last, recent, velocity, count


def _none_if_zero(values: np.ndarray) -> np.ndarray:
    return np.where(values > 0, values, np.nan)
