"""The solve suite: puzzles a second of one trained model, run in different ways, side by side.

    full steps        every puzzle for the full number of steps, as the originals evaluate
    engine            the same steps at most; a puzzle leaves with its first valid proposal
    engine + search   and those left unsolved are tried again
    classical         the solver of the data module: no model, propagation and guesses

All run in this process, in turns, on the same puzzles; a figure is the median over the rounds. The
classical solver is there for honesty: it needs no training, is always right, and is far ahead.
"""

import dataclasses
import pathlib
import time
from collections.abc import Callable
from typing import Any

from jax.sharding import Mesh
from rich.console import Console

from experiments.benchmarks.alternate import Spread
from experiments.common.terminal import Table
from experiments.sudoku import exported
from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.core.types import Variables
from hrm_jax.data.pipeline import Source
from hrm_jax.data.sudoku import rules, solver
from hrm_jax.tasks.sudoku.evaluation import spread
from hrm_jax.tasks.sudoku.task import DataConfig, EvaluationConfig, SudokuReport, SudokuTask

FULL = "full steps"
ENGINE = "engine"
SEARCH = "engine + search"
CLASSICAL = "classical"


@dataclasses.dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
      checkpoint: a run's folder, one checkpoint's, or an exported model's.
      data: a puzzle file; None for the test split of the bank.
      puzzles: how many, spread over the data; 0 for all.
      batch_size: puzzles thought about at once.
      max_steps: steps a puzzle may take; 0 for those of training.
      attempts: further ones of the contestant that searches, at least one; otherwise it searches as
        the model was tested.
      noise: on their initial states; None for as the model was tested.
      rounds: turns of each contestant.
    """

    checkpoint: pathlib.Path
    data: str | None = None
    puzzles: int = 0
    batch_size: int = 64
    max_steps: int = 0
    attempts: int = 8
    noise: float | None = None
    rounds: int = 3


@dataclasses.dataclass(frozen=True)
class Turn:
    """One turn of a contestant: seconds, and means over the puzzles."""

    seconds: float
    exact_accuracy: float
    valid_share: float
    mean_steps: float


def run(options: Options, console: Console) -> dict[str, Any]:
    """Times the contestants in turns; prints a table and returns the figures.

    Raises:
      ConfigError, RunError, CheckpointError, PuzzleFileError, FileNotFoundError: the checkpoint or
        the data cannot be used.
    """
    mesh = make_mesh(MeshConfig())
    task, variables, step = exported.load_any(options.checkpoint, mesh)
    data = DataConfig("csv", test_csv=options.data) if options.data else DataConfig()
    source = spread(data.load("test"), options.puzzles)
    contestants = _contestants(options, task, variables, source, mesh)
    turns: dict[str, list[Turn]] = {name: [] for name in contestants}
    for index in range(options.rounds):
        for name, contestant in contestants.items():
            with console.status(f"round {index + 1} of {options.rounds}: {name}"):
                turns[name].append(contestant())
    count = len(source)
    rows = [_row(name, turns[name], turns[FULL], count) for name in contestants]
    title = f"{count} puzzles of {options.data or 'the bank'}"
    title += "" if step is None else f", checkpoint of step {step}"
    console.print(_table(rows, f"{title}, median of {options.rounds}"))
    return {"suite": "solve", "puzzles": count, "step": step, "rows": rows}


def _contestants(
    options: Options, task: SudokuTask, variables: Variables, source: Source, mesh: Mesh
) -> dict[str, Callable[[], Turn]]:
    """Returns the contestants by name; their compilation is not part of a turn's seconds."""
    steps = options.max_steps or task.config.model.halt_max_steps
    # The full number of steps is the same for all, so that accuracies can be compared.
    longer = dataclasses.replace(task.config.model, halt_max_steps=steps)
    task = SudokuTask(dataclasses.replace(task.config, model=longer))
    changes = {"attempts": options.attempts, "noise": options.noise}
    given = {name: value for name, value in changes.items() if value is not None}
    search = dataclasses.replace(task.config.test.search, **given)
    # 0 puzzles stands for all: the source holds those that were chosen.
    settings = EvaluationConfig(0, options.batch_size, search=search)

    def evaluated(halting: Any) -> SudokuReport:
        config = dataclasses.replace(settings, halting=halting)
        return task.evaluate(variables, source, config, mesh)

    def searched() -> SudokuReport:
        config = dataclasses.replace(settings, halting="rules")
        # The search begins with what the engine left unsolved, and its seconds are those of both.
        report = task.evaluate(variables, source, config, mesh)
        found = task.search(variables, source, config, mesh, report).search
        assert found is not None
        return found

    def classical() -> Turn:
        grids = rules.decode(source.inputs)
        start = time.perf_counter()
        # limit=1 finds a solution, and does not prove that it is the only one.
        found = solver.search_many(grids, limit=1)
        seconds = time.perf_counter() - start
        # By the answers of the data; `valid` is by the rules alone.
        exact = (rules.encode(found.solutions) == source.labels).all(-1).mean()
        valid = rules.is_solution(found.solutions, grids).mean()
        return Turn(seconds, float(exact), float(valid), float("nan"))

    solver.search_many(rules.decode(source.inputs[:1]), limit=1)  # compiles
    return {
        FULL: lambda: _turn(evaluated("steps"), steps),
        ENGINE: lambda: _turn(evaluated("rules")),
        SEARCH: lambda: _turn(searched()),
        CLASSICAL: classical,
    }


def _turn(report: SudokuReport, steps: int | None = None) -> Turn:
    results = report.results
    # With full steps, `results.steps` says when the head would have stopped, not what was spent.
    mean_steps = results.steps.mean() if steps is None else steps
    exact = results.exact.mean()
    valid = results.valid.mean()
    return Turn(report.seconds, float(exact), float(valid), float(mean_steps))


def _row(name: str, turns: list[Turn], full: list[Turn], count: int) -> dict[str, Any]:
    """Returns a contestant's figures; accuracies are the same in every turn."""
    speeds = Spread.of([count / turn.seconds for turn in turns])
    # Within a round, as the machine's speed drifts between rounds.
    ratios = [other.seconds / own.seconds for own, other in zip(turns, full, strict=True)]
    last = turns[-1]
    return {
        "contestant": name,
        "puzzles_per_second": dataclasses.asdict(speeds),
        "speed_ratio": dataclasses.asdict(Spread.of(ratios)),
        "exact_accuracy": last.exact_accuracy,
        "valid_share": last.valid_share,
        "mean_steps": None if name == CLASSICAL else last.mean_steps,
        "seconds": [turn.seconds for turn in turns],
    }


def _table(rows: list[dict[str, Any]], title: str) -> Table:
    table = Table(title=title)
    table.add_column("contestant")
    headings = ("puzzles/s", "over full steps (range)", "solved", "passes the rules", "mean steps")
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        ratio = row["speed_ratio"]
        steps = row["mean_steps"]
        table.add_row(
            row["contestant"],
            f"{row['puzzles_per_second']['median']:,.1f}",
            f"{ratio['median']:,.2f} ({ratio['low']:,.2f}-{ratio['high']:,.2f})",
            f"{row['exact_accuracy']:.2%}",
            f"{row['valid_share']:.2%}",
            "" if steps is None else f"{steps:.1f}",
        )
    return table
