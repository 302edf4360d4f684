"""Solving single puzzles: reading, checking, showing the steps, judging the answer."""

import dataclasses
import os
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from rich.console import Console

from experiments.rendering.files import save_picture
from experiments.rendering.trace import Trace, make_trace
from experiments.sudoku.display import render_grid
from hrm_jax.core.types import Batch, Variables
from hrm_jax.data.pipeline import Source
from hrm_jax.data.sudoku import rules, solver
from hrm_jax.data.sudoku.assuming import NumberedAssumptions
from hrm_jax.inference.thinking import think
from hrm_jax.tasks.sudoku.task import SudokuTask

Grid = UInt8[np.ndarray, "81"]

_FURTHER_ATTEMPTS, _SIDE_BY_SIDE = 128, 16
"""At a puzzle that the first attempt leaves unsolved, and how many of them run at once."""


def read_puzzles(text: str) -> list[Grid]:
    """Reads and checks puzzles.

    Args:
      text: 81 characters; or the path of a file with one puzzle a line; or `-` for standard input.

    Raises:
      PuzzleError: a puzzle is malformed, contradicts itself, or has no or several solutions; the
        message names the line where there are several.
    """
    if text == "-":
        lines = _lines(sys.stdin.buffer.read())
    elif os.path.isfile(text):
        lines = _lines(pathlib.Path(text).read_bytes())
    else:
        lines = [text]
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not numbered:
        raise rules.PuzzleError("expected a puzzle, got no text; give 81 characters a line")
    puzzles = []
    for number, line in numbered:
        try:
            puzzles.append(_check(rules.parse(line)))
        except rules.PuzzleError as error:
            where = f"line {number}: " if len(lines) > 1 else ""
            raise type(error)(f"{where}{error}") from None
    return puzzles


def _lines(content: bytes) -> list[str]:
    """Lines of text, also of bytes that are none: what they hold is then no puzzle, and named."""
    return content.decode("utf-8-sig", errors="replace").splitlines()


def _check(puzzle: Grid) -> Grid:
    """Refuses puzzles that do not have exactly one solution."""
    rules.require_consistent(puzzle)
    solutions = solver.count_solutions(puzzle)
    if solutions == 0:
        raise solver.NoUniqueSolutionError("the puzzle has no solution: check its givens")
    if solutions > 1:
        raise solver.NoUniqueSolutionError(
            "the puzzle has more than one solution: it lacks givens, so no answer is the answer"
        )
    return puzzle


def solve_all(
    task: SudokuTask,
    variables: Variables,
    puzzles: list[Grid],
    console: Console,
    picture: pathlib.Path | None = None,
) -> int:
    """Solves each puzzle and prints its steps and the verdict; 0 if all are solved, else 1.

    Args:
      task: the model.
      variables: its values.
      puzzles: what to solve.
      console: where to print.
      picture: where to draw what was thought, see `rendering.files.save_picture`; or nowhere.
    """
    traces = []
    for number, puzzle in enumerate(puzzles, 1):
        name = f"Puzzle {number}: " if len(puzzles) > 1 else ""
        traces.append(_think(task, variables, puzzle, name + _describe(puzzle)))
        _show(traces[-1], console)
    solved = sum(trace.solved is not None for trace in traces)
    if len(traces) > 1:
        console.print(f"{solved} of {len(traces)} puzzles solved")
    if picture is not None and jax.process_index() == 0:
        save_picture(traces, picture)
        console.print(f"picture: {picture}", soft_wrap=True)
    return 0 if solved == len(traces) else 1


def show_held_out(task: SudokuTask, variables: Variables, source: Source, console: Console) -> bool:
    """Thinks about the first puzzle of a source in front of the reader, as long as in training."""
    puzzle = rules.decode(source.inputs[0])
    steps = task.config.model.halt_max_steps
    trace = _attempts(task, variables, puzzle, range(1), steps, _describe(puzzle))
    return _show(trace, console)


