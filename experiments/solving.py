"""Solving single puzzles: reading, checking, showing the steps, judging the answer."""

import os
import pathlib
import sys

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8
from rich.console import Console

from experiments.terminal import render_grid
from hrm_jax.core.types import Batch, Variables
from hrm_jax.data.pipeline import Source
from hrm_jax.data.sudoku import rules, solver
from hrm_jax.inference.thinking import Thoughts, think
from hrm_jax.tasks.sudoku import SudokuTask

Grid = UInt8[np.ndarray, "81"]


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


def solve_all(task: SudokuTask, variables: Variables, puzzles: list[Grid], console: Console) -> int:
    """Solves each puzzle and prints its steps and the verdict; 0 if all are solved, else 1."""
    solved = [_solve(task, variables, puzzle, console) for puzzle in puzzles]
    if len(solved) > 1:
        console.print(f"{sum(solved)} of {len(solved)} puzzles solved")
    return 0 if all(solved) else 1


def show_held_out(task: SudokuTask, variables: Variables, source: Source, console: Console) -> bool:
    """Solves the first puzzle of a source in front of the reader."""
    return _solve(task, variables, rules.decode(source.inputs[0]), console)


def _solve(task: SudokuTask, variables: Variables, puzzle: Grid, console: Console) -> bool:
    """Thinks about one puzzle, shows every step up to the halt, and judges the answer."""
    thoughts = _think(task, variables, puzzle)
    halt = int(thoughts.steps[0])
    grids = [_proposal(tokens[0]) for tokens in thoughts.tokens]
    console.print(render_grid(puzzle, puzzle))
    for step, grid in enumerate(grids[:halt], 1):
        changed = "" if step == 1 else f", {int((grid != grids[step - 2]).sum())} changed"
        console.print(
            f"step {step}: {int(((puzzle == 0) & (grid != 0)).sum())} cells filled{changed}, "
            f"{int(rules.conflicts(grid).sum())} in conflict, "
            f"{float(thoughts.confidence[step - 1, 0]):.0%} sure"
            + (", halts" if step == halt else "")
        )
    # The halting head may stop a step early or late; an answer that passes the rules is right.
    for step in [halt, *range(1, len(grids) + 1)]:
        if rules.is_solution(grids[step - 1], puzzle):
            console.print(render_grid(puzzle, grids[step - 1]))
            console.print(
                f"solved at step {step}: {rules.format_grid(grids[step - 1])}", soft_wrap=True
            )
            return True
    console.print(render_grid(puzzle, grids[halt - 1]))
    changed = int(((grids[halt - 1] != puzzle) & (puzzle != 0)).sum())
    console.print(
        f"not solved: the proposal has {int(rules.conflicts(grids[halt - 1]).sum())} cells in "
        f"conflict, leaves {int((grids[halt - 1] == 0).sum())} blank and changes {changed} givens",
        soft_wrap=True,
    )
    return False


def _think(task: SudokuTask, variables: Variables, puzzle: Grid) -> Thoughts:
    """All steps of thought about one puzzle."""
    inputs = jnp.asarray(rules.encode(puzzle)[None], jnp.int32)
    batch = Batch(inputs, jnp.zeros_like(inputs), jnp.zeros(1, jnp.int32))
    return jax.device_get(think(task.model, variables, batch))


def _proposal(tokens: np.ndarray) -> Grid:
    """Proposed tokens as digits; a token that is no digit leaves the cell blank."""
    digits = tokens - rules.BLANK_TOKEN
    return np.where((digits >= 1) & (digits <= rules.SIDE), digits, rules.BLANK).astype(np.uint8)
