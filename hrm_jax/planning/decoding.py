"""From priorities of tasks and preferences for people to a plan: schedule generation.

*Serial*: the task of highest priority whose predecessors are placed goes to its earliest place,
which may lie before tasks placed earlier. *Parallel*: time passes, and at each moment the tasks
that could start do, in the order of priority. Serial generation reaches an optimal plan for every
instance of constant rates, parallel generation often reaches good ones sooner.

Compiled by Numba, once for every combination of the arguments' types, which is slow. So numbers are
int64 where a function is called with them: int32, as arrays hold, and literals would be others.
Numba keeps a function's code, with that of all it calls, until the function's own file changes. So
after a change here or in what is called from here, `searching` and `guiding` run the old code until
their `__pycache__/*.nb?` are deleted.
"""

import numba
import numpy as np

from hrm_jax.planning.busy import Busy, enough_free, next_busy, occupy
from hrm_jax.planning.pools import decode_pools
from hrm_jax.planning.readiness import count_waiting, ready_at, serial_order
from hrm_jax.planning.staffing import FOREVER, choose_team, rate_at, team_end
from hrm_jax.planning.tables import Tables


@numba.njit(cache=True)
def decode(
    tables: Tables,
    priorities: np.ndarray,
    costs: np.ndarray,
    parallel: bool | np.bool_,
    start: np.ndarray,
    end: np.ndarray,
    team: np.ndarray,
) -> bool:
    """Writes a plan; returns whether every task found its place.

    Args:
      tables: the instance.
      priorities: float32 [tasks], higher comes first.
      costs: float32 [tasks, people], of giving a task to a person; lower is preferred.
      parallel: how plans are generated.
      start: int32 [tasks], written.
      end: int32 [tasks], written.
      team: int32 [tasks, width], written: people, then -1; width is the size of the largest team.
    """
    if len(tables.pools) > 0:
        return decode_pools(tables, priorities, parallel, start, end, team)
    tasks, people = costs.shape
    # For each person the intervals of their tasks, in order; at most one a task, so they never
    # grow.
    busy_start = np.empty((people, tasks + 1), np.int32)
    busy_end = np.empty((people, tasks + 1), np.int32)
    busy_count = np.zeros(people, np.int32)
    busy: Busy = (busy_start, busy_end, busy_count)
    start[:] = -1
    team[:] = -1
    # What has begun is placed first, in either way: its times are given, and others go round it.
    if not _place_begun(tables, busy, start, end, team):
        return False
    if parallel:
        return _decode_parallel(tables, priorities, costs, busy, start, end, team)
    return _decode_serial(tables, priorities, costs, busy, start, end, team)


@numba.njit(cache=True)
def _place_begun(tables, busy, start, end, team):
    """Places the tasks that have begun; False where they contradict each other."""
    busy_start, busy_end, busy_count = busy
    # Predecessors first, as `ready_at` reads their ends.
    for task in tables.order.astype(np.int64):
        if tables.started[task] < 0:
            continue
        size = np.int64(0)
        for person in range(tables.allowed.shape[1]):
            if tables.fixed[task, person]:
                if not tables.allowed[task, person]:
                    return False
                team[task, size] = person
                size += 1
        begun = np.int64(tables.started[task])
        until = team_end(tables, tables.work[task], begun, team[task], size)
        start[task] = begun
        end[task] = until
        if until >= FOREVER or ready_at(tables, task, end) > begun:
            return False
        for member in range(size):
            person = np.int64(team[task, member])
            if next_busy(busy_start, busy_end, busy_count, person, begun)[1] < until:
                return False
        if not _seatable(tables, task, team[task], size):
            return False
        occupy(busy, team[task], size, begun, until)
    return True


@numba.njit(cache=True)
def _seatable(tables, task, members, size):
    seats = np.empty(size + 1, np.int32)
    again = np.empty(size + 1, np.int32)
    # Everybody counts as free here: only the needs decide who can be seated.
    ones = np.ones(tables.allowed.shape[1], np.int32)
    return choose_team(tables, task, size, members[:size].astype(np.int64), ones, seats, again)


