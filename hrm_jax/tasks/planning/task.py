"""Proposing plans as a task: configuration, model, batches and measures."""

import dataclasses
import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from hrm_jax.core.config import configclass, field
from hrm_jax.core.graphs import GraphBatch, GraphOutputs, stack_graphs
from hrm_jax.core.mesh import MeshConfig, check_divisible, fetch
from hrm_jax.core.types import Carry, Variables
from hrm_jax.models.graph_config import GraphModelConfig
from hrm_jax.models.graph_model import GraphModel
from hrm_jax.planning.dispatching import Restarts
from hrm_jax.planning.generator import make_problem
from hrm_jax.planning.hrm import OUTPUTS, Hrm, ModelProposer
from hrm_jax.planning.plan import Budget
from hrm_jax.planning.plan_graph import FEATURES, RELATIONS, PlanGraph, Size
from hrm_jax.planning.problem import Problem
from hrm_jax.planning.run import run_search
from hrm_jax.tasks.planning import examples
from hrm_jax.tasks.planning.examples import Example, ExamplesConfig, Solved, examples_of
from hrm_jax.tasks.planning.loss import PlanLabels, PlanMetrics, plan_loss
from hrm_jax.training.batches import NumberedBatches
from hrm_jax.training.loop import Hooks
from hrm_jax.training.optimizers import OptimConfig
from hrm_jax.training.run_config import LoopConfig
from hrm_jax.training.state import TrainState
from hrm_jax.training.task import Task


@configclass
class PlannerConfig:
    """The whole configuration of a planner's run."""

    description: str = field("", help="what this preset is for")
    model: GraphModelConfig = GraphModelConfig(
        features=FEATURES, outputs=OUTPUTS, relations=RELATIONS
    )
    examples: ExamplesConfig = ExamplesConfig()
    optim: OptimConfig = dataclasses.field(
        default_factory=lambda: OptimConfig(
            learning_rate=2e-3,
            weight_decay=0.1,
            warmup_steps=100,
            lr_min_ratio=0.02,
            ema_decay=0.995,
        )
    )
    loop: LoopConfig = dataclasses.field(
        default_factory=lambda: LoopConfig(steps=2000, evaluate_every=500, checkpoint_every=200)
    )
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    tasks: int = field(64, help="room for tasks in a padded graph", at_least=1)
    candidates: int = field(
        320, help="room for tasks with groups of people in a padded graph", at_least=1
    )
    batch_size: int = field(16, help="graphs a step", at_least=1)
    measured_tries: int = field(200, help="plans tried when measured", at_least=1)
    data_dir: str = field(
        "", help="for solved examples; HRM_JAX_DATA or ~/.cache/hrm_jax if empty", path_holds="."
    )
    seed: int = field(0, help="of initialisation and order")

    @property
    def size(self) -> Size:
        """Of the padded graphs; examples that are larger are left out."""
        return Size(self.tasks, self.candidates)


@dataclasses.dataclass(frozen=True)
class PlannerData:
    """What a run learns from and is measured on.

    Attributes:
      examples: those that fit into the padded size.
      held_out: problems, the seeds of their searches, and what restarts reach in the measured
        tries.
    """

    examples: list[Example]
    held_out: list[tuple[Problem, int]]


