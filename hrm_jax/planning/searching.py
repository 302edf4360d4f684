"""Random restarts of schedule generation, compiled: many plans tried, the best kept.

An iteration is one of two kinds. A *fresh* one mixes priority rules with noise. A *local* one
takes the order and the teams of the best plan and disturbs some of them. Where time is
symmetrical, each is improved forwards and backwards (double justification): tasks are placed from
the end in the order of their ends, and then from the beginning in the order that this gives.

Compiled together with `decoding`, which says what follows from that.
"""

import numba
import numpy as np

from hrm_jax.planning.decoding import decode

FRESH = 0.15
"""Share of iterations that do not begin with the best plan."""

JUSTIFY_EVERY = 4
"""Of so many iterations one is justified, which takes the time of two more; of pools, each is."""

SERIAL = np.bool_(False)
"""`parallel` of `decode`. A literal is a type to Numba, which would compile all again for it."""


@numba.njit(cache=True)
def cost_of(tables, weights, useful, now, last_start, last_team, start, end, team):
    """Returns the cost of a plan, as `objectives.measure` and its weights give it.

    Args:
      tables: the instance.
      weights: int64 [4].
      useful: bool [people], over whom the load is balanced.
      now: the tick from which the makespan counts.
      last_start: int32 [tasks], -1 for tasks that are not in the last plan.
      last_team: bool [tasks, people].
      start: int32 [tasks].
      end: int32 [tasks].
      team: int32 [tasks, width].
    """
    makespan = 0
    late = 0
    changes = 0
    held = np.zeros(len(useful), np.int64)
    for task in range(len(start)):
        makespan = max(makespan, end[task] - now)
        if tables.due[task] >= 0:
            late += tables.priority[task] * max(end[task] - tables.due[task], 0)
        known = last_start[task] >= 0
        changes += known and last_start[task] != start[task]
        for person in team[task]:
            if person >= 0:
                held[person] += end[task] - start[task]
                changes += known and not last_team[task, person]
    count = useful.sum()
    balance = 0
    if count > 0:
        largest = 0
        total = 0
        for person in range(len(useful)):
            if useful[person]:
                largest = max(largest, held[person])
                total += held[person]
        balance = (largest * count - total) // count
    return weights[0] * makespan + weights[1] * late + weights[2] * balance + weights[3] * changes


