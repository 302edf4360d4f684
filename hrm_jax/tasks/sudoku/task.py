"""Sudoku as a task: configuration, model, loss, data and metrics."""

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from hrm_jax.core.config import ConfigError, check, configclass, field
from hrm_jax.core.mesh import MeshConfig, batch_share, check_divisible
from hrm_jax.core.types import Batch, Carry, Outputs, Variables
from hrm_jax.data.pipeline import (
    PipelineConfig,
    Source,
    as_batch,
    training_batches,
    with_fixed_augmentations,
)
from hrm_jax.data.sudoku import rules
from hrm_jax.data.sudoku.boards import USUAL, Board
from hrm_jax.data.sudoku.easing import ease_after
from hrm_jax.data.sudoku.puzzle_files import PuzzleFileError
from hrm_jax.losses.act import Metrics, act_loss, average_metrics
from hrm_jax.models.puzzle_config import PuzzleModelConfig
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.tasks.sudoku import evaluation, probes
from hrm_jax.tasks.sudoku.evaluation import EvaluationConfig, SudokuReport
from hrm_jax.training.batches import PlacedBatches
from hrm_jax.training.loop import Hooks
from hrm_jax.training.optimizers import OptimConfig
from hrm_jax.training.run_config import LoopConfig
from hrm_jax.training.state import TrainState
from hrm_jax.training.task import Task

_LOGGED = ("count", "cell_accuracy", "exact_accuracy", "mean_steps")


@configclass
class DataConfig:
    """Which puzzles to train on, and how they are augmented."""

    name: str = field("bank", help="bank, extreme or extreme_1k; csv to read the files below")
    train_csv: str = field(
        "", help="for csv: a file of training puzzles of any kind", path_holds="."
    )
    test_csv: str = field(
        "", help="for csv: held-out puzzles; without it some of train are", path_holds="."
    )
    skip_bad: bool = field(False, help="for csv: leave out unusable puzzles instead of refusing")
    data_dir: str = field(
        "", help="prepared data; HRM_JAX_DATA or ~/.cache/hrm_jax if empty", path_holds="."
    )
    augment: bool = field(True, help="show training puzzles under random symmetries")
    num_augmentations: int = field(
        0,
        help="symmetries of each puzzle drawn once, as the originals do; 0: new ones every time",
        at_least=0,
    )
    reveal_share: float = field(
        0.0,
        help="share of training puzzles shown with some of their blanks filled in",
        at_least=0,
        at_most=1,
    )

    def __post_init__(self):
        """Raises ConfigError where the name and the files do not fit."""
        files = bool(self.train_csv or self.test_csv)
        check(
            files == (self.name == "csv"),
            "name",
            expected="csv with a file, or another data set without",
            got=self.name,
            remedy="set data.train_csv or data.test_csv exactly when data.name is csv",
        )

    @property
    def held_out_split(self) -> str:
        """The split that a trained model is reported on.

        "validation" for a file of training puzzles.
        """
        return "validation" if self.name == "csv" and not self.test_csv else "test"

    def load(self, split: str) -> Source:
        """Returns the puzzles of `train`, `validation` or `test`, prepared at first use.

        Raises:
          ConfigError: there is no such data set, or it has no such split.
          PuzzleFileError: a file has unusable rows.
          FileNotFoundError: a file does not exist.
        """
        # TFDS takes half a second to import, which those who only solve do not spend.
        from hrm_jax.data.sudoku.source import load_source
        from hrm_jax.data.sudoku.sudoku_dataset_builder import csv_config

        config = self.name
        if self.name == "csv":
            # Without a validation file the builder holds out some of the training puzzles.
            config = csv_config(
                train=self.train_csv or None, test=self.test_csv or None, skip_bad=self.skip_bad
            )
        try:
            source = load_source(config, split, self.data_dir or None)
        except PuzzleFileError:
            raise
        except ValueError as error:
            raise ConfigError("data", str(error)) from error
        return self._augmented(source) if split == "train" else source

    def _augmented(self, source: Source) -> Source:
        """Returns a source of training puzzles with the augmentations of this config."""
        if self.augment and self.num_augmentations:
            # Fixed augmentations are drawn with seed 0, whatever the run's seed is: all runs see
            # one data set.
            source = with_fixed_augmentations(source, self.num_augmentations, seed=0)
        elif not self.augment:
            source = dataclasses.replace(source, augment=None)
        if not self.reveal_share:
            return source
        # Revealing acts at each visit, after the random symmetry if there is one.
        ease = functools.partial(ease_after, source.augment, share=self.reveal_share)
        return dataclasses.replace(source, augment=ease)


