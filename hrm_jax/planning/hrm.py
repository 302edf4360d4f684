"""The planner whose proposals a model makes, and whose plans the search finds around them.

The model reads the best plan so far, and proposes a better one; plans are drawn around what it
says, decoded and checked; the best of all goes on as what the model reads next.
"""

import dataclasses
import functools
from typing import Any, Protocol

import jax
import numpy as np

from hrm_jax.core.graphs import GraphBatch, stack_graphs
from hrm_jax.core.types import Variables
from hrm_jax.models.graph_model import GraphModel
from hrm_jax.planning.guiding import TRY_KINDS, Mix, Proposal, guided
from hrm_jax.planning.instance import Instance
from hrm_jax.planning.nodes import Nodes
from hrm_jax.planning.objectives import MAKESPAN, Weights
from hrm_jax.planning.plan import Budget, Plan
from hrm_jax.planning.plan_graph import PlanGraph, read_plan
from hrm_jax.planning.problem import Arrays, Problem
from hrm_jax.planning.run import Run, best_found

OUTPUTS = 3
"""What the model says of a node: of a task, its move in units of the horizon and the logarithm of
the error expected; of a candidate, the log-odds that it is chosen."""

LEAST_DOUBT, MOST_DOUBT = -6.0, 1.0
"""Bounds of the logarithm of the error expected, in units of the horizon."""

_NEVER = -1e6
_FIRST_ROUND = 30
_ROUND_SHARE = 0.25


class Proposer(Protocol):
    """Says what a better plan may look like."""

    def propose(self, nodes: Nodes, plan: Arrays) -> Proposal:
        """Returns a proposal for the problem of the nodes, given the best plan so far."""
        ...


@dataclasses.dataclass(frozen=True)
class ModelProposer:
    """A trained model as a proposer; a program is compiled for each size of graph.

    Attributes:
      model: reads `plan_graph`'s features, and says `OUTPUTS` of each node.
      variables: its values.
    """

    model: GraphModel
    variables: Variables

    def propose(self, nodes: Nodes, plan: Arrays) -> Proposal:
        """Returns what the model says."""
        graph = read_plan(nodes, plan)
        size = graph.size
        batch = stack_graphs([graph.padded(size, ())])
        answers = np.asarray(_answer(self.model, self.variables, batch))[0]
        # Padding lies behind the tasks and behind the candidates; it is cut out of both.
        said = np.concatenate(
            [
                answers[: graph.tasks],
                answers[size.tasks : size.tasks + len(graph.features) - graph.tasks],
            ]
        )
        return proposal_of(nodes, graph, said)


@dataclasses.dataclass(frozen=True)
class RandomProposer:
    """Chance in the model's place: what the search alone is worth."""

    def propose(self, nodes: Nodes, plan: Arrays) -> Proposal:
        """Returns starts anywhere in the plan, and preferences alike for all who may."""
        tables = nodes.problem.tables
        first, last = int(plan.start.min(initial=0)), int(plan.end.max(initial=1))
        random = np.random.default_rng(int(plan.start.sum()))
        start = random.uniform(first, last, len(plan.start)).astype(np.float32)
        doubt = np.full(len(start), (last - first) / 2, np.float32)
        return Proposal(start, doubt, np.where(tables.allowed, 0, _NEVER).astype(np.float32))


def proposal_of(nodes: Nodes, graph: PlanGraph, said: np.ndarray) -> Proposal:
    """Returns what outputs [nodes, OUTPUTS] of a graph's nodes mean."""
    of_tasks = said[: graph.tasks]
    task, group = nodes.candidates
    of_groups = np.full((graph.tasks, len(nodes.groups) + 1), _NEVER, np.float32)
    # Who is no candidate of a task stays at `_NEVER`.
    of_groups[task, group] = said[graph.tasks :, 2]
    # The model moves each task from where the plan has it; units of the horizon become ticks.
    start = nodes.problem.instance.now + graph.horizon * (graph.start + of_tasks[:, 0])
    doubt = graph.horizon * np.exp(np.clip(of_tasks[:, 1], LEAST_DOUBT, MOST_DOUBT))
    # Who can do nothing has group -1, the last column, which nobody prefers.
    preference = np.ascontiguousarray(of_groups[:, nodes.group_of])
    return Proposal(start.astype(np.float32), doubt.astype(np.float32), preference)


