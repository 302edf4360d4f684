"""How a model is measured on Sudoku: one pass over held-out puzzles, and a search after it."""

import dataclasses
import functools
import time
from collections.abc import Callable
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh

from hrm_jax.core.config import check, configclass, field, replace
from hrm_jax.core.mesh import check_divisible, replicated, split_batch, with_ambient_mesh
from hrm_jax.core.types import Variables
from hrm_jax.data.pipeline import Source, as_batch, evaluation_batches
from hrm_jax.data.sudoku import narrowing, solver
from hrm_jax.data.sudoku.assuming import NumberedAssumptions
from hrm_jax.data.sudoku.boards import USUAL, Board
from hrm_jax.data.sudoku.judging import Solves, solves
from hrm_jax.data.sudoku.symmetry import NumberedSymmetries
from hrm_jax.evaluation.accuracy import PuzzleResults, by_rating, summarize
from hrm_jax.inference.config import EngineConfig, SearchConfig
from hrm_jax.inference.engine import Engine
from hrm_jax.inference.search import engine_of_search, search
from hrm_jax.inference.slots import Verify
from hrm_jax.inference.stream import Answers, solve_stream
from hrm_jax.inference.thinking import think
from hrm_jax.inference.tree import Branching
from hrm_jax.inference.uniform import Uniform
from hrm_jax.models.puzzle_model import PuzzleModel

Progress = Callable[[int], None]


def branching(board: Board = USUAL) -> Branching:
    """Returns what the rules of Sudoku give to a search that makes a tree."""
    return Branching(
        functools.partial(narrowing.openings, board=board),
        functools.partial(narrowing.narrow, board=board),
    )


Proposer = TypeVar("Proposer", PuzzleModel, Uniform)


def model_on(model: Proposer, board: Board) -> Proposer:
    """Returns the model for a board: relations are all that its weights know, so they stay.

    Raises:
      ConfigError: the model was made for the usual board alone.
    """
    if board == USUAL:
        return model
    if isinstance(model, Uniform):
        return Uniform(model_on(model.model, board))
    check(
        model.config.mixing == "relational",
        "model.mixing",
        expected=f"relational, to solve {board.name}",
        got=model.config.mixing,
        remedy="choose a model of the preset relational, such as the shipped one",
    )
    sizes = {"seq_len": board.num_cells, "vocab_size": board.vocabulary_size}
    return PuzzleModel(replace(model.config, sizes), board.candidates)