@configclass
class SudokuConfig:
    """The whole configuration of a Sudoku run."""

    description: str = field("", help="what this preset is for")
    model: PuzzleModelConfig = dataclasses.field(default_factory=PuzzleModelConfig)
    optim: OptimConfig = dataclasses.field(default_factory=OptimConfig)
    data: DataConfig = DataConfig()
    loop: LoopConfig = dataclasses.field(default_factory=LoopConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    validation: EvaluationConfig = dataclasses.field(
        default_factory=lambda: EvaluationConfig(puzzles=256)
    )
    test: EvaluationConfig = dataclasses.field(
        default_factory=lambda: EvaluationConfig(halting="rules")
    )
    batch_size: int = field(384, help="puzzles a step, over all devices and processes", at_least=1)
    seed: int = field(0, help="of initialisation, order, augmentation and exploration")

    def __post_init__(self):
        """Raises ConfigError for a model that Sudoku does not fit."""
        check(
            self.model.seq_len == rules.NUM_CELLS,
            "model.seq_len",
            expected=str(rules.NUM_CELLS),
            got=self.model.seq_len,
            remedy="leave the default",
        )
        check(
            self.model.vocab_size == rules.VOCABULARY_SIZE,
            "model.vocab_size",
            expected=str(rules.VOCABULARY_SIZE),
            got=self.model.vocab_size,
            remedy="leave the default",
        )


@dataclasses.dataclass(frozen=True)
class SudokuTask(Task):
    """A training run on Sudoku, made from its configuration."""

    config: SudokuConfig = dataclasses.field()  # without it, Task's config would be the default

    def loss(self, carry: Carry, outputs: Outputs, /) -> tuple[Float[Array, ""], Metrics]:
        """Returns `losses.act.act_loss` for the model's distribution of tokens."""
        return act_loss(carry, outputs, distribution=self.config.model.distribution)

    @functools.cached_property
    def model(self) -> PuzzleModel:
        """The model with adaptive computation time."""
        relational = self.config.model.mixing == "relational"
        return PuzzleModel(self.config.model, rules.CANDIDATES if relational else None)

    def load(self) -> tuple[Source, Source]:
        """Returns training and validation puzzles; raises as `DataConfig.load`."""
        return self.config.data.load("train"), self.config.data.load("validation")

    def fingerprint(self, data: tuple[Source, Source]) -> str:
        """Returns the fingerprint of the training puzzles, without their random symmetries."""
        return data[0].fingerprint()

    def training_batches(self, data: tuple[Source, Source], mesh: Mesh) -> PlacedBatches:
        """Returns endless batches of training puzzles; each process holds its part of them."""
        source, _ = data
        check_divisible("batch_size", self.config.batch_size, mesh)
        index, count = batch_share(mesh)
        shown = self.config.data
        pipeline = PipelineConfig(
            batch_size=self.config.batch_size // count,
            seed=self.config.seed,
            # Revealing is an augmentation too, so the pipeline augments even where symmetries are
            # off.
            augment=bool(shown.augment or shown.reveal_share) and source.augment is not None,
            process_index=index,
            process_count=count,
        )
        return PlacedBatches(iter(training_batches(source, pipeline)), as_batch, mesh)

    def abstract_batch(self) -> Batch:
        """Returns shapes and dtypes of a global batch."""
        B = self.config.batch_size
        T = self.config.model.seq_len
        tokens: Any = jax.ShapeDtypeStruct((B, T), np.int32)
        identifiers: Any = jax.ShapeDtypeStruct((B,), np.int32)
        return Batch(tokens, tokens, identifiers)

    def average(self, sums: Mapping[str, float], steps: int) -> dict[str, float]:
        """Returns training metrics for the log, from their sums over `steps` steps."""
        return average_metrics(dict(sums), steps * self.config.batch_size)

    def hooks(self, data: tuple[Source, Source], batches: Any, mesh: Mesh) -> Hooks:
        """Returns what the loop calls: averages, one pass over the validation puzzles, probes."""
        del batches
        settings = self.config.validation

        def validate(state: TrainState) -> dict[str, float]:
            report = self.evaluate(state.averaged_variables, data[1], settings, mesh).as_dict()
            # Results by rating are tables, and speed depends on the machine: neither belongs in
            # the log.
            return {name: report[name] for name in _LOGGED}

        def probe(state: TrainState) -> dict[str, Any]:
            return probes.probe(self.model, state.averaged_variables, data[1], mesh)

        return Hooks(self.average, validate, probe=probe)

    def evaluate(
        self,
        variables: Variables,
        source: Source,
        config: EvaluationConfig,
        mesh: Mesh,
        progress: Callable[[int], None] = lambda count: None,
        board: Board = USUAL,
    ) -> SudokuReport:
        """Runs the model once on held-out puzzles, each until `config.halting` ends it.

        Args:
          variables: the model's values.
          source: the puzzles.
          config: how many of them, how many at once, and when they are done.
          mesh: the devices that share them.
          progress: called with the number of puzzles done.
          board: where the puzzles stand.

        Raises:
          ConfigError: the devices cannot share a batch equally, or the model knows the usual board
            alone.
        """
        return evaluation.evaluate(self.model, variables, source, config, mesh, progress, board)

    def search(
        self,
        variables: Variables,
        source: Source,
        config: EvaluationConfig,
        mesh: Mesh,
        report: SudokuReport,
        progress: Callable[[int], None] = lambda count: None,
        board: Board = USUAL,
    ) -> SudokuReport:
        """Tries what an evaluation left unsolved again, within `config.search`.

        Args:
          variables, source, config, mesh, board: those of the evaluation.
          report: what it found.
          progress: called with the number of puzzles done, of those unsolved.

        Returns:
          The report, with what the search found beside what the single pass did.
        """
        settings = self.model, variables, source, config, mesh
        return evaluation.search_further(*settings, report, progress, board)