@functools.partial(jax.jit, static_argnums=0)
def _answer(model: GraphModel, variables: Variables, batch: GraphBatch) -> Any:
    return model.answer(variables, batch).nodes


@dataclasses.dataclass(frozen=True)
class Hrm:
    """The planner.

    Attributes:
      proposer: the model.
      weights: the objective's.
      mix: kinds of iterations, to begin with.
      asks_again: whether the proposer sees the best plan again and again, or the first one only.
      adapts: whether kinds that find better plans more often get larger shares.
    """

    proposer: Proposer
    weights: Weights = MAKESPAN
    mix: Mix = dataclasses.field(default_factory=Mix)
    asks_again: bool = True
    adapts: bool = True
    name: str = "hrm"

    def plan(
        self, instance: Instance, budget: Budget, seed: int = 0, last: Plan | None = None
    ) -> Plan:
        """Returns the best plan found; a budget of iterations repeats it.

        Raises:
          NoPlanError: none was found.
        """
        return best_found(self, Problem(instance, self.weights, last), budget, seed)

    def prepare(self, instance: Instance) -> None:
        """Compiles what the instance needs, so that a planner's time begins with planning."""
        run = Run(Problem(instance, self.weights), Budget(iterations=2), seed=0)
        # Of a large instance each try takes seconds: one for a plan to read, one around the answer.
        run.restart(1)
        self._guide(run)

    def search(self, run: Run) -> None:
        """Looks for better plans until the run is over.

        As many iterations decode as many plans as those of `dispatching.Restarts`.
        """
        # The priority rules come first, as there; of a large instance some, as the model is to have
        # its part of the time.
        while run.done < 2 * len(run.problem.rules) and not run.over and not _half_over(run):
            run.restart(run.done + 1)
        self._guide(run)

    def _guide(self, run: Run) -> None:
        """Tries plans around what the model says, until the run is over."""
        if run.found < 0 or run.over:
            return
        nodes = Nodes(run.problem)
        proposal = None
        read = None
        counts = np.zeros((2, TRY_KINDS), np.int64)
        while not run.over:
            # The model's answer depends on the plan alone: it is asked again only for another one.
            if proposal is None or (self.asks_again and read != _named(run.best)):
                proposal = self.proposer.propose(nodes, run.best)
                read = _named(run.best)
            mix = self.mix.by_success(counts) if self.adapts else self.mix
            tried, better = _try_proposal(run, proposal, mix)
            # Better plans become rare, and what finds them late is what matters: a success among
            # the last thousand of tries weighs more than one among the first.
            counts += tried, better * run.done


def _half_over(run: Run) -> bool:
    seconds = run.budget.seconds
    return seconds is not None and run.found >= 0 and 2 * run.seconds >= seconds


def _try_proposal(run: Run, proposal: Proposal, mix: Mix) -> np.ndarray:
    """Tries plans around a proposal, the more the longer the search has lasted.

    Returns:
      int64 [2, TRY_KINDS], iterations of each kind and those that found a better plan.
    """
    problem = run.problem
    counted: list[np.ndarray] = []

    def tries(best: Arrays, found: int, first: int, count: int) -> int:
        counts = np.zeros((2, TRY_KINDS), np.int64)
        reached = guided(
            problem.counted,
            problem.backward,
            problem.rules,
            problem.scarcity,
            problem.objective,
            proposal,
            mix,
            counts,
            tuple(best),
            found,
            first,
            count,
            run.seed,
        )
        counted.append(counts)
        return reached

    # Ends at fixed numbers of iterations, so that a budget of them repeats a search exactly.
    run.repeat(tries, run.done + max(_FIRST_ROUND, int(run.done * _ROUND_SHARE)))
    return sum(counted, np.zeros((2, TRY_KINDS), np.int64))


def _named(plan: Arrays) -> bytes:
    """Returns equal bytes for equal plans."""
    return plan.start.tobytes() + plan.team.tobytes()
