"""Solves single puzzles: reads and checks them, shows the steps, and judges the answer."""

import dataclasses
import io
import math
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np
from jaxtyping import UInt8
from rich.console import Console

from experiments.rendering.files import save_picture
from experiments.rendering.trace import Trace, make_trace
from experiments.sudoku.display import render_grid
from hrm_jax.core.config import replace
from hrm_jax.core.mesh import MeshConfig, make_mesh, replicated
from hrm_jax.core.types import Variables
from hrm_jax.data.pipeline import Source
from hrm_jax.data.sudoku import board_puzzles, board_solver, puzzle_files, rules, solver
from hrm_jax.data.sudoku.assuming import NumberedAssumptions
from hrm_jax.data.sudoku.boards import SYMBOLS, USUAL, Board, format_grid
from hrm_jax.data.sudoku.judging import Solves
from hrm_jax.inference.config import SearchConfig
from hrm_jax.inference.engine import Engine
from hrm_jax.inference.journal import Journal
from hrm_jax.inference.search import search
from hrm_jax.inference.stream import Answers, solve_stream
from hrm_jax.inference.thinking import thoughts_of
from hrm_jax.tasks.sudoku.evaluation import branching, model_on
from hrm_jax.tasks.sudoku.task import EvaluationConfig, SudokuConfig, SudokuTask

Grid = UInt8[np.ndarray, " T"]

FURTHER_ATTEMPTS = 128
"""Attempts at a puzzle that the first attempt leaves unsolved."""


def read_puzzles(
    text: str, skip_bad: bool = False, box: tuple[int, int] | None = None
) -> tuple[list[Grid], Board]:
    """Reads and checks puzzles.

    Args:
      text: a puzzle, as any file may hold one; or the path of a file; or `-` for standard input.
      skip_bad: leave out puzzles that cannot be read or have not one solution.
      box: rows and columns of a box; for boards of other sizes whose shape has to be named.

    Returns:
      The puzzles, and the board of all of them.

    Raises:
      PuzzleError: it is neither a puzzle nor a file.
      PuzzleFileError: a puzzle is malformed, contradicts itself, or has no or several solutions,
        and is not skipped; the message names the lines.
      OSError: a file cannot be read.
    """
    if text == "-":
        # All of it: an archive is not read from its beginning to its end.
        content = sys.stdin.buffer.read()
        source = "standard input"
    elif os.path.exists(text):
        content = pathlib.Path(text).read_bytes()
        source = text
    elif _looks_like_a_path(text):
        raise rules.PuzzleError(f"expected 81 characters or a file, and there is no file {text}")
    else:
        # The command line may hold bytes that are no text; the error then names them.
        content = os.fsencode(text)
        source = "--puzzle"
    return parse_puzzles(content, source, skip_bad, box)


def parse_puzzles(
    content: bytes, source: str, skip_bad: bool = False, box: tuple[int, int] | None = None
) -> tuple[list[Grid], Board]:
    """Returns the puzzles that a file of any kind holds, checked, and the board of all of them.

    Args:
      content: of the file.
      source: names it in errors.
      skip_bad: as in `read_puzzles`.
      box: as in `read_puzzles`.

    Raises:
      BoxShapeError: the shape of the boxes has to be named.
      PuzzleError, PuzzleFileError: as `read_puzzles`.
    """
    other = board_puzzles.other_board(content, box)
    if other is not None:
        checked = board_puzzles.read_checked(content.decode(), other, source, skip_bad)
        return list(checked.questions), other
    stream = io.BytesIO(content)
    puzzles = puzzle_files.read_stream(stream, source, check_unique=True, skip_bad=skip_bad)
    return list(puzzles.questions), USUAL


def _looks_like_a_path(text: str) -> bool:
    named = pathlib.Path(text).suffix.strip(".").isalpha() or "/" in text or os.sep in text
    return named and "\n" not in text and len(text.strip()) != rules.NUM_CELLS