@numba.njit(cache=True)
def _ranked(tables, task, costs):
    """Returns who may do a task, those who must first, then by cost.

    Those who must are there even where they cannot: `choose_team` then finds no team.
    """
    keys = np.empty(costs.shape[1], np.float32)
    people = np.empty(costs.shape[1], np.int64)
    fixed = tables.fixed[task]
    allowed = tables.allowed[task]
    count = 0
    for person in range(costs.shape[1]):
        if fixed[person]:
            keys[count] = -np.float32(np.inf)
        elif allowed[person]:
            keys[count] = costs[task, person]
        else:
            continue
        people[count] = person
        count += 1
    # A stable sort, so that people of equal cost come in the order of the team.
    return people[np.argsort(keys[:count], kind="mergesort")]


@numba.njit(cache=True)
def _scratch(tables, width):
    """Returns what `_staff` works with, of no meaning between calls, and the highest rate.

    That is 0 where rates change in time.
    """
    people = tables.allowed.shape[1]
    seats = np.empty(width + 1, np.int32)
    free_until = np.empty(people, np.int32)
    retry = np.empty(people, np.int32)
    constant = tables.rates.shape[1] == 1 and people > 0
    fastest = np.int64(tables.rates.max()) if constant else np.int64(0)
    return seats, free_until, retry, fastest


