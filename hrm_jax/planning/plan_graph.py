"""A problem and a plan of it as a graph that a model reads, and what it should answer.

The plan is what the search has found so far. Its marks are in the features (when a task starts, how
far it could slip, who does it) and in two relations: what follows a task with the same people, and
what comes before it.
"""

import dataclasses

import numpy as np
from jaxtyping import Float32

from hrm_jax.core.graphs import GraphBatch, graph_relation, group_relation
from hrm_jax.planning.nodes import (
    CANDIDATE_FEATURES,
    GROUPED,
    TASK_FEATURES,
    Nodes,
    Pairs,
)
from hrm_jax.planning.problem import Arrays

RELATIONS = (*GROUPED, "before", "after", "next", "previous")

_PLAN_TASK_FEATURES = 7
_PLAN_CANDIDATE_FEATURES = 2
FEATURES = TASK_FEATURES + _PLAN_TASK_FEATURES + CANDIDATE_FEATURES + _PLAN_CANDIDATE_FEATURES


@dataclasses.dataclass(frozen=True)
class Size:
    """What a padded graph has room for: a program is compiled for each size.

    Attributes:
      tasks: room for nodes that are tasks.
      candidates: room for nodes that are candidates.
    """

    tasks: int = 32
    candidates: int = 320

    @property
    def nodes(self) -> int:
        """All nodes."""
        return self.tasks + self.candidates

    def room(self, relation: str) -> int:
        """Returns room for the edges of a relation, or for the entries of its groups."""
        rooms = {"task": self.nodes, "skill": 2 * self.candidates}
        return rooms.get(relation, self.candidates)

    def holds(self, other: "Size") -> bool:
        """Returns whether what fits into another size fits into this one."""
        return self.tasks >= other.tasks and self.candidates >= other.candidates


@dataclasses.dataclass(frozen=True)
class PlanGraph:
    """A graph without padding.

    Attributes:
      tasks: how many of the nodes are tasks; they come first.
      features: of all nodes.
      pairs: of all relations, by name.
      start: of tasks, in the plan, in units of its length.
      horizon: ticks of such a unit.
    """

    tasks: int
    features: Float32[np.ndarray, "nodes features"]
    pairs: dict[str, Pairs]
    start: Float32[np.ndarray, "tasks"]
    horizon: float

    @property
    def size(self) -> Size:
        """The least padded size that it fits into, of those that double."""
        size = Size()
        # Sizes double, so that few programs are compiled for many instances.
        while size.tasks < self.tasks:
            size = Size(2 * size.tasks, size.candidates)
        # The room for edges grows with the candidates.
        while size.candidates < len(self.features) - self.tasks or any(
            len(pair[0]) > size.room(name) for name, pair in self.pairs.items()
        ):
            size = Size(size.tasks, 2 * size.candidates)
        return size

    def place(self, values: np.ndarray, size: Size) -> np.ndarray:
        """Returns values of all nodes where the padded graph has them, with 0 in padding."""
        padded = np.zeros((size.nodes, *values.shape[1:]), values.dtype)
        padded[: self.tasks] = values[: self.tasks]
        candidates = values[self.tasks :]
        padded[size.tasks : size.tasks + len(candidates)] = candidates
        return padded

    def padded(self, size: Size, labels: object = None) -> GraphBatch:
        """Returns the graph, without an axis of a batch.

        Args:
          size: what to pad to, at least `self.size`.
          labels: as in `GraphBatch`.
        """
        number = np.arange(len(self.features), dtype=np.int32)
        # Candidates begin behind the room for tasks.
        number[self.tasks :] += size.tasks - self.tasks
        relations = {}
        for name, (source, target) in self.pairs.items():
            if name in GROUPED:
                relations[name] = group_relation(number[source], target, size.room(name))
            else:
                relations[name] = graph_relation(number[source], number[target], size.room(name))
        return GraphBatch(
            self.place(self.features, size),  # pyright: ignore[reportArgumentType]
            self.place(np.ones(len(self.features), bool), size),  # pyright: ignore[reportArgumentType]
            relations,
            labels,
        )


