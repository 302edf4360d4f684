"""Schedule generation where people are pools, as units of a machine are: they are only counted.

Where nothing tells the people of a need apart and nobody serves two, whom a task gets does not
matter: as long as no tick asks for more people than a pool has, all tasks can be staffed (intervals
are coloured greedily in the order of their starts). So plans are made of starts alone, and people
are named at the end. What `decoding` does for each person is done once a pool here; serial
generation finds earlier places too, as who does the earlier tasks is not settled yet.

Compiled by Numba; `decoding` says what follows from that.
"""

import numba
import numpy as np
from jaxtyping import Int32

from hrm_jax.planning.readiness import count_waiting, ready_at, serial_order
from hrm_jax.planning.staffing import FOREVER
from hrm_jax.planning.tables import Tables


def pool_sizes(tables: Tables) -> Int32[np.ndarray, "needs"]:
    """Returns how many people serve each need, if they are pools; otherwise nothing, [0].

    They are if everybody works at one rate all the time and serves one need at most, and no task
    has begun, asks for somebody or forbids somebody.
    """
    none = np.zeros(0, np.int32)
    able = tables.able
    if not tables.constant or not able.any() or (tables.started >= 0).any():
        return none
    rates = tables.rates[tables.profile[able.any(axis=1)]]
    alike = (rates == rates[0]).all() and rates[0, 0] > 0
    serving = np.zeros_like(tables.allowed)
    for task in range(len(tables.work)):
        needs = [need for need, _ in tables.needs_of(task)]
        serving[task] = able[:, needs].any(axis=1)
    named = tables.fixed.any() or (tables.allowed != serving).any()
    if not alike or named or (able.sum(axis=1) > 1).any():
        return none
    return able.sum(axis=0).astype(np.int32)


@numba.njit(cache=True)
def decode_pools(
    tables: Tables,
    priorities: np.ndarray,
    parallel: bool | np.bool_,
    start: np.ndarray,
    end: np.ndarray,
    team: np.ndarray,
) -> bool:
    """Writes a plan; returns whether every task found its place.

    Args:
      tables: the instance, whose `pools` are known.
      priorities: float32 [tasks], higher comes first.
      parallel: as in `decoding`.
      start: int32 [tasks], written.
      end: int32 [tasks], written.
      team: int32 [tasks, width], written: people, then -1.
    """
    pools = tables.pools
    for entry in range(len(tables.need_count)):
        if tables.need_count[entry] > pools[tables.need_index[entry]]:
            return False
    start[:] = -1
    team[:] = -1
    length = _lengths(tables)
    if parallel:
        _place_parallel(tables, priorities, length, start, end)
    else:
        _place_serial(tables, priorities, length, start, end)
    _name_people(tables, start, end, team)
    return True


@numba.njit(cache=True)
def _lengths(tables):
    """Returns the ticks that each task takes; without people, at the full rate."""
    rate = np.int64(100)
    for person in range(tables.able.shape[0]):
        if tables.able[person].any():
            rate = np.int64(tables.rates[tables.profile[person], 0])
    length = np.empty(len(tables.work), np.int64)
    for task in range(len(length)):
        staffed = tables.need_start[task + 1] > tables.need_start[task]
        pace = rate if staffed else np.int64(100)
        length[task] = (tables.work[task] + pace - 1) // pace
    return length


@numba.njit(cache=True)
def _place_serial(tables, priorities, length, start, end):
    tasks = len(length)
    # From `times[i]` until the next of them `free[i]` people of each pool are free; each task adds
    # two times at most.
    times = np.empty(2 * tasks + 1, np.int64)
    free = np.empty((2 * tasks + 1, len(tables.pools)), np.int32)
    times[0] = 0
    free[0] = tables.pools
    steps = 1
    for task in serial_order(tables, priorities, start):
        ready = max(np.int64(tables.earliest[task]), ready_at(tables, task, end))
        first = tables.need_start[task]
        last = tables.need_start[task + 1]
        tick = ready
        if last > first:
            tick = _earliest(
                tables.need_index[first:last],
                tables.need_count[first:last],
                ready,
                length[task],
                times,
                free,
                steps,
            )
        until = tick + length[task]
        start[task] = tick
        end[task] = until
        if last > first:
            steps = _cut(times, free, steps, tick)
            steps = _cut(times, free, steps, until)
            step = np.searchsorted(times[:steps], tick)
            while times[step] < until:
                for entry in range(first, last):
                    free[step, tables.need_index[entry]] -= tables.need_count[entry]
                step += 1


