"""Measures a model on held-out puzzles, of the usual size or others, and shows the tables."""

import dataclasses
import functools
import pathlib
from typing import Any

import jax
from jax.sharding import Mesh
from rich.console import Console

from experiments.common import terminal
from experiments.sudoku import display
from hrm_jax.core.types import Variables
from hrm_jax.data.pipeline import Source
from hrm_jax.data.sudoku import board_files, board_puzzles, rules
from hrm_jax.data.sudoku.boards import USUAL, Board
from hrm_jax.inference.uniform import Uniform
from hrm_jax.tasks.sudoku.task import DataConfig, EvaluationConfig, SudokuTask

PROPOSERS = ("trained", "untrained", "uniform")
"""Who may make the proposals that a search goes by."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """What a model is measured on: puzzles, their board, and what tables call them."""

    source: Source
    board: Board
    title: str


@dataclasses.dataclass(frozen=True)
class UniformTask(SudokuTask):
    """A task whose model knows nothing, so that rules and search alone are measured."""

    @functools.cached_property
    def model(self) -> Any:
        """Says that all digits of a cell are as likely."""
        return Uniform(SudokuTask(self.config).model)


def proposed_by(name: str, task: SudokuTask, variables: Variables) -> tuple[SudokuTask, Variables]:
    """Returns a task and variables by which another proposer takes the trained model's place.

    Args:
      name: one of `PROPOSERS`.
      task: the trained model.
      variables: its values.
    """
    if name == "untrained":
        return task, task.model.init(jax.random.key(task.config.seed))
    return (UniformTask(task.config) if name == "uniform" else task), variables


def usual(task: SudokuTask, split: str) -> Measured:
    """Returns a split of the task's data."""
    return Measured(task.config.data.load(split), USUAL, f"{task.config.data.name}, {split} split")


def chosen(data: str | None, box: str | None) -> Measured:
    """Returns the puzzles of a file of any size, or the bank's test split.

    Args:
      data: the file; None for the bank.
      box: rows x columns of a box, where the size does not tell them; else None.

    Raises:
      PuzzleError: the shape of boxes has to be named, or a puzzle cannot be used.
    """
    other = other_size(data, box, skip_bad=False)
    if other is not None:
        return other
    config = DataConfig(name="csv", test_csv=data) if data else DataConfig()
    return Measured(
        config.load("test"),
        USUAL,
        pathlib.Path(data).name if data else f"{config.name}, test split",
    )


def other_size(data: str | None, box: str | None, skip_bad: bool) -> Measured | None:
    """Returns the puzzles of a file of another size than nine rows, None for all other data.

    Args:
      data: of `--data`: the name of a data set, or a file.
      box: of `--box`: rows x columns of a box.
      skip_bad: leave out puzzles without exactly one solution.

    Raises:
      PuzzleError: the shape of boxes has to be named, or a puzzle cannot be used.
    """
    # Checked even where no file is read: a wrong flag is told in any case.
    shape = board_files.parse_box(box) if box else None
    path = pathlib.Path(data or "")
    if not path.is_file():
        if shape is not None:
            raise rules.PuzzleError(
                f"--box: expected a file of such puzzles in --data, got {data}: name one"
            )
        return None
    content = path.read_bytes()
    board = board_puzzles.other_board(content, shape)
    if board is None:
        return None
    puzzles = board_puzzles.read_checked(content.decode(), board, str(path), skip_bad)
    unproven = int((~puzzles.proven).sum())
    checked = f", {unproven} not checked for a single solution" if unproven else ""
    return Measured(puzzles.source(), board, f"{path.name}, {board.name}{checked}")


def measure(
    task: SudokuTask,
    variables: Variables,
    measured: Measured,
    settings: EvaluationConfig,
    console: Console,
    mesh: Mesh,
) -> dict[str, Any]:
    """Evaluates with a progress bar, prints the tables, and returns the report."""
    source = measured.source
    board = measured.board
    # 0 stands for all of them.
    total = min(settings.puzzles or len(source), len(source))
    with terminal.counting_progress(
        console, "evaluating", total, waits_for="compiling"
    ) as progress:
        report = task.evaluate(variables, source, settings, mesh, progress, board)
    title = measured.title
    console.print(display.accuracy_table(report.as_dict(), f"{title}, single pass"))
    if settings.search.attempts:
        # By the rules alone: whether an answer is right is not known to a search.
        unsolved = int((~report.results.valid).sum())
        with terminal.counting_progress(
            console, "searching", unsolved, waits_for="compiling"
        ) as progress:
            report = task.search(variables, source, settings, mesh, report, progress, board)
        search = report.search
        assert search is not None
        attempts = f"{search.answers.attempts.mean():.1f} attempts at the mean"
        spent = f"up to {settings.search.attempts} further attempts, {attempts}"
        console.print(display.accuracy_table(report.as_dict()["search"], f"{title}, {spent}"))
    return report.as_dict()
