"""Priority rules: what a careful planner takes first."""

import numpy as np
from jaxtyping import Float32, Float64

from hrm_jax.planning.tables import Tables

RULES = ("tail", "latest start", "most work behind", "due", "first come")
"""Names of the rows of `rule_priorities`."""


def rule_priorities(tables: Tables) -> Float32[np.ndarray, "rules tasks"]:
    """Returns priorities from 0 to 1 by each of `RULES`; higher comes first.

    tail: the longest chain of work from the task on; latest start: the least room before that
    chain has to start, which also counts what comes before; most work behind: the work of all
    that waits for it, times people; due: the earliest due date, of all that waits for it too,
    weighed by priority; first come: the order of the list.
    """
    tasks = len(tables.work)
    work = tables.work / 100
    head, tail = chains(tables)
    due = np.where(tables.due >= 0, tables.due, np.inf)
    behind = np.zeros(tasks)
    effort = work * np.maximum(tables.team_sizes(), 1)
    # From the end on, so that what waits for a task is known before it. Work that waits along
    # several chains counts once for each of them.
    for task in tables.order[::-1]:
        later = tables.tasks_after(task)
        due[task] = min([due[task], *(due[other] - work[other] for other in later)])
        behind[task] = effort[task] + sum(behind[other] for other in later)
    # Nothing due waits for a task of infinite `due`: it comes behind all others.
    latest = due - work
    finite = np.isfinite(latest)
    horizon = latest[finite].max() if finite.any() else 0
    urgency = np.where(finite, horizon - latest, -1 - work.sum()) + np.log1p(tables.priority)
    # In the order of `RULES`, each from 0 to 1 afterwards, so that noise means the same to all.
    rows = [tail, tail - head, np.log1p(behind), urgency, -np.arange(tasks)]
    return np.stack([_unit(row) for row in rows]).astype(np.float32)


def chains(
    tables: Tables,
) -> tuple[Float64[np.ndarray, "tasks"], Float64[np.ndarray, "tasks"]]:
    """Returns the tick before which each task cannot start, and the ticks of work from it on.

    Both are of the longest chain of dependencies, at rate 100, as if there were people enough.
    """
    work = tables.work / 100
    head = np.zeros(len(work))
    tail = np.zeros(len(work))
    for task in tables.order[::-1]:
        later = tables.tasks_after(task)
        tail[task] = work[task] + max((tail[other] for other in later), default=0)
    for task in tables.order:
        before = tables.tasks_before(task)
        ready = max((head[other] + work[other] for other in before), default=0)
        head[task] = max(tables.earliest[task], ready)
    return head, tail


def scarcity(tables: Tables) -> Float32[np.ndarray, "people"]:
    """Returns from 0 to 1 how costly it is to give work to a person: how much work wants them.

    A person with few skills comes first, and one whose skills many tasks ask for last.
    """
    kinds = tables.able.shape[1]
    wanted = np.zeros(kinds)
    for task in range(len(tables.work)):
        for need, count in tables.needs_of(task):
            wanted[need] += tables.work[task] * count
    pressure = wanted / np.maximum(tables.able.sum(axis=0), 1)
    # Those who are slower or work less are kept for later too, as they stretch what they do.
    mean_rate = np.maximum(tables.rates.mean(axis=1), 1)[tables.profile]
    speed = mean_rate.max() / mean_rate if len(mean_rate) else mean_rate
    return _unit(tables.able @ pressure + 0.5 * pressure.sum() * (speed - 1)).astype(np.float32)


def _unit(values: np.ndarray) -> np.ndarray:
    """Returns values moved and scaled to reach from 0 to 1."""
    if not len(values) or np.ptp(values) == 0:
        return np.zeros(len(values))
    return (values - values.min()) / np.ptp(values)
