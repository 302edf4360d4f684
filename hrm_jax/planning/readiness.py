"""Which tasks may be placed next: those that wait for nobody any more.

Compiled by Numba, for all kinds of schedule generation.
"""

import heapq
from typing import Any

import numba
import numpy as np

from hrm_jax.planning.staffing import Number
from hrm_jax.planning.tables import Tables


@numba.njit(cache=True)
def ready_at(tables: Tables, task: Number, end: np.ndarray) -> int:
    """Returns the earliest tick by which a task's predecessors, all placed, have ended."""
    ready = np.int64(0)
    for edge in range(tables.before_start[task], tables.before_start[task + 1]):
        ready = max(ready, np.int64(end[tables.before[edge]]))
    return int(ready)


@numba.njit(cache=True)
def count_waiting(tables: Tables, start: np.ndarray) -> np.ndarray:
    """Returns how many unplaced predecessors each task has, int32; -1 for placed tasks."""
    tasks = len(tables.work)
    waiting = np.zeros(tasks, np.int32)
    for task in range(tasks):
        for edge in range(tables.before_start[task], tables.before_start[task + 1]):
            waiting[task] += start[tables.before[edge]] < 0
        if start[task] >= 0:
            waiting[task] = -1
    return waiting


@numba.njit(cache=True)
def serial_order(tables: Tables, priorities: np.ndarray, start: np.ndarray) -> np.ndarray:
    """Returns the tasks yet to be placed: at each step the first by priority that waits for none.

    Args:
      tables: the instance, without cycles.
      priorities: float32 [tasks], higher comes first.
      start: int32 [tasks], -1 for tasks that are not placed yet.
    """
    tasks = len(tables.work)
    waiting = count_waiting(tables, start)
    rank = np.argsort(-priorities, kind="mergesort")
    # The heap holds the ready tasks by rank, that of highest priority on top.
    position = np.empty(tasks, np.int64)
    for index in range(tasks):
        position[rank[index]] = index
    # With an item at first, so that the compiler knows the list's type.
    ready: list[Any] = [np.int64(-1)]
    ready.pop()
    for task in range(tasks):
        if waiting[task] == 0:
            heapq.heappush(ready, position[task])
    order = np.empty(tasks, np.int64)
    count = 0
    while len(ready) > 0:
        task = rank[heapq.heappop(ready)]
        order[count] = task
        count += 1
        for edge in range(tables.after_start[task], tables.after_start[task + 1]):
            other = np.int64(tables.after[edge])
            waiting[other] -= 1
            if waiting[other] == 0:
                heapq.heappush(ready, position[other])
    return order[:count]