def settings_of(config: SudokuConfig, changes: Mapping[str, Any] | None = None) -> EvaluationConfig:
    """Returns the settings for solving single puzzles with a model.

    A first attempt may take as many steps as the model was trained or tested with, whichever is
    more. Then come 128 further attempts of as many steps as in training or its tests (16 for the
    shipped model), so that there is something to look at, if they differ by what they assume or by
    noise. Symmetries are left out, since a picture would have to undo them. The batch size is 1, so
    attempts run one after another, each only if those before it failed: on a CPU an attempt alone
    takes no longer than in a batch, and most puzzles need few.

    Args:
      config: of the model's run.
      changes: what flags say instead, by path, as `core.config.replace` takes it.

    Raises:
      ConfigError: the changes do not fit.
    """
    changes = changes or {}
    tested = config.test
    # 0 stands for as many as of the first attempt.
    shortest = config.model.halt_max_steps if tested.search.max_steps else 0
    assume = changes.get("search.assume", tested.search.assume)
    branch = changes.get("search.branch", tested.search.branch)
    noise = changes.get("search.noise", tested.search.noise)
    defaults = {
        "batch_size": 1,
        "halting": "rules",
        "max_steps": max(tested.max_steps, config.model.halt_max_steps),
        "search.attempts": FURTHER_ATTEMPTS if assume or branch or noise > 0 else 0,
        "search.steps": 0,
        "search.max_steps": max(tested.search.max_steps, shortest),
        "search.symmetries": False,
    }
    return replace(tested, {**defaults, **changes})


def solve_all(
    task: SudokuTask,
    variables: Variables,
    puzzles: list[Grid],
    console: Console,
    picture: pathlib.Path | None = None,
    settings: EvaluationConfig | None = None,
    board: Board = USUAL,
) -> int:
    """Solves each puzzle and prints its steps and the verdict; returns 0 if all are solved, else 1.

    Args:
      task: the model.
      variables: its values.
      puzzles: what to solve.
      console: where to print.
      picture: where to draw what was thought, see `rendering.files.save_picture`; or nowhere.
      settings: the steps of an attempt, and the further attempts; `settings_of` the task if None.
      board: of all the puzzles.
    """
    puzzle_solver = PuzzleSolver.make(task, variables, settings or settings_of(task.config), board)
    solutions = []
    for number, puzzle in enumerate(puzzles, 1):
        name = f"Puzzle {number}: " if len(puzzles) > 1 else ""
        solutions.append(puzzle_solver.solve(puzzle, name + describe(puzzle, board)))
        _show(solutions[-1], console)
    solved = sum(solution.solved for solution in solutions)
    if len(solutions) > 1:
        console.print(f"{solved} of {len(solutions)} puzzles solved")
    # Every process of several solves the same puzzles; one of them writes.
    if picture is not None and jax.process_index() == 0:
        save_picture([solution.trace for solution in solutions], picture)
        console.print(f"picture: {picture}", soft_wrap=True)
    return 0 if solved == len(solutions) else 1


def show_held_out(task: SudokuTask, variables: Variables, source: Source, console: Console) -> bool:
    """Solves and shows the first puzzle of a source, in as many steps as in training."""
    puzzle = rules.decode(source.inputs[0])
    # As in training: what is shown is what the model has learned to do in one pass.
    steps = task.config.model.halt_max_steps
    settings = EvaluationConfig(batch_size=1, halting="rules", max_steps=steps)
    solution = PuzzleSolver.make(task, variables, settings).solve(puzzle, describe(puzzle))
    return _show(solution, console)


@dataclasses.dataclass(frozen=True)
class Solution:
    """The answer to one puzzle.

    Attributes:
      trace: the attempt that the answer is from.
      answers: what the engine found, for a batch of one puzzle.
    """

    trace: Trace
    answers: Answers

    @property
    def solved(self) -> bool:
        """Whether the answer passes the rules."""
        return self.trace.solved is not None or bool(self.answers.valid[0])

    @property
    def by_rules(self) -> Grid | None:
        """The answer where rules and assumptions led to it and the model did not repeat it."""
        if not self.solved or self.trace.solved is not None:
            return None
        return (self.answers.tokens[0] - rules.BLANK_TOKEN).astype(np.uint8)


