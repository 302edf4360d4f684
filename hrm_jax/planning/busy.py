"""When people are busy, as schedule generation keeps it: intervals of each person, in order.

Compiled by Numba; what is called most takes arrays, and not the tuple of all, as in `staffing`.
"""

import numba
import numpy as np

from hrm_jax.planning.staffing import FOREVER, Number
from hrm_jax.planning.tables import Tables

Busy = tuple[np.ndarray, np.ndarray, np.ndarray]
"""Starts and ends, int32 [people, tasks and one more], and counts, int32 [people]."""


@numba.njit(cache=True)
def next_busy(
    busy_start: np.ndarray,
    busy_end: np.ndarray,
    busy_count: np.ndarray,
    person: Number,
    tick: Number,
) -> tuple[int, int, int]:
    """Returns the position, start and end of a person's first interval that ends after a tick.

    The start is FOREVER where there is none.
    """
    # A person's intervals do not overlap, so their ends are in order as their starts are.
    low = 0
    count = busy_count[person]
    high = count
    while low < high:
        middle = (low + high) // 2
        if busy_end[person, middle] > tick:
            high = middle
        else:
            low = middle + 1
    if low == count:
        return low, int(FOREVER), int(FOREVER)
    return low, int(busy_start[person, low]), int(busy_end[person, low])


@numba.njit(cache=True)
def occupy(busy: Busy, members: np.ndarray, size: Number, start: Number, end: Number) -> None:
    """Adds an interval, in which they are not busy yet, to each of so many members of a team."""
    if end == start:
        return
    busy_start, busy_end, busy_count = busy
    for member in range(size):
        person = np.int64(members[member])
        position = next_busy(busy_start, busy_end, busy_count, person, start)[0]
        count = busy_count[person]
        for later in range(count, position, -1):
            busy_start[person, later] = busy_start[person, later - 1]
            busy_end[person, later] = busy_end[person, later - 1]
        busy_start[person, position] = start
        busy_end[person, position] = end
        busy_count[person] = count + 1


@numba.njit(cache=True)
def enough_free(
    tables: Tables,
    task: Number,
    tick: Number,
    length: Number,
    ranked: np.ndarray,
    busy: Busy,
    free_from: np.ndarray,
    first: np.ndarray,
) -> int:
    """Returns a tick before which some need has too few people who are free for long enough.

    Each person counts from their first such tick on, though they may be busy again later; so at the
    tick returned there may be too few as well. FOREVER if a need has too few people at all.

    Args:
      tables: the instance, of constant rates.
      task: what they are needed for.
      tick: the earliest to return.
      length: how long they have to be free, at least 1.
      ranked: people who may do the task.
      busy: when they are not free.
      free_from: [people], overwritten.
      first: [people of the task and more], overwritten.
    """
    busy_start, busy_end, busy_count = busy
    for person in ranked:
        position, busy_from, busy_until = next_busy(busy_start, busy_end, busy_count, person, tick)
        begin = tick
        while busy_from < begin + length:
            begin = busy_until
            position += 1
            if position == busy_count[person]:
                break
            busy_from = busy_start[person, position]
            busy_until = busy_end[person, position]
        free_from[person] = begin
    enough = tick
    able = tables.able
    for entry in range(tables.need_start[task], tables.need_start[task + 1]):
        need = tables.need_index[entry]
        count = tables.need_count[entry]
        # `first` are the earliest of those who serve it, in order. Of as many as the need takes,
        # the last tells when it can be met.
        known = 0
        for person in ranked:
            begin = free_from[person]
            if not able[person, need]:
                continue
            if known == count and begin >= first[count - 1]:
                continue
            known += known < count
            place = known - 1
            while place > 0 and first[place - 1] > begin:
                first[place] = first[place - 1]
                place -= 1
            first[place] = begin
        if known < count:
            return int(FOREVER)
        if count > 0:
            enough = max(enough, first[count - 1])
    return int(enough)