@numba.njit(cache=True)
def _earliest(needs, counts, ready, length, times, free, steps):
    """Returns the first tick from which on so many people are free for a length."""
    step = np.searchsorted(times[:steps], ready, side="right") - 1
    tick = ready
    # At the last step all are free, so a place is found there at the latest.
    while step < steps and times[step] < tick + length:
        enough = True
        for entry in range(len(needs)):
            if free[step, needs[entry]] < counts[entry]:
                enough = False
                break
        step += 1
        if not enough:
            tick = times[step]
    return tick


@numba.njit(cache=True)
def _cut(times, free, steps, tick):
    """Makes a step begin at a tick; returns how many steps there are then."""
    step = np.searchsorted(times[:steps], tick)
    if step < steps and times[step] == tick:
        return steps
    for later in range(steps, step, -1):
        times[later] = times[later - 1]
        for pool in range(free.shape[1]):
            free[later, pool] = free[later - 1, pool]
    times[step] = tick
    for pool in range(free.shape[1]):
        free[step, pool] = free[step - 1, pool]
    return steps + 1


@numba.njit(cache=True)
def _place_parallel(tables, priorities, length, start, end):
    tasks = len(length)
    rank = np.argsort(-priorities, kind="mergesort")
    free = tables.pools.copy()
    waiting = count_waiting(tables, start)
    # When each task may start at the earliest, as soon as that is known.
    ready = tables.earliest.astype(np.int64)
    # Tasks that keep people busy, those that end last in front.
    running = np.empty(tasks, np.int64)
    busy = 0
    left = tasks
    tick = np.int64(0)
    while left > 0:
        while busy > 0 and end[running[busy - 1]] <= tick:
            busy -= 1
            _take(tables, running[busy], free, -1)
        following = np.int64(FOREVER)
        for task in rank:
            if waiting[task] != 0:
                continue
            if ready[task] > tick:
                following = min(following, ready[task])
                continue
            if not _enough(tables, task, free):
                continue
            start[task] = tick
            end[task] = tick + length[task]
            waiting[task] = -1
            left -= 1
            if tables.need_start[task + 1] > tables.need_start[task]:
                _take(tables, task, free, 1)
                place = busy
                while place > 0 and end[running[place - 1]] < end[task]:
                    running[place] = running[place - 1]
                    place -= 1
                running[place] = task
                busy += 1
            for edge in range(tables.after_start[task], tables.after_start[task + 1]):
                other = np.int64(tables.after[edge])
                waiting[other] -= 1
                if waiting[other] == 0:
                    ready[other] = max(ready[other], ready_at(tables, other, end))
                    # Behind a milestone this may be the same tick, which is then gone through
                    # again.
                    following = min(following, ready[other])
        if busy > 0:
            following = min(following, np.int64(end[running[busy - 1]]))
        tick = following


@numba.njit(cache=True)
def _enough(tables, task, free):
    for entry in range(tables.need_start[task], tables.need_start[task + 1]):
        if free[tables.need_index[entry]] < tables.need_count[entry]:
            return False
    return True


@numba.njit(cache=True)
def _take(tables, task, free, sign):
    for entry in range(tables.need_start[task], tables.need_start[task + 1]):
        free[tables.need_index[entry]] -= sign * tables.need_count[entry]


@numba.njit(cache=True)
def _name_people(tables, start, end, team):
    """Gives each task people who are free, those first who have been for longest."""
    pools = tables.pools
    # A ring of the free people of each pool: whom it lends next at `first`, who comes back goes to
    # `last`.
    ring = np.empty((len(pools), pools.max()), np.int32)
    first = np.zeros(len(pools), np.int64)
    last = np.zeros(len(pools), np.int64)
    for person in range(tables.able.shape[0]):
        for pool in range(len(pools)):
            if tables.able[person, pool]:
                ring[pool, last[pool]] = person
                last[pool] += 1
    last[:] = 0
    by_end = np.argsort(end, kind="mergesort")
    ended = 0
    for task in np.argsort(start, kind="mergesort"):
        while ended < len(by_end) and end[by_end[ended]] <= start[task]:
            done = by_end[ended]
            place = 0
            for entry in range(tables.need_start[done], tables.need_start[done + 1]):
                pool = tables.need_index[entry]
                at = last[pool]
                for _ in range(tables.need_count[entry]):
                    ring[pool, at] = team[done, place]
                    at = at + 1 if at + 1 < pools[pool] else 0
                    place += 1
                last[pool] = at
            ended += 1
        place = 0
        for entry in range(tables.need_start[task], tables.need_start[task + 1]):
            pool = tables.need_index[entry]
            at = first[pool]
            for _ in range(tables.need_count[entry]):
                team[task, place] = ring[pool, at]
                at = at + 1 if at + 1 < pools[pool] else 0
                place += 1
            first[pool] = at