@dataclasses.dataclass(frozen=True)
class PuzzleSolver:
    """Solves single puzzles with the engine, and records the model's proposals."""

    engine: Engine
    variables: Variables
    search_config: SearchConfig
    board: Board = USUAL

    @classmethod
    def make(
        cls,
        task: SudokuTask,
        variables: Variables,
        settings: EvaluationConfig,
        board: Board = USUAL,
    ) -> "PuzzleSolver":
        """Returns a solver on the first device of this process; variables may lie on several.

        Raises:
          ConfigError: the model knows the usual board alone.
        """
        mesh = make_mesh(MeshConfig(), jax.local_devices()[:1])
        engine = settings.engine(model_on(task.model, board), mesh, Solves(board))
        engine = dataclasses.replace(engine, observe=thoughts_of)
        # Through the host: the variables may be sharded over devices that this mesh lacks.
        here = jax.device_put(jax.device_get(variables), replicated(mesh))
        return cls(engine, here, settings.search, board)

    def solve(self, puzzle: Grid, title: str = "", journal: Journal | None = None) -> Solution:
        """Returns the answer to a puzzle, after as many attempts as it takes or there are.

        Args:
          puzzle: what to solve.
          title: what to call it.
          journal: an empty one, which learns of every step as it is taken.
        """
        journal = journal or Journal()
        tokens = rules.encode(puzzle)[None]
        first = solve_stream(self.engine, self.variables, tokens, watch=journal)
        answers = search(
            self.engine,
            self.variables,
            tokens,
            first,
            self.search_config,
            assumptions=NumberedAssumptions(),
            branching=branching(self.board),
            watch=journal,
        )
        # 0 where the first attempt is the best one, solved or not.
        attempt = int(answers.attempt[0])
        # The trace shows the puzzle as given; what the attempt assumed goes into the title.
        if attempt:
            title = _name_attempt(title, attempt, puzzle, answers.shown[0] - rules.BLANK_TOKEN)
        thoughts = journal.thoughts(0, attempt)
        trace = make_trace(puzzle, thoughts, title=title, board=self.board)
        return Solution(trace, answers)


def _name_attempt(title: str, attempt: int, puzzle: Grid, shown: Grid) -> str:
    """Returns a puzzle's title with the number of an attempt and what it assumed."""
    parts = [title] if title else []
    parts.append(f"attempt {attempt + 1}")
    added = np.flatnonzero(shown != puzzle)
    if len(added) == 1:
        row, column = divmod(int(added[0]), math.isqrt(len(puzzle)))
        parts.append(f"assuming {SYMBOLS[shown[added[0]]]} in r{row + 1}c{column + 1}")
    elif len(added):
        # A node of a tree: what was assumed and what follows from it are not told apart.
        number = len(added) if (shown == rules.BLANK).any() else "all"
        parts.append(f"with {number} cells by rules and assumptions")
    return ", ".join(parts)


def _show(solution: Solution, console: Console) -> bool:
    """Prints every step up to the answer, and the verdict; returns whether the puzzle is solved."""
    trace = solution.trace
    console.print(trace.title, soft_wrap=True)
    console.print(render_grid(trace.givens, trace.givens, trace.board))
    conflicts = trace.conflicts.sum(-1)
    changed = trace.changed.sum(-1)
    for step in range(1, trace.answer + 1):
        console.print(
            f"step {step}: {trace.filled[step - 1]} cells filled"
            + ("" if step == 1 else f", {changed[step - 1]} changed")
            + f", {conflicts[step - 1]} in conflict, {trace.halt_confidence[step - 1]:.0%} sure"
            + (", halts" if step == trace.halt else "")
        )
    answer = trace.answer - 1
    by_rules = solution.by_rules
    digits = trace.digits[answer] if by_rules is None else by_rules
    console.print(render_grid(trace.givens, digits, trace.board))
    if by_rules is not None:
        console.print(
            "solved by rules and assumptions, which the model did not repeat: "
            f"{format_grid(by_rules, trace.board)}",
            soft_wrap=True,
        )
        return True
    if trace.solved is not None:
        solution_text = format_grid(trace.digits[answer], trace.board)
        console.print(f"solved at step {trace.solved}: {solution_text}", soft_wrap=True)
        return True
    attempts = int(solution.answers.attempts[0])
    made = f" in {attempts} attempts" if attempts > 1 else ""
    console.print(
        f"not solved{made}: the proposal has {conflicts[answer]} cells in conflict, leaves "
        f"{(trace.digits[answer] == rules.BLANK).sum()} blank and changes "
        f"{trace.overwritten[answer].sum()} givens",
        soft_wrap=True,
    )
    return False


def describe(puzzle: Grid, board: Board = USUAL) -> str:
    """Returns the number of givens and the rating of a puzzle, and its board if it is another."""
    givens = f"{np.count_nonzero(puzzle)} givens"
    if board == USUAL:
        return f"{givens}, rating {solver.rating(puzzle)}"
    found = board_solver.search_many(puzzle[None], board, most_guesses=board_puzzles.MOST_GUESSES)
    if not found.finished[0]:
        return f"{board.name}: {givens}, not checked whether there is a single solution"
    return f"{board.name}: {givens}, rating {found.guesses[0]}"
