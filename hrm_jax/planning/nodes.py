"""An instance as nodes that a model thinks about: its tasks, and who could do them.

There is a node for each task, and one for each *candidate*: a task with a group of people whom
nothing tells apart and who may do it. Times are in units of a horizon, so that instances of all
sizes look alike; nothing names a task or a person, so that an order of the list means nothing.
"""

import dataclasses
import functools

import numpy as np
from jaxtyping import Float32, Int32

from hrm_jax.planning.problem import Problem
from hrm_jax.planning.rules import RULES, chains
from hrm_jax.planning.tables import group_people

GROUPED = ("task", "person", "skill")
"""Relations that are groups: a task with its candidates, the candidates of one person, and tasks
and candidates of one skill."""

TASK_FEATURES = 18 + len(RULES)
CANDIDATE_FEATURES = 7

Pairs = tuple[Int32[np.ndarray, "edges"], Int32[np.ndarray, "edges"]]
"""Sources and targets, or members and groups."""


@dataclasses.dataclass(frozen=True)
class Nodes:
    """The nodes of a problem; tasks come first, then candidates by task.

    Attributes:
      problem: what is planned.
    """

    problem: Problem

    @functools.cached_property
    def groups(self) -> list[list[int]]:
        """People, by number, of each group."""
        return group_people(self.problem.tables, distinct=False)

    @functools.cached_property
    def group_of(self) -> Int32[np.ndarray, "people"]:
        """The group of each person; -1 for those who can do nothing."""
        found = np.full(len(self.problem.tables.profile), -1, np.int32)
        for group, people in enumerate(self.groups):
            # People of no group may do nothing of the instance.
            found[people] = group
        return found

    @functools.cached_property
    def group_sizes(self) -> Int32[np.ndarray, "groups"]:
        """How many people each group has."""
        return np.array([len(people) for people in self.groups], np.int32)

    @functools.cached_property
    def candidates(self) -> tuple[Int32[np.ndarray, "candidates"], Int32[np.ndarray, "candidates"]]:
        """The task and the group of each candidate."""
        task, group = np.nonzero(self.problem.tables.allowed[:, self.firsts])
        return task.astype(np.int32), group.astype(np.int32)

    @functools.cached_property
    def firsts(self) -> np.ndarray:
        """One person of each group."""
        return np.array([people[0] for people in self.groups], np.int64)

    @functools.cached_property
    def demand(self) -> np.ndarray:
        """int32 [tasks, needs]: how many people a task asks for."""
        tables = self.problem.tables
        demand = np.zeros((len(tables.work), tables.able.shape[1]), np.int32)
        task = np.repeat(np.arange(len(tables.work)), np.diff(tables.need_start))
        demand[task, tables.need_index] = tables.need_count
        return demand

    @functools.cached_property
    def served(self) -> np.ndarray:
        """bool [candidates, needs]: which needs of its task a candidate serves."""
        task, group = self.candidates
        return (self.demand[task] > 0) & self.problem.tables.able[self.firsts[group]]

    @functools.cached_property
    def pairs(self) -> dict[str, Pairs]:
        """The relations that no plan changes, by name."""
        tables = self.problem.tables
        tasks = len(tables.work)
        task, group = self.candidates
        # Candidates are numbered behind the tasks, and groups by themselves.
        own = np.arange(len(task), dtype=np.int32) + tasks
        every = np.arange(tasks, dtype=np.int32)
        asking, asked = np.nonzero(self.demand)
        serving, serves = np.nonzero(self.served)
        later = np.repeat(every, np.diff(tables.before_start))
        return {
            "task": (np.concatenate([every, own]), np.concatenate([every, task])),
            "person": (own, group),
            "skill": (
                np.concatenate([asking, serving + tasks]).astype(np.int32),
                np.concatenate([asked, serves]).astype(np.int32),
            ),
            "before": (tables.before, later),
            "after": (later, tables.before),
        }

    def task_features(self, horizon: float) -> Float32[np.ndarray, "tasks features"]:
        """Returns what is known of tasks whatever the plan, in units of a horizon."""
        problem = self.problem
        tables = problem.tables
        work = tables.work / 100
        head, tail = chains(tables)
        now = problem.instance.now
        head = np.maximum(head - now, 0)
        able = np.maximum(tables.able.sum(axis=0), 1)
        team = self.demand.sum(axis=1)
        effort = work * team
        # How much of the time that all who serve a need have is asked of them.
        pressure = (work @ self.demand) / (able * horizon)
        asks = self.demand > 0
        has_due = tables.due >= 0
        due = np.where(has_due, (tables.due - now) / horizon, 0)
        # Times are over the horizon, counts are logarithms, the rest are shares: all of order 1.
        # Times are over the horizon, counts are logarithms, the rest are shares: all of order 1.
        columns = [
            work / horizon,
            tail / horizon,
            head / horizon,
            (horizon - head - tail) / horizon,
            (tables.earliest - now) / horizon,
            np.log1p(team) / 3,
            (self.demand / able).max(axis=1, initial=0),
            np.where(asks, pressure, 0).max(axis=1, initial=0),
            effort / max(effort.sum(), 1),
            np.log1p(np.diff(tables.before_start)) / 2,
            np.log1p(np.diff(tables.after_start)) / 2,
            has_due,
            np.clip(due, -1, 3),
            np.clip(due - tail / horizon, -1, 3),
            tables.priority / max(int(tables.priority.max(initial=1)), 1),
            tables.started >= 0,
            tables.fixed.any(axis=1),
            np.full(len(work), problem.weights.tardiness > 0),
            *problem.rules,
        ]
        return np.stack(columns, axis=1).astype(np.float32)

    @functools.cached_property
    def candidate_features(self) -> Float32[np.ndarray, "candidates features"]:
        """What is known of candidates whatever the plan."""
        tables = self.problem.tables
        task, group = self.candidates
        first = self.firsts[group]
        able = np.maximum(tables.able.sum(axis=0), 1)
        asked = np.maximum((self.demand[task] > 0).sum(axis=1), 1)
        tightest = np.where(self.served, self.demand[task] / able, 0).max(axis=1, initial=0)
        rates = tables.rates.mean(axis=1)[tables.profile]
        columns = [
            np.ones(len(task)),
            np.log1p(self.group_sizes[group]) / 3,
            self.served.sum(axis=1) / asked,
            tightest,
            tables.able.mean(axis=1)[first] if len(first) else first,
            self.problem.scarcity[first],
            rates[first] / 100,
        ]
        return np.stack(columns, axis=1).astype(np.float32)