@configclass
class EvaluationConfig:
    """How a model is measured.

    Under `halting="steps"` the proposal after the last step is judged, as the original code does.
    Under "rules" a puzzle leaves the batch with its first proposal that passes the rules, which
    does not use the answer; under "confidence" when the halting head's probability exceeds 1/2.
    (HRM's training compares the head's two values, for halting and for going on, instead.)
    """

    puzzles: int = field(
        1024, help="held-out puzzles looked at, spread over the split; 0 for all", at_least=0
    )
    batch_size: int = field(256, help="puzzles thought about at once", at_least=1)
    halting: Literal["steps", "rules", "confidence"] = field(
        "steps", help="a puzzle is done after all steps, at a valid proposal, or by the head"
    )
    max_steps: int = field(0, help="steps a puzzle may take; 0 for those of training", at_least=0)
    search: SearchConfig = dataclasses.field(default_factory=SearchConfig)

    def engine(self, model: PuzzleModel, mesh: Mesh, verify: Verify = solves) -> Engine:
        """Returns the engine for these settings, with the rules of the usual board or others.

        Raises:
          ConfigError: the devices cannot share a batch equally.
        """
        check_divisible("batch_size of an evaluation", self.batch_size, mesh)
        return Engine(model, self._engine_config(model, mesh.shape["data"]), verify, mesh)

    def _engine_config(self, model: PuzzleModel, devices: int) -> EngineConfig:
        # Smaller batches for the end of a run, when fewer puzzles are left than a batch holds; each
        # has to be a multiple of the devices.
        tail = [size for size in (self.batch_size // 4, self.batch_size // 16) if size >= devices]
        return EngineConfig(
            batch_size=self.batch_size,
            tail_batch_sizes=tuple(size - size % devices for size in tail),
            max_steps=self.max_steps or model.config.halt_max_steps,
            stop_when_valid=self.halting == "rules",
            halt_confidence=0.5 if self.halting == "confidence" else 1.0,
        )


@dataclasses.dataclass(frozen=True)
class SudokuReport:
    """Results of an evaluation.

    Attributes:
      results: one row a puzzle.
      seconds: time it took, without compilation.
      answers: the answers themselves.
      full_steps: whether every puzzle took the same number of steps. `results.steps` then tells
        when the halting head would have stopped.
      search: results after further attempts, its seconds those of both; None without search.
    """

    results: PuzzleResults
    seconds: float
    answers: Answers
    full_steps: bool
    search: "SudokuReport | None" = None

    def as_dict(self) -> dict[str, Any]:
        """Returns metrics over all puzzles, for each band in `by_rating`, and in `search`, if any.

        A band's speed is that of the whole by its share of the steps.
        """
        speed = len(self.results) / max(self.seconds, 1e-9)
        bands = by_rating(self.results, solver.RATING_BANDS)
        total = summarize(self.results)
        for row in bands.values():
            # Where puzzles halt by themselves, a band's time is taken to be proportional to its
            # steps.
            share = 1.0 if self.full_steps else total["mean_steps"] / row["mean_steps"]
            row["puzzles_per_second"] = speed * share
        found = {**total, "puzzles_per_second": speed, "by_rating": bands}
        return found if self.search is None else {**found, "search": self.search.as_dict()}


def evaluate(
    model: PuzzleModel,
    variables: Variables,
    source: Source,
    config: EvaluationConfig,
    mesh: Mesh,
    progress: Progress,
    board: Board = USUAL,
) -> SudokuReport:
    """Returns the report on one pass over the puzzles; see `SudokuTask.evaluate`."""
    model = model_on(model, board)
    verify = Solves(board)
    source = spread(source, config.puzzles)
    # A fixed number of steps needs no engine: all puzzles of a batch start and end together.
    full_steps = config.halting == "steps" and config.max_steps in (0, model.config.halt_max_steps)
    if full_steps:
        answers, steps, seconds = _think_through(
            model, variables, source, config, mesh, progress, verify
        )
    else:
        engine = config.engine(model, mesh, verify)
        # Compiled before the clock starts.
        engine.compile(variables, source.inputs)
        start = time.perf_counter()
        answers = solve_stream(engine, variables, source.inputs, progress=progress)
        seconds = time.perf_counter() - start
        steps = answers.steps
    return SudokuReport(_judge(answers, steps, source), seconds, answers, full_steps)


def search_further(
    model: PuzzleModel,
    variables: Variables,
    source: Source,
    config: EvaluationConfig,
    mesh: Mesh,
    report: SudokuReport,
    progress: Progress,
    board: Board = USUAL,
) -> SudokuReport:
    """Returns the report with the results of a search; see `SudokuTask.search`."""
    check(
        board == USUAL or not (config.search.assume or config.search.symmetries),
        "search",
        expected=f"branch or noise alone, for {board.name}",
        got=config.search,
        remedy="set branch, and leave assume and symmetries out",
    )
    source = spread(source, config.puzzles)
    engine = config.engine(model_on(model, board), mesh, Solves(board))
    # Compiled before the clock starts, with the steps that further attempts may take.
    engine_of_search(engine, config.search).compile(variables, source.inputs)
    start = time.perf_counter()
    answers = search(
        engine,
        variables,
        source.inputs,
        report.answers,
        config.search,
        symmetries=NumberedSymmetries(),
        assumptions=NumberedAssumptions(),
        branching=branching(board),
        progress=progress,
    )
    seconds = report.seconds + time.perf_counter() - start
    found = SudokuReport(_judge(answers, answers.steps, source), seconds, answers, full_steps=False)
    return dataclasses.replace(report, search=found)


def _judge(answers: Answers, steps: np.ndarray, source: Source) -> PuzzleResults:
    """Compares answers with the labels, row by row."""
    right = answers.tokens == source.labels
    # Large puzzles may have further solutions, since the proof that there are none is bounded.
    exact = right.all(-1) | answers.valid
    return PuzzleResults(right.mean(-1), exact, answers.valid, steps, source.rating)


def _think_through(
    model: PuzzleModel,
    variables: Variables,
    source: Source,
    config: EvaluationConfig,
    mesh: Mesh,
    progress: Progress,
    verify: Verify,
) -> tuple[Answers, np.ndarray, float]:
    """Returns the last proposals, the steps until the head would have halted, and the seconds."""
    check_divisible("batch_size of an evaluation", config.batch_size, mesh)
    parts = []
    seconds = 0.0
    # All batches have one shape (the last is padded), so one compilation serves all; it is not
    # timed.
    compiled = None
    for rows in evaluation_batches(source, config.batch_size):
        batch = split_batch(as_batch(rows), mesh)
        if compiled is None:
            compiled = think_for_all(mesh).lower(model, variables, batch).compile()
        start = time.perf_counter()
        # `device_get` waits for the result, so the time includes the computation, not only its
        # dispatch.
        thoughts = jax.device_get(compiled(variables, batch))
        seconds += time.perf_counter() - start
        genuine = rows["rating"] >= 0  # the last batch is filled up with padding
        part = thoughts.tokens[-1], thoughts.confidence[-1], thoughts.steps
        parts.append([x[genuine] for x in part])
        progress(int(genuine.sum()))
    tokens, confidence, steps = map(np.concatenate, zip(*parts, strict=True))
    valid = np.asarray(verify(jnp.asarray(source.inputs, jnp.int32), jnp.asarray(tokens)))
    spent = np.full(len(tokens), model.config.halt_max_steps, np.int32)
    # The engine's form of an answer, with one attempt of all steps.
    answers = Answers(
        tokens=tokens,
        steps=spent,
        confidence=confidence,
        valid=valid,
        attempts=np.ones_like(spent),
        attempt=np.zeros_like(spent),
        shown=source.inputs,
    )
    return answers, steps, seconds


@functools.cache
def think_for_all(mesh: Mesh) -> Any:
    """Returns `think` compiled for a mesh, with its results on every host; cached for each mesh."""
    return jax.jit(with_ambient_mesh(think, mesh), static_argnums=0, out_shardings=replicated(mesh))


def spread(source: Source, count: int) -> Source:
    """Returns `count` puzzles at equal distances; all if `count` is 0 or at least their number."""
    if not 0 < count < len(source):
        return source
    rows = np.linspace(0, len(source) - 1, count).astype(int)
    return dataclasses.replace(
        source, inputs=source.inputs[rows], labels=source.labels[rows], rating=source.rating[rows]
    )
