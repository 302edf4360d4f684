"""Boards of several sizes learned together, from given weights or fresh ones."""

import dataclasses
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh
from jaxtyping import Array, Float

from hrm_jax.convert.model_folder import load_model_variables
from hrm_jax.core.config import check, configclass, field
from hrm_jax.core.mesh import MeshConfig, batch_share, check_divisible
from hrm_jax.core.types import Batch, Carry, Outputs, Variables
from hrm_jax.data.pipeline import PipelineConfig, Source, as_batch, training_batches
from hrm_jax.data.sudoku import board_generator, rules
from hrm_jax.data.sudoku.board_files import parse_box
from hrm_jax.data.sudoku.board_generator import Grade
from hrm_jax.data.sudoku.boards import USUAL, Board
from hrm_jax.data.sudoku.easing import ease_after
from hrm_jax.data.sudoku.puzzles import concatenate
from hrm_jax.losses.act import Metrics, act_loss, average_metrics
from hrm_jax.models.puzzle_config import PuzzleModelConfig
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.models.together import Together
from hrm_jax.tasks.sudoku import evaluation
from hrm_jax.tasks.sudoku.evaluation import EvaluationConfig
from hrm_jax.tasks.sudoku.task import DataConfig
from hrm_jax.training.batches import PlacedBatches
from hrm_jax.training.loop import Hooks
from hrm_jax.training.optimizers import OptimConfig
from hrm_jax.training.run_config import LoopConfig
from hrm_jax.training.state import TrainState
from hrm_jax.training.task import Task

# Parts of the seed: what is held out comes from a stream of its own.
_TRAINED, _HELD_OUT = range(2)


@configclass
class SizesConfig:
    """The whole configuration of a run on several sizes."""

    description: str = field("", help="what this preset is for")
    start: str = field(
        "", help="folder of an exported model to start from; fresh weights if empty", path_holds="."
    )
    model: PuzzleModelConfig = dataclasses.field(default_factory=PuzzleModelConfig)
    boxes: tuple[str, ...] = field(
        ("2x2", "2x3", "3x3", "3x4", "4x4"),
        help="rows x columns of the boxes of each size",
        nonempty=True,
    )
    rows: tuple[int, ...] = field(
        (1, 1, 6, 2, 3), help="puzzles of each size in a step", at_least=1, nonempty=True
    )
    puzzles: int = field(800, help="made of each size and grade, 3x3 apart", at_least=1)
    grades: tuple[str, ...] = field(
        ("singles",), help="of the puzzles made to learn from", one_of=board_generator.GRADES
    )
    held_out: int = field(32, help="puzzles of each size that are measured", at_least=1)
    data: DataConfig = field(DataConfig(), help="puzzles with boxes of 3x3")
    validation: EvaluationConfig = dataclasses.field(
        default_factory=lambda: EvaluationConfig(puzzles=0, batch_size=32, halting="rules")
    )
    optim: OptimConfig = dataclasses.field(default_factory=OptimConfig)
    loop: LoopConfig = dataclasses.field(default_factory=LoopConfig)
    mesh: MeshConfig = dataclasses.field(default_factory=MeshConfig)
    seed: int = field(0, help="of puzzles, order and exploration")

    def __post_init__(self):
        """Raises ConfigError where sizes and rows do not fit, or the model knows no relations."""
        check(
            len(self.rows) == len(self.boxes) == len(set(self.boxes)),
            "rows",
            expected=f"one number for each of the boxes {self.boxes}, none twice",
            got=self.rows,
            remedy="change rows or boxes",
        )
        check(
            self.model.mixing == "relational",
            "model.mixing",
            expected="relational, as only such weights fit every size",
            got=self.model.mixing,
            remedy="set it",
        )
        check(
            self.loop.batch_parts == 1,
            "loop.batch_parts",
            expected="1, as the sizes of a batch are parts already",
            got=self.loop.batch_parts,
            remedy="set 1",
        )

    @property
    def boards(self) -> tuple[Board, ...]:
        """The boards, in the order of `boxes`."""
        return tuple(Board(*parse_box(box)) for box in self.boxes)


Sources = tuple[Source, ...]
"""A source for each board."""


