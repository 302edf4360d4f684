"""Puzzles whose cells have to differ as a task: configuration, model, batches and measures."""

import dataclasses
import functools
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from hrm_jax.core.config import check, configclass, field, replace
from hrm_jax.core.mesh import MeshConfig, check_divisible
from hrm_jax.core.types import Batch, Carry, Outputs
from hrm_jax.data.differing.problem import FIRST_SYMBOL
from hrm_jax.losses.act import Metrics, act_loss, average_metrics
from hrm_jax.models.puzzle_config import PuzzleModelConfig
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.tasks.differing.colouring import Colouring
from hrm_jax.tasks.differing.evaluation import MeasureConfig, measure
from hrm_jax.tasks.differing.kinds import Kind
from hrm_jax.tasks.differing.latin import Latin
from hrm_jax.tasks.differing.puzzles import PuzzleSet, draw_batch, make
from hrm_jax.training.batches import NumberedBatches
from hrm_jax.training.loop import Hooks
from hrm_jax.training.optimizers import OptimConfig
from hrm_jax.training.run_config import LoopConfig
from hrm_jax.training.state import TrainState
from hrm_jax.training.task import Task

# Parts of the seed: the three sets are drawn from different streams.
_TRAINED, _VALIDATED, _TESTED = range(3)


@configclass
class DifferingConfig:
    """The whole configuration of a run; one of the kinds is set."""

    description: str = field("", help="what this preset is for")
    latin: Latin | None = field(None, help="Latin squares, or None for another kind")
    colouring: Colouring | None = field(None, help="colourings of graphs, or None for another kind")
    model: PuzzleModelConfig = dataclasses.field(default_factory=PuzzleModelConfig)
    puzzles: int = field(4000, help="made to learn from", at_least=1)
    validated: int = field(128, help="held-out puzzles measured during training", at_least=1)
    reveal_share: float = field(
        0.5, help="share of puzzles shown with some blanks filled in", at_least=0, at_most=1
    )
    test: MeasureConfig = dataclasses.field(default_factory=MeasureConfig)
    optim: OptimConfig = dataclasses.field(default_factory=OptimConfig)
    loop: LoopConfig = dataclasses.field(default_factory=LoopConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    batch_size: int = field(16, help="puzzles a step", at_least=1)
    seed: int = field(0, help="of puzzles, initialisation, order and exploration")

    def __post_init__(self):
        """Raises ConfigError unless one kind is set and the model goes by relations."""
        check(
            (self.latin is None) != (self.colouring is None),
            "latin",
            expected="either latin or colouring",
            got=(self.latin, self.colouring),
            remedy="set one of them",
        )
        check(
            self.model.mixing == "relational",
            "model.mixing",
            expected="relational",
            got=self.model.mixing,
            remedy="set it",
        )

    @property
    def kind(self) -> Kind:
        """The one that is set."""
        kind = self.latin or self.colouring
        assert kind is not None
        return kind


Data = tuple[PuzzleSet, PuzzleSet]
"""What is learned from, and what is measured in between."""


@dataclasses.dataclass(frozen=True)
class DifferingTask(Task):
    """A run, made from its configuration."""

    config: DifferingConfig = dataclasses.field()

    @functools.cached_property
    def model(self) -> PuzzleModel:
        """The model; nothing in its variables depends on how large a puzzle is."""
        grid = self.config.kind.grid
        sizes = {"seq_len": grid.num_cells, "vocab_size": FIRST_SYMBOL + grid.num_symbols}
        return PuzzleModel(replace(self.config.model, sizes), grid)

    def loss(self, carry: Carry, outputs: Outputs, /) -> tuple[Float[Array, ""], Metrics]:
        """Returns `losses.act.act_loss`."""
        return act_loss(carry, outputs, distribution=self.config.model.distribution)

    def load(self) -> Data:
        """Returns puzzles, made anew and always the same."""
        return self._made(_TRAINED, self.config.puzzles), self._made(
            _VALIDATED, self.config.validated
        )

    def tested(self) -> PuzzleSet:
        """Returns the puzzles on which a trained model is measured."""
        return self._made(_TESTED, self.config.test.puzzles)

    def _made(self, part: int, count: int) -> PuzzleSet:
        return make(self.config.kind, [self.config.seed, part], count)

    def fingerprint(self, data: Data) -> str:
        """Returns what the puzzles are made from."""
        return repr((self.config.kind, self.config.puzzles, self.config.seed))

    def abstract_batch(self) -> Batch:
        """Returns shapes and dtypes of a batch."""
        # A single puzzle gives the shapes of all.
        one = self._batch(self._made(_TRAINED, 1), 0)
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct(np.shape(x), x.dtype), one)

    def training_batches(self, data: Data, mesh: Mesh) -> NumberedBatches:
        """Returns endless batches."""
        check_divisible("batch_size", self.config.batch_size, mesh)
        return NumberedBatches(functools.partial(self._batch, data[0]), mesh)

    def _batch(self, puzzles: PuzzleSet, number: int) -> Batch:
        config = self.config
        return draw_batch(puzzles, config.batch_size, config.seed, config.reveal_share, number)

    def average(self, sums: Mapping[str, float], steps: int) -> dict[str, float]:
        """Returns training metrics for the log."""
        return average_metrics(dict(sums), steps * self.config.batch_size)

    def hooks(self, data: Data, batches: Any, mesh: Mesh) -> Hooks:
        """Returns averages, and a single pass over held-out puzzles."""
        del batches
        settings = replace(
            self.config.test,
            # During training a model is measured as it is trained: one pass, without a search.
            {"search.attempts": 0, "max_steps": self.config.model.halt_max_steps},
        )

        def validate(state: TrainState) -> dict[str, float]:
            variables = state.averaged_variables
            found = measure(self.model, variables, self.config.kind, data[1], settings, mesh)
            return {"solved": float(found.single.valid.mean())}

        return Hooks(self.average, validate)