@dataclasses.dataclass(frozen=True)
class PlannerTask(Task):
    """A training run of the planner's model."""

    config: PlannerConfig = dataclasses.field()

    def loss(self, carry: Carry, outputs: GraphOutputs, /) -> tuple[Float[Array, ""], PlanMetrics]:
        """Returns `loss.plan_loss`."""
        return plan_loss(carry, outputs)

    @functools.cached_property
    def model(self) -> GraphModel:
        """The model."""
        return GraphModel(self.config.model)

    def solve_examples(
        self, tell: Callable[[int], None] = lambda count: None
    ) -> tuple[list[Solved], list[Solved]]:
        """Returns the solved problems to learn from and those to measure on.

        What was solved before is read from files.

        Args:
          tell: called with how many more are there.
        """
        # TFDS, which the module of the default folder loads, takes half a second.
        from hrm_jax.data.storage import data_dir_of

        folder = data_dir_of(self.config.data_dir or None) / "plans"
        settings = self.config.examples
        known = examples.load(settings, folder, held_out=False, tell=tell)
        return known, examples.load(settings, folder, held_out=True, tell=tell)

    def load(self) -> PlannerData:
        """Returns examples, solved at first use."""
        config = self.config
        settings = config.examples
        known, others = self.solve_examples()
        made = [one for solved in known for one in examples_of(solved, settings.most_tasks)]
        # One size for all, so that the step is compiled once; the few larger graphs are left out.
        fitting = [one for one in made if config.size.holds(one.graph.size)]
        return PlannerData(fitting, [self._measured(solved) for solved in others])

    def _measured(self, solved: Solved) -> tuple[Problem, int]:
        problem = make_problem(solved.seed, self.config.examples.most_tasks)
        # As many tries as the planner has when it is measured.
        budget = Budget(iterations=self.config.measured_tries)
        return problem, run_search(Restarts(), problem, budget, seed=0).found

    def fingerprint(self, data: PlannerData) -> str:
        """Returns a hash of what the examples are made from."""
        return examples.name_of(self.config.examples, held_out=False)

    def abstract_batch(self) -> GraphBatch:
        """Returns shapes and dtypes of a batch."""
        # An empty graph, padded, has the shapes and dtypes of all; nothing is solved for them.
        nothing = np.zeros(0, np.int32)
        empty = PlanGraph(
            tasks=0,
            features=np.zeros((0, FEATURES), np.float32),
            pairs=dict.fromkeys(RELATIONS, (nothing, nothing)),
            start=np.zeros(0, np.float32),
            horizon=1.0,
        )
        none = np.zeros(0, np.float32)
        graph = _padded(Example(empty, none, none), self.config.size)
        return jax.tree.map(
            lambda leaf: jax.ShapeDtypeStruct((self.config.batch_size, *leaf.shape), leaf.dtype),
            graph,
        )

    def training_batches(self, data: PlannerData, mesh: Mesh) -> NumberedBatches:
        """Returns endless batches of examples, in an order that the seed draws for each epoch."""
        check_divisible("batch_size", self.config.batch_size, mesh)
        make = functools.partial(draw_batch, data.examples, self.config)
        return NumberedBatches(make, mesh)

    def average(self, sums: Mapping[str, float], steps: int) -> dict[str, float]:
        """Returns means over graphs.

        `error` is the mean distance of proposed starts from those of the better plan in units of
        the horizon, `distance` that of the plan that was read.
        """
        graphs = max(sums["graphs"], 1)
        means = {name: sums[name] / graphs for name in sums if name != "graphs"}
        return {"loss": means["order_loss"] + means["team_loss"], **means}

    def hooks(self, data: PlannerData, batches: Any, mesh: Mesh) -> Hooks:
        """Returns averages, and a measurement against restarts on held-out problems."""
        del batches

        def measure(state: TrainState) -> dict[str, float]:
            # Averaged variables, as these are what is read of a finished run.
            return self.compare(fetch(state.averaged_variables, mesh), data.held_out)

        return Hooks(self.average, measure)

    def compare(
        self, variables: Variables, problems: Sequence[tuple[Problem, int]]
    ) -> dict[str, float]:
        """Returns how plans compare with those of restarts after as many tries.

        Args:
          variables: the model's values.
          problems: problems, and what restarts reach.

        Returns:
          The mean share by which plans cost less, and the shares of those that cost less and more.
        """
        # As it is used: what the model proposes is decoded, checked and searched around.
        planner = Hrm(ModelProposer(self.model, variables))
        budget = Budget(iterations=self.config.measured_tries)
        gains = []
        for problem, other in problems:
            reached = run_search(planner, problem, budget, seed=0).found
            # At least 1, as a plan may cost nothing.
            gains.append(1 - reached / max(other, 1))
        found = np.array(gains)
        return {
            "gain": float(found.mean()),
            "better": float((found > 0).mean()),
            "worse": float((found < 0).mean()),
        }


def draw_batch(examples: Sequence[Example], config: PlannerConfig, number: int) -> GraphBatch:
    """Returns a batch, a function of its number alone."""
    B = config.batch_size
    size = config.size
    drawn = []
    for place in range(number * B, (number + 1) * B):
        # Batches lie end to end over epochs, so one may end an epoch and begin the next.
        epoch, position = divmod(place, len(examples))
        order = _order(len(examples), config.seed, epoch)
        drawn.append(_padded(examples[order[position]], size))
    return stack_graphs(drawn)


@functools.lru_cache(maxsize=4)
def _order(count: int, seed: int, epoch: int) -> np.ndarray:
    return np.random.default_rng([seed, epoch]).permutation(count)


def _padded(example: Example, size: Size) -> GraphBatch:
    graph = example.graph
    tasks = graph.tasks
    nodes = len(graph.features)
    move = np.zeros(nodes, np.float32)
    move[:tasks] = example.start - graph.start
    chosen = np.zeros(nodes, np.float32)
    chosen[tasks:] = example.chosen
    is_task = np.arange(nodes) < tasks
    # Padding is neither: `place` fills it with False, so that no loss counts there.
    parts = (move, is_task, chosen, ~is_task)
    labels = PlanLabels(*(graph.place(part, size) for part in parts))  # pyright: ignore
    return graph.padded(size, labels)