@dataclasses.dataclass(frozen=True)
class SizesTask(Task):
    """A run on several sizes, made from its configuration."""

    config: SizesConfig = dataclasses.field()

    @functools.cached_property
    def usual_model(self) -> PuzzleModel:
        """The model for nine rows, as which the weights are saved."""
        return PuzzleModel(self.config.model, rules.CANDIDATES)

    @functools.cached_property
    def model(self) -> Together:
        """A model for each board, with the same weights."""
        boards = self.config.boards
        return Together(tuple(evaluation.model_on(self.usual_model, board) for board in boards))

    def start_from(self, fresh: Variables) -> Variables:
        """Returns the values of `config.start`, or fresh ones if it is empty.

        Raises:
          WeightsError: they are damaged, or those of another model.
        """
        if not self.config.start:
            return fresh
        return load_model_variables(self.config.start, self.usual_model)

    def loss(
        self, carry: tuple[Carry, ...], outputs: tuple[Outputs, ...], /
    ) -> tuple[Float[Array, ""], Metrics]:
        """Returns the sums over all puzzles of the losses and metrics of `losses.act`."""
        pairs = zip(carry, outputs, strict=True)
        parts = [act_loss(*pair, distribution=self.config.model.distribution) for pair in pairs]
        # Losses and metrics are sums over puzzles, so those of all boards add up.
        return jax.tree.map(lambda *values: jnp.stack(values).sum(), *parts)

    def load(self) -> tuple[Sources, Sources]:
        """Returns what is learned from, and what is held out, for each board."""
        boards = self.config.boards
        return (
            tuple(self._learned(board) for board in boards),
            tuple(self._held_out(board) for board in boards),
        )

    def _learned(self, board: Board) -> Source:
        # Puzzles of nine rows are those that the usual task learns from.
        if board == USUAL:
            return self.config.data.load("train")
        grades = cast(Sequence[Grade], self.config.grades)
        made = self._make(board, grades, self.config.puzzles, _TRAINED)
        # None: made puzzles are shown with some blanks filled in, but under no symmetry.
        ease = functools.partial(ease_after, None, share=self.config.data.reveal_share)
        return dataclasses.replace(made, augment=ease)

    def _held_out(self, board: Board) -> Source:
        if board == USUAL:
            whole = self.config.data.load("validation")
            return evaluation.spread(whole, self.config.held_out)
        return self._make(board, ["singles"], self.config.held_out, _HELD_OUT)

    def _make(self, board: Board, grades: Sequence[Grade], count: int, part: int) -> Source:
        made = []
        for grade in grades:
            named = board_generator.GRADES.index(grade)
            shape = board.box_rows, board.box_columns
            # A stream for each board and grade: adding a size leaves the puzzles of the others as
            # they are.
            rng = np.random.default_rng([self.config.seed, part, named, *shape])
            made.append(board_generator.generate(rng, board, grade, count))
        puzzles = concatenate(made)
        inputs, labels = rules.encode(puzzles.questions), rules.encode(puzzles.answers)
        return Source(inputs, labels, puzzles.ratings)

    def fingerprint(self, data: tuple[Sources, Sources]) -> str:
        """Returns the fingerprints of what is learned from."""
        return " ".join(source.fingerprint() for source in data[0])

    def training_batches(self, data: tuple[Sources, Sources], mesh: Mesh) -> PlacedBatches:
        """Returns endless batches with puzzles of every board."""
        index, count = batch_share(mesh)
        parts = []
        for source, rows in zip(data[0], self.config.rows, strict=True):
            check_divisible("rows", rows, mesh)
            pipeline = PipelineConfig(
                # Each process draws its own share of the rows.
                batch_size=rows // count,
                seed=self.config.seed,
                augment=source.augment is not None,
                process_index=index,
                process_count=count,
            )
            parts.append(iter(training_batches(source, pipeline)))
        return PlacedBatches(_Zipped(parts), lambda rows: tuple(map(as_batch, rows)), mesh)

    def abstract_batch(self) -> tuple[Batch, ...]:
        """Returns shapes and dtypes of a global batch."""

        def of_board(board: Board, rows: int) -> Batch:
            tokens: Any = jax.ShapeDtypeStruct((rows, board.num_cells), np.int32)
            identifiers: Any = jax.ShapeDtypeStruct((rows,), np.int32)
            return Batch(tokens, tokens, identifiers)

        return tuple(map(of_board, self.config.boards, self.config.rows))

    def average(self, sums: Mapping[str, float], steps: int) -> dict[str, float]:
        """Returns training metrics for the log, over all boards."""
        return average_metrics(dict(sums), steps * sum(self.config.rows))

    def hooks(self, data: tuple[Sources, Sources], batches: Any, mesh: Mesh) -> Hooks:
        """Returns averages, and a single pass over the held-out puzzles of each board."""
        del batches

        def validate(state: TrainState) -> dict[str, float]:
            return self.measure(state.averaged_variables, data[1], mesh)

        return Hooks(self.average, validate)

    def measure(self, variables: Variables, held_out: Sources, mesh: Mesh) -> dict[str, float]:
        """Returns for each size the share of puzzles solved, `exact_16`, and of cells, `cells_16`.

        The numbers are those of rows.
        """
        found = {}
        for board, source in zip(self.config.boards, held_out, strict=True):
            # The usual model's weights; `board` says how many cells they are applied to.
            report = evaluation.evaluate(
                self.usual_model,
                variables,
                source,
                self.config.validation,
                mesh,
                lambda count: None,
                board,
            ).as_dict()
            found[f"exact_{board.side}"] = report["exact_accuracy"]
            found[f"cells_{board.side}"] = report["cell_accuracy"]
        return found


class _Zipped:
    """Resumable iterators as one, whose items are tuples."""

    def __init__(self, parts: Sequence[Any]):
        self._parts = parts

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return self

    def __next__(self) -> tuple[Any, ...]:
        return tuple(next(part) for part in self._parts)

    def get_state(self) -> list[Any]:
        return [part.get_state() for part in self._parts]

    def set_state(self, state: list[Any]) -> None:
        for part, own in zip(self._parts, state, strict=True):
            part.set_state(own)
