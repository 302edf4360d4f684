"""What no plan can beat: by chains of dependencies, and by the work that sets of people have.

Calendars are left out: everybody is taken to work at their highest rate all the time.
"""

import itertools
from collections.abc import Iterator

import numpy as np
from jaxtyping import Int64

from hrm_jax.planning.objectives import Weights
from hrm_jax.planning.staffing import FULL
from hrm_jax.planning.tables import Tables

_MOST_KINDS = 10
"""Kinds of needs up to which all their sets are looked at."""


def least_cost(tables: Tables, weights: Weights, now: int) -> int:
    """Returns a number below which no plan costs."""
    lengths = shortest(tables)
    head = heads(tables, lengths)
    ends = head + lengths
    late = np.where(tables.due >= 0, tables.priority * np.maximum(ends - tables.due, 0), 0)
    makespan = max(_least_end(tables, lengths, head) - now, 0)
    return weights.makespan * makespan + weights.tardiness * int(late.sum())


def least_end(tables: Tables) -> int:
    """Returns a tick before which no plan is done.

    For people who are the only ones to serve some needs: all of their tasks that cannot start
    before a tick are done by as many as they are, and what waits for the last of these comes after.
    """
    lengths = shortest(tables)
    return _least_end(tables, lengths, heads(tables, lengths))


def _least_end(tables: Tables, lengths: np.ndarray, head: np.ndarray) -> int:
    tail = _behind(tables, lengths)
    least = int((head + lengths).max(initial=0))
    latest_first = np.argsort(-head, kind="stable")
    for people, demands in _loads(tables):
        some = latest_first[(demands * lengths)[latest_first] > 0]
        work = np.cumsum(demands[some] * lengths[some])
        ends = head[some] - (-work // people) + np.minimum.accumulate(tail[some])
        least = max(least, int(ends.max(initial=0)))
    return least


def shortest(tables: Tables) -> Int64[np.ndarray, "tasks"]:
    """Returns the ticks that each task takes at least, by the fastest team that may do it."""
    best = tables.rates.max(axis=1, initial=0).astype(np.int64)[tables.profile]
    rates = np.full(len(tables.work), FULL, np.int64)
    for task, size in enumerate(tables.team_sizes()):
        if size:
            # The slowest of a team counts; who must do the task is of each.
            fastest = np.sort(best[tables.allowed[task]])[-size:]
            rates[task] = min([*fastest, *best[tables.fixed[task]]], default=FULL)
    # Where somebody never works there is no plan, whatever is said of its length.
    return -(-tables.work // np.maximum(rates, 1))


def heads(tables: Tables, lengths: np.ndarray) -> Int64[np.ndarray, "tasks"]:
    """Returns the tick before which each task cannot start."""
    head = tables.earliest.astype(np.int64)
    for task in tables.order:
        if tables.started[task] >= 0:
            head[task] = tables.started[task]
            continue
        for other in tables.tasks_before(task):
            head[task] = max(head[task], head[other] + lengths[other])
    return head


def _behind(tables: Tables, lengths: np.ndarray) -> np.ndarray:
    """Returns the ticks from the end of each task on that what waits for it takes at least."""
    tail = np.zeros(len(lengths), np.int64)
    for task in tables.order[::-1]:
        for other in tables.tasks_after(task):
            tail[task] = max(tail[task], lengths[other] + tail[other])
    return tail


def _loads(tables: Tables) -> Iterator[tuple[int, np.ndarray]]:
    """Yields numbers of people, and how many of them each task takes in any case."""
    for people, demands in need_sets(tables, largest=2):
        # A need that nobody serves leaves no plan, whatever the bound says.
        yield max(people, 1), demands
    for person in np.flatnonzero(tables.fixed.any(axis=0)):
        yield 1, tables.fixed[:, person].astype(np.int64)


def need_sets(tables: Tables, largest: int) -> list[tuple[int, np.ndarray]]:
    """Returns for sets of kinds of needs how many people serve any, and what each task asks for.

    Of sets that the same people serve, the largest is taken. Those with most work a person come
    first.

    Args:
      tables: the instance.
      largest: of more than ten kinds, sets of up to so many are looked at; otherwise all.
    """
    kinds = tables.able.shape[1]
    demand = np.zeros((len(tables.work), kinds), np.int64)
    for task in range(len(tables.work)):
        for need, count in tables.needs_of(task):
            demand[task, need] = count
    found: dict[bytes, tuple[int, np.ndarray]] = {}
    for size in range(1, (kinds if kinds <= _MOST_KINDS else largest) + 1):
        for chosen in itertools.combinations(range(kinds), size):
            serving = tables.able[:, chosen].any(axis=1)
            # Sizes grow, so a larger set takes the place of a smaller one that the same people
            # serve.
            found[serving.tobytes()] = (int(serving.sum()), demand[:, chosen].sum(axis=1))
    work = tables.work
    return sorted(found.values(), key=lambda entry: -(work @ entry[1]) / max(entry[0], 1))
