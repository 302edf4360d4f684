"""Search that is guided by proposals, compiled: plans drawn around what a model says of each task.

A *proposal* says for each task when it should start, with how much doubt, and how much each person
is preferred for it. An iteration draws a whole plan from it, or moves some tasks of the best plan
to where it says. Others are those of `searching`, from rules or around the best plan: a model that
is wrong about a plan stays wrong about it, and chance gets away from there.

Compiled together with `decoding`, which says what follows from that.
"""

from typing import NamedTuple

import numba
import numpy as np
from jaxtyping import Float32

from hrm_jax.planning.searching import (
    attempt,
    disturb,
    draw_fresh,
    empty_costs,
    is_justified,
)


class Proposal(NamedTuple):
    """What is said of a plan that should be better than the best so far.

    Attributes:
      start: [tasks], when each should start, in ticks.
      doubt: [tasks], mean absolute error expected of it, in ticks.
      preference: [tasks, people], log-odds that a person does a task.
    """

    start: Float32[np.ndarray, "tasks"]
    doubt: Float32[np.ndarray, "tasks"]
    preference: Float32[np.ndarray, "tasks people"]


TRY_KINDS = 4
"""Kinds of iterations: those of `Mix`, and those that disturb the best plan at random."""


class Mix(NamedTuple):
    """Shares of the kinds of iterations, and how far draws go from what is proposed.

    What is left of 1 disturbs the best plan at random.

    Attributes:
      whole: draws all tasks from the proposal.
      moved: draws some tasks from the proposal, and leaves the others as in the best plan.
      fresh: mixes priority rules, as `searching` does.
      temperature: largest factor of the doubt and of the noise on preferences.
    """

    whole: float = 0.05
    moved: float = 0.1
    fresh: float = 0.1
    temperature: float = 0.5

    @property
    def shares(self) -> np.ndarray:
        """The shares of all kinds, float64 [TRY_KINDS]."""
        named = [self.whole, self.moved, self.fresh]
        return np.array([*named, max(1 - sum(named), 0)])

    def by_success(self, counts: np.ndarray) -> "Mix":
        """Returns the mix in which kinds that found better plans more often have larger shares.

        Args:
          counts: int64 [2, TRY_KINDS], iterations of each kind, and those that found a better plan,
            weighed alike or by what each is worth.
        """
        tried, better = counts
        # As if each kind had also been tried so often with the success of all together, since few
        # iterations find anything.
        rate = better.sum() / max(tried.sum(), 1)
        if rate == 0:
            return self
        success = (better + _PRIOR * rate) / (tried + _PRIOR) / rate
        # None dies out: what finds nothing now may find something of another plan.
        shares = self.shares * np.maximum(success, _LEAST_SUCCESS)
        whole, moved, fresh, _ = (shares / shares.sum()).tolist()
        return Mix(whole, moved, fresh, self.temperature)


_PRIOR = 300
_LEAST_SUCCESS = 0.1


@numba.njit(cache=True, nogil=True)
def guided(
    tables,
    backward,
    rules,
    scarcity,
    problem,
    proposal,
    mix,
    counts,
    best,
    found,
    first,
    iterations,
    seed,
):
    """Tries so many plans; writes the best to `best`, and returns its cost.

    Args:
      tables, backward, rules, scarcity, problem, first, iterations, seed: as in `searching.search`.
      proposal: a `Proposal`.
      mix: a `Mix`.
      counts: int64 [2, TRY_KINDS], to which iterations are added, and those that found a better
        plan.
      best: start, end, team of the best plan so far, written.
      found: its cost.
    """
    made = (np.empty_like(best[0]), np.empty_like(best[1]), np.empty_like(best[2]))
    costs = empty_costs(tables)
    priorities = np.empty(len(tables.work), np.float32)
    for number in range(first, first + iterations):
        # Each iteration has a seed of its own, so that it is the same however they are parted.
        np.random.seed((seed * 1_000_003 + number) % (2**31))
        parallel = np.random.random() < 0.5
        drawn = np.random.random()
        if drawn < mix.whole:
            kind = 0
            _draw(proposal, mix.temperature * np.random.random(), priorities, costs)
        elif drawn < mix.whole + mix.moved:
            kind = 1
            _move(proposal, mix.temperature * np.random.random(), best, priorities, costs)
        elif drawn < mix.whole + mix.moved + mix.fresh:
            kind = 2
            draw_fresh(rules, scarcity, priorities, costs)
        else:
            kind = 3
            disturb(scarcity, best, priorities, costs)
        justified = is_justified(tables, number)
        before = found
        found = attempt(
            tables, backward, problem, best, found, priorities, costs, parallel, justified, made
        )
        counts[0, kind] += 1
        counts[1, kind] += found < before
    return found


@numba.njit(cache=True)
def _draw(proposal, temperature, priorities, costs):
    for task in range(len(priorities)):
        # The model learns its doubt as the width of a Laplace distribution, so draws are of one.
        # What starts early has a high priority.
        noise = np.random.laplace(0.0, 1.0)
        priorities[task] = -(proposal.start[task] + temperature * proposal.doubt[task] * noise)
        _prefer(proposal.preference, task, temperature, costs)


@numba.njit(cache=True)
def _prefer(preference, task, temperature, costs):
    """Writes costs whose order is drawn: at temperature 1 by the odds, at 0 by preference."""
    for person in range(costs.shape[1]):
        # Sorting log-odds with Gumbel noise draws an order by the odds (the Gumbel-max trick).
        noise = np.random.gumbel(0.0, 1.0)
        costs[task, person] = -(preference[task, person] + temperature * noise)


@numba.njit(cache=True)
def _move(proposal, temperature, best, priorities, costs):
    """Takes the best plan's order and teams, but for some tasks what is proposed of them."""
    start, _, team = best
    tasks = len(start)
    # Four tasks are moved on average, at times many: 1 and an exponential of mean 3.
    share = (1 + np.random.exponential(3.0)) / tasks
    for task in range(tasks):
        priorities[task] = -start[task]
        if np.random.random() < share:
            noise = np.random.laplace(0.0, 1.0)
            priorities[task] = -(proposal.start[task] + temperature * proposal.doubt[task] * noise)
    if costs.shape[1] == 0:
        return
    # Half of the iterations let all teams go where the proposal wants them.
    freed = np.random.random() < 0.5
    for task in range(tasks):
        _prefer(proposal.preference, task, temperature, costs)
        if not freed and np.random.random() >= 4 * share:
            for person in team[task]:
                if person >= 0:
                    # More than log-odds differ: who had the task keeps it.
                    costs[task, person] -= 1000