@numba.njit(cache=True, nogil=True)
def search(tables, backward, rules, scarcity, problem, best, found, first, iterations, seed):
    """Tries so many plans; writes the best to `best`, and returns its cost.

    Args:
      tables: the instance, people as pools where that is possible.
      backward: the same with precedence turned round, for double justification.
      rules: float32 [rules, tasks], priorities in [0, 1].
      scarcity: float32 [people], of giving anything to a person, in [0, 1].
      problem: weights, useful, now, last_start, last_team, as in `cost_of`.
      best: start, end, team of the best plan so far, written.
      found: its cost, or -1 before there is one.
      first: the number of the first iteration: iteration k is the same however they are parted.
      iterations: how many to try.
      seed: of all randomness.
    """
    start = np.empty_like(best[0])
    end = np.empty_like(best[1])
    team = np.empty_like(best[2])
    costs = empty_costs(tables)
    priorities = np.empty(len(tables.work), np.float32)
    for number in range(first, first + iterations):
        # Numba's own generator, which is not NumPy's.
        np.random.seed((seed * 1_000_003 + number) % (2**31))
        # First each rule undisturbed, by both kinds of generation: what dispatching would do.
        if number < 2 * len(rules):
            _copy(priorities, rules[number // 2])
            _plain_costs(scarcity, costs)
            parallel = number % 2 == 0
        else:
            parallel = np.random.random() < 0.5
            if found < 0 or np.random.random() < FRESH:
                draw_fresh(rules, scarcity, priorities, costs)
            else:
                disturb(scarcity, best, priorities, costs)
        justified = is_justified(tables, number) or number < 2 * len(rules)
        made = (start, end, team)
        found = attempt(
            tables, backward, problem, best, found, priorities, costs, parallel, justified, made
        )
    return found


@numba.njit(cache=True)
def empty_costs(tables):
    """Returns where to write what people cost, float32 [tasks, people]; [tasks, 0] of pools."""
    tasks, people = tables.allowed.shape
    return np.empty((tasks, 0 if len(tables.pools) > 0 else people), np.float32)


@numba.njit(cache=True)
def is_justified(tables, number):
    """Returns whether an iteration improves its plan backwards and forwards as well."""
    return len(tables.pools) > 0 or number % JUSTIFY_EVERY == 0


@numba.njit(cache=True)
def attempt(tables, backward, problem, best, found, priorities, costs, parallel, justified, made):
    """Makes a plan of priorities and costs, and returns the best cost so far.

    Args:
      tables, backward, problem, best, found: as in `search`.
      priorities: float32 [tasks], overwritten.
      costs: as of `empty_costs`, overwritten.
      parallel: as in `decoding`.
      justified: whether to improve the plan backwards and forwards as well.
      made: start, end, team to work with.
    """
    start, end, team = made
    if not decode(tables, priorities, costs, parallel, start, end, team):
        return found
    found = _keep(tables, problem, best, found, start, end, team)
    if justified:
        # Backwards with the same people: what ends last is placed first, in reversed time. That
        # plan knows no dates, so only its order is used, for the last step forwards.
        _favour(team, costs)
        _copy(priorities, end)
        if not decode(backward, priorities, costs, SERIAL, start, end, team):
            return found
        _copy(priorities, end)
        if decode(tables, priorities, costs, SERIAL, start, end, team):
            found = _keep(tables, problem, best, found, start, end, team)
    return found


@numba.njit(cache=True)
def _keep(tables, problem, best, found, start, end, team):
    weights, useful, now, last_start, last_team = problem
    cost = cost_of(tables, weights, useful, now, last_start, last_team, start, end, team)
    # Equal plans replace each other, so that the search drifts over plateaus.
    if found < 0 or cost <= found:
        _copy(best[0], start)
        _copy(best[1], end)
        _copy(best[2].reshape(-1), team.reshape(-1))
        return cost
    return found


@numba.njit(cache=True)
def _copy(target, source):
    """Copies an array; `target[:] = source` compiles what says that the shapes differ as well."""
    for index in range(len(target)):
        target[index] = source[index]


@numba.njit(cache=True)
def _plain_costs(scarcity, costs):
    for task in range(costs.shape[0]):
        for person in range(costs.shape[1]):
            costs[task, person] = scarcity[person]


@numba.njit(cache=True)
def draw_fresh(rules, scarcity, priorities, costs):
    """Mixes a priority rule and the costs of people with noise."""
    rule = rules[np.random.randint(len(rules))]
    noise = 0.5 * np.random.random()
    for task in range(len(priorities)):
        priorities[task] = rule[task] + noise * np.random.random()
    spread = 0.5 * np.random.random()
    for task in range(costs.shape[0]):
        for person in range(costs.shape[1]):
            costs[task, person] = scarcity[person] + spread * np.random.random()


@numba.njit(cache=True)
def disturb(scarcity, best, priorities, costs):
    """Takes the best plan's order and teams, with tasks moved and teams freed here and there."""
    start, _, team = best
    tasks = len(start)
    longest = max(start.max(), 1)
    # Four tasks are moved on average, at times many: 1 and an exponential of mean 3, whatever the
    # size. Their deviation is up to 0.3 of the plan's length.
    share = (1 + np.random.exponential(3.0)) / tasks
    reach = 0.3 * longest * np.random.random()
    for task in range(tasks):
        priorities[task] = -start[task]
        if np.random.random() < share:
            priorities[task] += reach * np.random.normal()
    if costs.shape[1] == 0:
        return
    spread = 0.5 * np.random.random()
    freed = np.random.random() < 0.5
    for task in range(tasks):
        # A team that is not loose keeps the plain costs, and its people below come first.
        loose = freed or np.random.random() < 4 * share
        for person in range(costs.shape[1]):
            costs[task, person] = scarcity[person] + spread * np.random.random() * loose
        if not loose:
            for person in team[task]:
                if person >= 0:
                    # Costs are up to 1.5 before, so 2 puts them ahead of everybody.
                    costs[task, person] -= 2


@numba.njit(cache=True)
def _favour(team, costs):
    """Makes the people of a plan cheaper than all others for their tasks."""
    if costs.shape[1] == 0:
        return
    for task in range(costs.shape[0]):
        for person in team[task]:
            if person >= 0:
                costs[task, person] -= 2
