"""Solved examples: plans on the way of a search, and better ones near them.

An example is a problem of `planning.generator`, a plan that restarts had found after some tries,
and a better plan: one that a disturbance of the first led to, or, where none did, the best of the
whole search. The model learns to tell from the first what the second is like.
Solving takes minutes; what it found is kept in files, a group of problems in each, so that an
interrupted preparation goes on where it was.
"""

import concurrent.futures
import dataclasses
import functools
import hashlib
import itertools
import json
import multiprocessing
import os
import pathlib
import zipfile
from collections.abc import Callable, Iterator

import numpy as np

from hrm_jax.core.config import check, configclass, field
from hrm_jax.core.files import appearing_whole
from hrm_jax.planning.generator import make_problem
from hrm_jax.planning.guiding import TRY_KINDS, Mix, Proposal, guided
from hrm_jax.planning.nodes import Nodes
from hrm_jax.planning.plan_graph import PlanGraph, read_plan, shares
from hrm_jax.planning.problem import Arrays, Problem

_VERSION = 3
"""Raised when other problems or other plans would be found by the same settings."""

_GROUP = 20
_SHORT = 10
_FIRST_HELD_OUT = 10**9
"""Seeds of held-out problems begin here, those of training at 0."""


@configclass
class ExamplesConfig:
    """Which problems, and how long they are searched."""

    problems: int = field(400, help="problems to learn from", at_least=1)
    held_out: int = field(20, help="problems to measure on", at_least=1)
    most_tasks: int = field(60, help="tasks of the largest problems", at_least=2, at_most=64)
    snapshots: tuple[int, ...] = field(
        (10, 40, 150), help="tries after which the search's plan is shown", at_least=1
    )
    tries: int = field(1500, help="tries after which the search's plan is the answer", at_least=2)
    neighbours: int = field(
        200, help="disturbances of each plan shown, among which better ones are sought", at_least=1
    )
    most_better: int = field(3, help="better plans of each plan shown: the best", at_least=1)
    processes: int = field(2, help="that solve at once", at_least=1)

    def __post_init__(self):
        check(
            max(self.snapshots, default=0) <= self.tries,
            "snapshots",
            expected=f"at most the {self.tries} tries of the whole search",
            got=self.snapshots,
            remedy="lower them, or raise tries",
        )


@dataclasses.dataclass(frozen=True)
class Solved:
    """A problem with plans of it, in pairs.

    Attributes:
      seed: makes the problem.
      pairs: a plan on the way of the search, and a better one.
    """

    seed: int
    pairs: tuple[tuple[Arrays, Arrays], ...]


@dataclasses.dataclass(frozen=True)
class Example:
    """What the model reads, and what it should answer.

    Attributes:
      graph: a problem with a plan on the way.
      start: [tasks], when each starts in the better plan, in units of the graph's horizon.
      chosen: [candidates], how much of what a candidate could fill it fills in the better plan.
    """

    graph: PlanGraph
    start: np.ndarray
    chosen: np.ndarray


def load(
    config: ExamplesConfig,
    folder: pathlib.Path,
    held_out: bool,
    tell: Callable[[int], None] = lambda count: None,
) -> list[Solved]:
    """Returns solved problems, from files or solved now.

    Args:
      config: which.
      folder: for the files.
      held_out: those to measure on, instead of those to learn from.
      tell: called with how many more problems are solved.
    """
    count = config.held_out if held_out else config.problems
    first = _FIRST_HELD_OUT if held_out else 0
    name = name_of(config, held_out)
    # Groups are named by their first seed and size: asking for more problems later finds the files
    # of all whole groups.
    groups = [range(first + at, first + min(at + _GROUP, count)) for at in range(0, count, _GROUP)]
    paths = [folder / f"{name}-{group.start}-{len(group)}.npz" for group in groups]
    folder.mkdir(parents=True, exist_ok=True)
    missing = [
        (group, path) for group, path in zip(groups, paths, strict=True) if not _is_whole(path)
    ]
    # What earlier runs have solved counts as progress at once.
    tell(count - sum(len(group) for group, _ in missing))
    for solved in _solve_all(config, missing):
        tell(solved)
    return [solved for path in paths for solved in _read(path)]


def name_of(config: ExamplesConfig, held_out: bool) -> str:
    """Returns a hash of all that solved problems depend on, however many there are."""
    settings = [
        *(_VERSION, held_out, config.most_tasks, config.snapshots, config.tries),
        *(config.neighbours, config.most_better),
    ]
    return hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:12]


def examples_of(solved: Solved, most_tasks: int) -> Iterator[Example]:
    """Yields an example for each pair of plans."""
    nodes = Nodes(make_problem(solved.seed, most_tasks))
    now = nodes.problem.instance.now
    for plan, better in solved.pairs:
        graph = read_plan(nodes, plan)
        start = ((better.start - now) / graph.horizon).astype(np.float32)
        yield Example(graph, start, shares(nodes, better))


def solve(config: ExamplesConfig, seed: int) -> Solved:
    """Returns a problem solved; the first one, of those that follow the seed, worth learning from.

    Where the first rules find the best plan already, there is nothing to learn.
    """
    for attempt in range(100):
        # Far from all other seeds, so that no problem comes twice.
        own = seed + attempt * 10**7
        problem = make_problem(own, config.most_tasks)
        # The plans shown on the way, and at the end the best of all tries.
        plans = _search(problem, (*config.snapshots, config.tries), own)
        if plans and problem.cost(plans[-1]) < problem.cost(plans[0]):
            return Solved(own, tuple(_pairs(config, problem, _without_repetition(plans), own)))
    raise AssertionError("a hundred problems in a row had nothing to learn from")


