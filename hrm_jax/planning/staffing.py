"""Who of the free people does a task at a tick: the cheapest team that can be seated.

Sets of people who can be seated in a task's places are the independent sets of a matroid, so taking
people in the order of their costs, each if the others can still be seated, gives the team of least
total cost. Compiled by Numba; arrays and indices as in `tables.Tables`.

What is called most takes arrays, and not the tuple of all: Numba counts references to the arrays of
a tuple when it is passed, which costs more than such a function itself.
"""

import numba
import numpy as np

from hrm_jax.planning.tables import Tables

FOREVER = np.int32(2**30)
"""A tick that no plan reaches."""

FULL = 100

Number = int | np.int64


@numba.njit(cache=True)
def rate_at(rates: np.ndarray, period: Number, row: Number, tick: Number) -> int:
    """Returns a rate in a tick, in percent.

    Args:
      rates: of all people, as in `Tables`.
      period: of their repetition, likewise.
      row: which of the rates.
      tick: any from 0 on.
    """
    columns = rates.shape[1]
    if tick >= columns:
        # Behind the last column the last `period` columns repeat for ever.
        tick = columns - period + (tick - columns) % period
    return int(rates[row, tick])


@numba.njit(cache=True)
def team_end(tables: Tables, work: Number, start: Number, team: np.ndarray, size: Number) -> int:
    """Returns the tick by which a team has done some work from `start` on; FOREVER if it cannot."""
    if work == 0:
        return int(start)
    rates = tables.rates
    period = tables.period
    profile = tables.profile
    # One rate for ever: the end is a quotient, rounded up, and no walk.
    if size == 0 or rates.shape[1] == 1:
        slowest = FULL if size == 0 else 1 << 20
        for member in range(size):
            slowest = min(slowest, int(rates[profile[team[member]], 0]))
        return int(start + (work + slowest - 1) // slowest)
    tick = np.int64(start)
    idle = 0
    while work > 0:
        # Above every rate.
        slowest = 1 << 20
        for member in range(size):
            slowest = min(slowest, rate_at(rates, period, np.int64(profile[team[member]]), tick))
        work -= slowest
        idle = 0 if slowest > 0 else idle + 1
        # A whole week behind the last absence had no tick in which all of them work.
        if idle > rates.shape[1] + period:
            return int(FOREVER)
        tick += 1
    return int(tick)


@numba.njit(cache=True)
def _seat_by_moving(able, needs, counts, person, seats, held, tight, team, size):
    """Seats a person, all of whose needs are full, by moving others among needs.

    Looks for an augmenting path, breadth first.

    Returns:
      The need that has one more, or -1 where nobody can be moved to make room: then all needs that
      were reached are marked as `tight`.

    Args:
      able: bool [people, needs of the instance], who serves which.
      needs: [needs of the task], which ones of the instance's they are.
      counts: [needs of the task], how many people each takes.
      person: who is to be seated.
      seats: [size and more], which need of the task each member of the team serves, written; the
        person's is written behind them.
      held: [needs of the task], how many of the team serve each.
      tight: bool [needs of the task], written.
      team: [size], the people seated so far.
      size: how many those are.
    """
    # Needs that the person serves, then those to which members of these could move, until one has a
    # place left.
    mover = np.full(len(needs), -2, np.int32)  # who would leave for this need: -1 is the person
    origin = np.full(len(needs), -1, np.int32)
    queue = np.empty(len(needs), np.int32)
    tail = 0
    for need in range(len(needs)):
        if able[person, needs[need]]:
            mover[need] = -1
            queue[tail] = need
            tail += 1
    head = 0
    while head < tail:
        need = queue[head]
        head += 1
        if held[need] < counts[need]:
            grown = np.int64(need)
            # Back along the path: each member takes the place that opens up before it.
            while mover[need] >= 0:
                seats[mover[need]] = need
                need = origin[need]
            seats[size] = need
            return grown
        for member in range(size):
            if seats[member] == need:
                for other in range(len(needs)):
                    if mover[other] == -2 and able[team[member], needs[other]]:
                        mover[other] = member
                        origin[other] = need
                        queue[tail] = other
                        tail += 1
    for index in range(tail):
        tight[queue[index]] = True
    return np.int64(-1)


@numba.njit(cache=True)
def choose_team(
    tables: Tables,
    task: Number,
    size: Number,
    ranked: np.ndarray,
    free_until: np.ndarray,
    seats: np.ndarray,
    team: np.ndarray,
) -> bool:
    """Writes the cheapest team of free people; returns whether there is one.

    Args:
      tables: the instance.
      task: what it is for.
      size: how many people the task takes.
      ranked: people who may do the task, those who must first, then the cheapest.
      free_until: [people], 0 for those who are not free.
      seats: [size and more], written: which need of the task each member serves.
      team: [size], written.
    """
    able = tables.able
    fixed = tables.fixed[task]
    needs = tables.need_index[tables.need_start[task] : tables.need_start[task + 1]]
    counts = tables.need_count[tables.need_start[task] : tables.need_start[task + 1]]
    held = np.zeros(len(needs), np.int32)
    # Which needs are full of people who serve no others than such: whoever serves these alone can
    # neither be seated now nor later.
    tight = np.zeros(len(needs), np.bool_)
    found = np.int64(0)
    for person in ranked:
        if found == size:
            break
        seated = np.int64(-1)
        if free_until[person] > 0:
            hopeful = False
            for need in range(len(needs)):
                if able[person, needs[need]]:
                    if held[need] < counts[need]:
                        seats[found] = need
                        seated = np.int64(need)
                        break
                    hopeful |= not tight[need]
            if seated < 0 and hopeful:
                seated = _seat_by_moving(
                    able, needs, counts, person, seats, held, tight, team, found
                )
        if seated >= 0:
            held[seated] += 1
            team[found] = person
            found += 1
        # Who must do the task is not free, or not with the others who must, so no team will do now.
        elif fixed[person]:
            return False
    return bool(found == size)