@numba.njit(cache=True)
def _staff(tables, task, size, tick, ranked, busy, scratch, members):
    """Finds a team that can start a task at a tick.

    Returns:
      The tick at which it ends, or -1 without a team; and the next tick at which that may change.
    """
    seats, free_until, retry, fastest = scratch
    # The least time that any team takes, a tick where it is unknown. Who is free for less is of no
    # use.
    length = max((tables.work[task] + fastest - 1) // fastest, 1) if fastest > 0 else 1
    # Who could begin now, until when each is free, and when the work that ends this is over. Of the
    # others, `following` is when the first could begin.
    following = int(FOREVER)
    free = 0
    busy_start, busy_end, busy_count = busy
    rates = tables.rates
    period = tables.period
    profile = tables.profile
    for person in ranked:
        _, busy_from, busy_until = next_busy(busy_start, busy_end, busy_count, person, tick)
        free_until[person] = 0
        if busy_from < tick + length:
            following = min(following, busy_until)
        elif rate_at(rates, period, profile[person], tick) == 0:
            following = min(following, tick + 1)
        else:
            free_until[person] = busy_from
            retry[person] = busy_until
            free += 1
    # The cheapest team may not be free for long enough: who is not is left out, and the next
    # cheapest team tried, until one holds or none can be seated.
    while free >= size and choose_team(tables, task, size, ranked, free_until, seats, members):
        end = team_end(tables, tables.work[task], tick, members, size)
        if end >= FOREVER:
            # Somebody never works when the others do: try without the least preferred of them.
            free_until[members[size - 1]] = 0
            continue
        late = False
        for member in range(size):
            person = members[member]
            if free_until[person] < end:
                free_until[person] = 0
                following = min(following, retry[person])
                late = True
        if not late:
            return end, following
    for person in ranked:
        if free_until[person] > 0:
            following = min(following, retry[person])
    if fastest > 0:
        # Each time that anybody becomes free would be tried, and most fail. What `retry` and
        # `seats` hold is not needed any more.
        enough = enough_free(tables, task, tick, length, ranked, busy, retry, seats)
        following = max(following, enough)
    return -1, following


@numba.njit(cache=True)
def _team_size(tables, task):
    size = np.int64(0)
    for entry in range(tables.need_start[task], tables.need_start[task + 1]):
        size += tables.need_count[entry]
    return size


@numba.njit(cache=True)
def _last_tick(tables, busy, earliest):
    """Returns a tick by which everybody is free and has shown a whole week."""
    last = max(earliest, tables.rates.shape[1])
    _, busy_end, busy_count = busy
    for person in range(len(busy_count)):
        count = busy_count[person]
        if count:
            last = max(last, busy_end[person, count - 1])
    return last + tables.period


@numba.njit(cache=True)
def _place(tables, task, busy, ranked, start, end, team, scratch):
    """Places a task as early as possible; False where it fits nowhere."""
    size = _team_size(tables, task)
    tick = max(tables.earliest[task], ready_at(tables, task, end))
    if size == 0:
        start[task] = tick
        end[task] = team_end(tables, tables.work[task], tick, team[task], size)
        return True
    last = _last_tick(tables, busy, tick)
    # Behind `last` the weeks repeat: who finds no place until then never finds one.
    while tick <= last:
        until, following = _staff(tables, task, size, tick, ranked, busy, scratch, team[task])
        if until >= 0:
            start[task] = tick
            end[task] = until
            occupy(busy, team[task], size, tick, until)
            return True
        tick = following
    return False


@numba.njit(cache=True)
def _decode_serial(tables, priorities, costs, busy, start, end, team):
    scratch = _scratch(tables, team.shape[1])
    for task in serial_order(tables, priorities, start):
        ranked = _ranked(tables, task, costs)
        if not _place(tables, task, busy, ranked, start, end, team, scratch):
            return False
    return True


@numba.njit(cache=True)
def _decode_parallel(tables, priorities, costs, busy, start, end, team):
    tasks = len(tables.work)
    scratch = _scratch(tables, team.shape[1])
    rank = np.argsort(-priorities, kind="mergesort")
    # Who may do each task, found at its first try, and how many they are; -1 before.
    ranked = np.empty(costs.shape, np.int64)
    may = np.full(tasks, -1, np.int64)
    waiting = count_waiting(tables, start)
    # The next tick at which a task may find its place: later placements never make it earlier.
    retry = tables.earliest.copy()
    left = 0
    for task in range(tasks):
        left += waiting[task] >= 0
        if waiting[task] == 0:
            retry[task] = max(retry[task], ready_at(tables, task, end))
    # By then all tasks are released, and those that are placed have ended.
    settled = np.int64(tables.earliest.max()) if tasks else np.int64(0)
    tick = np.int64(0)
    while left > 0:
        following = int(FOREVER)
        # In the order of priority, so that those behind get whom the earlier ones leave.
        # `following` becomes the next tick at which another one may start.
        for task in rank:
            if waiting[task] != 0:
                continue
            if retry[task] > tick:
                following = min(following, retry[task])
                continue
            if may[task] < 0:
                found = _ranked(tables, task, costs)
                may[task] = len(found)
                ranked[task, : len(found)] = found
            able = ranked[task, : may[task]]
            until, retry[task] = _start(tables, task, tick, able, busy, team, scratch)
            if until < 0:
                following = min(following, retry[task])
                continue
            start[task] = tick
            end[task] = until
            # Work that nobody does keeps nobody busy, so `_last_tick` does not see it.
            settled = max(settled, np.int64(until))
            waiting[task] = -1
            left -= 1
            for edge in range(tables.after_start[task], tables.after_start[task + 1]):
                other = np.int64(tables.after[edge])
                waiting[other] -= 1
                if waiting[other] == 0:
                    retry[other] = max(retry[other], ready_at(tables, other, end))
                    # Behind a milestone this may be the same tick, which is then gone through
                    # again.
                    following = min(following, retry[other])
        # By then all are free and have shown a whole week: what could not start will never.
        if left > 0 and following > _last_tick(tables, busy, settled):
            return False
        tick = following
    return True


@numba.njit(cache=True)
def _start(tables, task, tick, ranked, busy, team, scratch):
    """Starts a task at a tick if it can; returns its end or -1, and when to try again."""
    size = _team_size(tables, task)
    if size == 0:
        return team_end(tables, tables.work[task], tick, team[task], size), int(FOREVER)
    until, following = _staff(tables, task, size, tick, ranked, busy, scratch, team[task])
    if until >= 0:
        occupy(busy, team[task], size, tick, until)
    else:
        team[task, :] = -1
    return until, following