def _search(problem: Problem, ends: tuple[int, ...], seed: int) -> list[Arrays]:
    """Returns the best plans after so many tries; none where a few tries change nothing."""
    best = problem.empty()
    found, done = -1, 0
    plans, first = [], None
    # In parts, as iterations are numbered through: the whole is the search that it would be in one.
    for end in sorted({_SHORT, min(100, ends[-1]), *ends}):
        found = problem.search(best, found, done, end - done, seed % 2**20)
        done = end
        if found < 0:
            return []
        first = found if first is None else first
        # A search that 100 tries leave where 10 had it is given up before the many that follow.
        if done == 100 and found == first:
            return []
        if end in ends:
            plans.append(Arrays(*(part.copy() for part in best)))
    return plans


def _without_repetition(plans: list[Arrays]) -> tuple[Arrays, ...]:
    """Returns plans without those that equal a later one."""
    # A plan that stayed the best until the next one is shown once, as the later.
    kept = [
        plan
        for plan, later in itertools.pairwise(plans)
        if not all(np.array_equal(a, b) for a, b in zip(plan, later, strict=True))
    ]
    return (*kept, plans[-1])


def _pairs(
    config: ExamplesConfig, problem: Problem, plans: tuple[Arrays, ...], seed: int
) -> Iterator[tuple[Arrays, Arrays]]:
    """Yields plans on the way, each with better ones."""
    *shown, best = plans
    for number, plan in enumerate(shown):
        better = _better_neighbours(config, problem, plan, seed + number)
        # A near plan is learned better than the final one, which may differ in everything; that is
        # the answer only where there is no other.
        if not better and problem.cost(best) < problem.cost(plan):
            better = [best]
        for other in better:
            yield plan, other


def _better_neighbours(
    config: ExamplesConfig, problem: Problem, plan: Arrays, seed: int
) -> list[Arrays]:
    """Returns the best of the plans that disturbances of a plan lead to, if better than it."""
    tasks, people = problem.tables.allowed.shape
    # `guided` takes a proposal, but with these shares every iteration disturbs the plan instead.
    nothing = Proposal(
        np.zeros(tasks, np.float32),
        np.zeros(tasks, np.float32),
        np.zeros((tasks, people), np.float32),
    )
    cost = problem.cost(plan)
    found = []
    counts = np.zeros((2, TRY_KINDS), np.int64)  # not read
    for number in range(config.neighbours):
        tried = plan.copied()
        reached = guided(
            problem.counted,
            problem.backward,
            problem.rules,
            problem.scarcity,
            problem.objective,
            nothing,
            Mix(whole=0.0, moved=0.0, fresh=0.0),
            counts,
            tuple(tried),
            cost,
            number,
            1,
            seed % 2**20,
        )
        if reached < cost:
            found.append((reached, number, tried))
    # By cost and then by number, as arrays have no order.
    return [tried for _, _, tried in sorted(found, key=lambda one: one[:2])[: config.most_better]]


def _solve_all(config: ExamplesConfig, groups: list[tuple[range, pathlib.Path]]) -> Iterator[int]:
    """Writes the files of groups of problems; yields the size of each that is done."""
    work = functools.partial(_solve_group, config)
    if len(groups) < 2 or config.processes == 1:
        yield from map(work, groups)
        return
    # Spawned: a forked process would inherit JAX's threads.
    context = multiprocessing.get_context("spawn")
    with concurrent.futures.ProcessPoolExecutor(config.processes, mp_context=context) as pool:
        futures = [pool.submit(work, group) for group in groups]
        for future in concurrent.futures.as_completed(futures):
            yield future.result()


def _solve_group(config: ExamplesConfig, group: tuple[range, pathlib.Path]) -> int:
    seeds, path = group
    arrays = {}
    for index, seed in enumerate(seeds):
        solved = solve(config, seed)
        # Pairs are laid flat, shown and better in turn, as `_read` parts them again.
        arrays[f"{index}/seed"] = np.int64(solved.seed)
        for name in Arrays._fields:
            parts = [getattr(plan, name) for pair in solved.pairs for plan in pair]
            arrays[f"{index}/{name}"] = np.stack(parts)
    with appearing_whole(path) as file:
        np.savez_compressed(file, **arrays)
    return len(seeds)


def _is_whole(path: pathlib.Path) -> bool:
    """Returns whether a file can be read; one that cannot is removed, and solved again."""
    if not path.exists():
        return False
    try:
        return bool(_read(path))
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        os.remove(path)
        return False


def _read(path: pathlib.Path) -> list[Solved]:
    with open(path, "rb") as file, np.load(file) as arrays:
        count = sum(name.endswith("/seed") for name in arrays.files)
        found = []
        for index in range(count):
            parts = (arrays[f"{index}/{name}"] for name in Arrays._fields)
            plans = [Arrays(*plan) for plan in zip(*parts, strict=True)]
            pairs = tuple(zip(plans[::2], plans[1::2], strict=True))
            found.append(Solved(int(arrays[f"{index}/seed"]), pairs))
        return found
