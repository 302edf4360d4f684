"""Who of the free people does a task at a tick: the cheapest team that can be seated.

Sets of people who can be seated in a task's places are the independent sets of a matroid, so taking
people in the order of their costs, each if the others can still be seated, gives the team of least
total cost. Compiled by Numba; arrays and indices as in `tables.Tables`.
"""

import numba
import numpy as np

from hrm_jax.planning.tables import Tables

FOREVER = np.int32(2**30)
"""A tick that no plan reaches."""

FULL = 100

Number = int | np.int64


@numba.njit(cache=True)
def rate_at(tables: Tables, person: Number, tick: Number) -> int:
    """Returns the rate of a person in a tick, in percent."""
    columns = tables.rates.shape[1]
    if tick >= columns:
        # Behind the last column the last `period` columns repeat for ever.
        tick = columns - tables.period + (tick - columns) % tables.period
    return int(tables.rates[tables.profile[person], tick])


@numba.njit(cache=True)
def team_end(tables: Tables, work: Number, start: Number, team: np.ndarray, size: Number) -> int:
    """Returns the tick by which a team has done some work from `start` on; FOREVER if it cannot."""
    if work == 0:
        return int(start)
    # One rate for ever: the end is a quotient, rounded up, and no walk.
    if size == 0 or tables.rates.shape[1] == 1:
        slowest = FULL if size == 0 else 1 << 20
        for member in range(size):
            slowest = min(slowest, rate_at(tables, np.int64(team[member]), np.int64(0)))
        return int(start + (work + slowest - 1) // slowest)
    tick = np.int64(start)
    idle = 0
    while work > 0:
        # Above every rate.
        slowest = 1 << 20
        for member in range(size):
            slowest = min(slowest, rate_at(tables, np.int64(team[member]), tick))
        work -= slowest
        idle = 0 if slowest > 0 else idle + 1
        # A whole week behind the last absence had no tick in which all of them work.
        if idle > tables.rates.shape[1] + tables.period:
            return int(FOREVER)
        tick += 1
    return int(tick)


@numba.njit(cache=True)
def seat(
    tables: Tables, task: Number, person: Number, seats: np.ndarray, team: np.ndarray, size: Number
) -> bool:
    """Seats a person in one of the task's needs, moving others among needs; False if impossible.

    Args:
      tables: the instance.
      task: whose needs.
      person: who is to be seated.
      seats: [size and more], which entry of the task's needs each member of the team serves; the
        person's is written behind them.
      team: [size and more], the people seated so far; the person is written behind them.
      size: how many those are.
    """
    first = tables.need_start[task]
    entries = tables.need_start[task + 1] - first
    # An augmenting path, breadth first: needs that the person serves, then those to which members
    # of these could move, until one has a place left.
    mover = np.full(entries, -2, np.int32)  # who would leave for this entry: -1 is the person
    origin = np.full(entries, -1, np.int32)
    queue = np.empty(entries, np.int32)
    tail = 0
    for entry in range(entries):
        if tables.able[person, tables.need_index[first + entry]]:
            mover[entry] = -1
            queue[tail] = entry
            tail += 1
    head = 0
    while head < tail:
        entry = queue[head]
        head += 1
        held = 0
        for member in range(size):
            held += seats[member] == entry
        if held < tables.need_count[first + entry]:
            # Back along the path: each member takes the place that opens up before it.
            while mover[entry] >= 0:
                seats[mover[entry]] = entry
                entry = origin[entry]
            team[size] = person
            seats[size] = entry
            return True
        for member in range(size):
            if seats[member] == entry:
                for other in range(entries):
                    need = tables.need_index[first + other]
                    if mover[other] == -2 and tables.able[team[member], need]:
                        mover[other] = member
                        origin[other] = entry
                        queue[tail] = other
                        tail += 1
    return False


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
      seats: as in `seat`.
      team: [size], written.
    """
    found = np.int64(0)
    for person in ranked:
        if found == size:
            break
        if free_until[person] > 0:
            seated = seat(tables, task, person, seats, team, found)
            if not seated and tables.fixed[task, person]:
                return False
            found += seated
        # Who must do the task is not free, so no team will do now.
        elif tables.fixed[task, person]:
            return False
    return bool(found == size)