def _show(trace: Trace, console: Console) -> bool:
    """Shows every step up to the solution or the halt, and the verdict: is the puzzle solved?"""
    console.print(trace.title, soft_wrap=True)
    console.print(render_grid(trace.givens, trace.givens))
    conflicts, changed = (marked.sum(-1) for marked in (trace.conflicts, trace.changed))
    answer = (trace.solved or trace.halt) - 1
    for step in range(1, answer + 2):
        console.print(
            f"step {step}: {trace.filled[step - 1]} cells filled"
            + ("" if step == 1 else f", {changed[step - 1]} changed")
            + f", {conflicts[step - 1]} in conflict, {trace.halt_confidence[step - 1]:.0%} sure"
            + (", halts" if step == trace.halt else "")
        )
    console.print(render_grid(trace.givens, trace.digits[answer]))
    if trace.solved is not None:
        solution = rules.format_grid(trace.digits[answer])
        console.print(f"solved at step {trace.solved}: {solution}", soft_wrap=True)
        return True
    console.print(
        f"not solved: the proposal has {conflicts[answer]} cells in conflict, leaves "
        f"{(trace.digits[answer] == rules.BLANK).sum()} blank and changes "
        f"{trace.overwritten[answer].sum()} givens",
        soft_wrap=True,
    )
    return False


def _think(task: SudokuTask, variables: Variables, puzzle: Grid, title: str = "") -> Trace:
    """All steps of thought about one puzzle; of an attempt that solves it, if one of them does.

    First come as many steps as in training, which is enough for most puzzles; then as many as the
    model is tested with; then further attempts, if they differ by what they assume or by noise
    (symmetries are left out: a picture would have to undo them).
    """
    config, tested = task.config.model, task.config.test
    trace = _attempts(task, variables, puzzle, range(1), config.halt_max_steps, title)
    if trace.solved is None and tested.max_steps > config.halt_max_steps:
        trace = _attempts(task, variables, puzzle, range(1), tested.max_steps, title)
    search = tested.search
    steps, proposal = search.max_steps or trace.steps, trace.digits[-1]
    if trace.solved is None and (search.assume or search.noise):
        for start in range(1, 1 + _FURTHER_ATTEMPTS, _SIDE_BY_SIDE):
            numbers = range(start, start + _SIDE_BY_SIDE)
            other = _attempts(task, variables, puzzle, numbers, steps, title, proposal)
            if other.solved is not None:
                return other
    return trace


def _attempts(
    task: SudokuTask,
    variables: Variables,
    puzzle: Grid,
    numbers: range,
    steps: int,
    title: str,
    proposal: Grid | None = None,
) -> Trace:
    """The first of some attempts that solves the puzzle, or the first of all."""
    config = dataclasses.replace(task.config.model, halt_max_steps=steps)
    model, search = dataclasses.replace(task.model, config=config), task.config.test.search
    attempts = np.arange(numbers.start, numbers.stop, dtype=np.int32)
    puzzles = np.tile(rules.encode(puzzle)[None], (len(numbers), 1))
    if proposal is not None and search.assume:
        proposals = np.broadcast_to(rules.encode(proposal)[None], puzzles.shape)
        puzzles = NumberedAssumptions()(puzzles, proposals, attempts, search.seed)
    inputs = jnp.asarray(puzzles, jnp.int32)
    batch = Batch(inputs, jnp.zeros_like(inputs), jnp.zeros(len(numbers), jnp.int32))
    thoughts = jax.device_get(think(model, variables, batch, attempts, search.noise, search.seed))
    traces = []
    for row, number in enumerate(numbers):
        assumed = np.flatnonzero(rules.decode(puzzles[row]) != puzzle)
        parts = [title, f"attempt {number + 1}" if number else ""]
        parts += [
            f"assuming {rules.decode(puzzles[row])[cell]} in {rules.cell_name(int(cell))}"
            for cell in assumed
        ]
        name = ", ".join(part for part in parts if part)
        traces.append(make_trace(puzzle, thoughts, row=row, title=name))
    return next((trace for trace in traces if trace.solved is not None), traces[0])


def _describe(puzzle: Grid) -> str:
    """How much a puzzle gives, and how hard it is."""
    return f"{np.count_nonzero(puzzle)} givens, rating {solver.rating(puzzle)}"