def read_plan(nodes: Nodes, plan: Arrays) -> PlanGraph:
    """Returns the graph of a problem and a plan of it."""
    tables = nodes.problem.tables
    tasks = len(tables.work)
    now = nodes.problem.instance.now
    horizon = float(max(int(plan.end.max(initial=0)) - now, 1))
    earlier, later = _followers(plan)
    start = ((plan.start - now) / horizon).astype(np.float32)
    features = np.zeros((tasks + len(nodes.candidates[0]), FEATURES), np.float32)
    of_tasks = np.concatenate(
        [nodes.task_features(horizon), _standing(nodes, plan, earlier, later, horizon)], axis=1
    )
    task, _ = nodes.candidates
    features[:tasks, : of_tasks.shape[1]] = of_tasks
    # A candidate has its task's features, and its own behind them, where a task has zeros.
    features[tasks:, : of_tasks.shape[1]] = of_tasks[task]
    features[tasks:, of_tasks.shape[1] :] = np.concatenate(
        [nodes.candidate_features, _taken(nodes, plan, horizon)], axis=1
    )
    pairs = {**nodes.pairs, "next": (later, earlier), "previous": (earlier, later)}
    return PlanGraph(tasks, features, pairs, start, horizon)


def shares(nodes: Nodes, plan: Arrays) -> Float32[np.ndarray, "candidates"]:
    """Returns how much of the team that a candidate could fill is of its group, from 0 to 1."""
    task, group = nodes.candidates
    counts = _counts(nodes, plan)[task, group]
    size = nodes.demand.sum(axis=1)[task]
    return (counts / np.maximum(np.minimum(size, nodes.group_sizes[group]), 1)).astype(np.float32)


def _counts(nodes: Nodes, plan: Arrays) -> np.ndarray:
    """Returns int [tasks, groups]: how many people of a group do a task."""
    counts = np.zeros((len(plan.start), len(nodes.groups)), np.int32)
    task, seat = np.nonzero(plan.team >= 0)
    np.add.at(counts, (task, nodes.group_of[plan.team[task, seat]]), 1)
    return counts


def _followers(plan: Arrays) -> Pairs:
    """Returns pairs of tasks that follow each other in somebody's work, each pair once."""
    task, seat = np.nonzero(plan.team >= 0)
    person = plan.team[task, seat]
    # By person and then by time, so that neighbours are what a person does in a row. Several people
    # who go on together would give a pair several times.
    order = np.lexsort((plan.end[task], plan.start[task], person))
    task, person = task[order], person[order]
    same = person[1:] == person[:-1]
    pairs = np.unique(np.stack([task[:-1][same], task[1:][same]]), axis=1).astype(np.int32)
    return pairs[0], pairs[1]


def _standing(
    nodes: Nodes, plan: Arrays, earlier: np.ndarray, later: np.ndarray, horizon: float
) -> np.ndarray:
    """Returns the features of tasks that a plan gives them."""
    tables = nodes.problem.tables
    now = nodes.problem.instance.now
    latest = _latest_ends(nodes, plan, earlier, later)
    slack = latest - plan.end
    ready = np.full(len(plan.start), now)
    source, target = nodes.pairs["before"]
    # When dependencies let a task start; that it starts later is for lack of people.
    np.maximum.at(ready, target, plan.end[source])
    late = np.where(tables.due >= 0, np.maximum(plan.end - tables.due, 0), 0)
    rank = np.empty(len(plan.start))
    rank[np.argsort(plan.start, kind="stable")] = np.arange(len(plan.start))
    columns = [
        (plan.start - now) / horizon,
        (plan.end - now) / horizon,
        slack / horizon,
        slack == 0,
        (plan.start - ready) / horizon,
        late / horizon,
        rank / max(len(rank), 1),
    ]
    return np.stack(columns, axis=1).astype(np.float32)


def _latest_ends(nodes: Nodes, plan: Arrays, earlier: np.ndarray, later: np.ndarray) -> np.ndarray:
    """Returns when each task may end, in the plan's order, without the whole ending later."""
    source, target = nodes.pairs["before"]
    after: list[list[int]] = [[] for _ in plan.start]
    for first, second in zip(
        np.concatenate([source, earlier]).tolist(),
        np.concatenate([target, later]).tolist(),
        strict=True,
    ):
        after[first].append(second)
    start, end = plan.start.tolist(), plan.end.tolist()
    latest = [max(end, default=0)] * len(end)
    # From the end back, so that what follows a task is known before it.
    for task in sorted(range(len(end)), key=lambda task: (end[task], start[task]), reverse=True):
        for other in after[task]:
            latest[task] = min(latest[task], latest[other] - (end[other] - start[other]))
    return np.array(latest, np.int64)


def _taken(nodes: Nodes, plan: Arrays, horizon: float) -> np.ndarray:
    """Returns the features of candidates that a plan gives them."""
    _, group = nodes.candidates
    held = (plan.end - plan.start) @ _counts(nodes, plan) / (nodes.group_sizes * horizon)
    return np.stack([shares(nodes, plan), held[group]], axis=1).astype(np.float32)
