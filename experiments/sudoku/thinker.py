"""Solves puzzles that come in lines of JSON, and tells of every step as it is taken.

    echo '{"puzzle": "81 characters"}' | python -m experiments.sudoku.thinker [--checkpoint=FOLDER]

The studio starts it (`hrm_jax/studio/thinking.py`). A question is a `puzzle` in any form that
`--puzzle` reads, and `box` as in `--box`, which may be empty. `search` says what comes after a
first attempt that fails: `none`, `tree`, or empty for what the model's run is tested with. The
first line of the answer has

    givens    a character a cell, row by row: `.` for a blank, A for 10
    box       rows and columns of a box

then comes a line for each step of thought:

    step, attempt    both count from 1
    digits           as givens: the proposal, `.` where it is no digit
    sureness         probability of each cell, in percent
    confidence       the halting head's belief in the whole, in percent

and after them `done` with `title`, `solved`, `attempt` (that of the answer), `attempts`, and
`by_rules`: the answer, as givens, where rules and assumptions led to it and the model did not
repeat it, else null; or with `error`, why the puzzle was refused, and `boxes` where one of these
shapes has to be named.
"""

import json
import pathlib
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from absl import flags

from experiments.common import command, process

if __name__ == "__main__":
    process.keep_heap()  # before JAX is imported: it re-executes the program once

import numpy as np
from jaxtyping import Int32

from experiments.sudoku import exported, solving
from hrm_jax.core.errors import UserError
from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.core.types import Variables
from hrm_jax.data.sudoku import rules
from hrm_jax.data.sudoku.board_files import BoxShapeError, parse_box
from hrm_jax.data.sudoku.boards import Board, format_grid
from hrm_jax.inference.journal import Journal
from hrm_jax.inference.thinking import Thoughts
from hrm_jax.tasks.sudoku.probes import format_tokens, percents
from hrm_jax.tasks.sudoku.task import SudokuTask

FLAGS = flags.FLAGS
if __name__ == "__main__":
    # A module that is imported leaves the name to the command that imports it.
    flags.DEFINE_string(
        "checkpoint",
        None,
        "a run's folder, one checkpoint's or an exported model's; the model that comes with the "
        "package if unset",
    )


_SEARCHES = {
    "": {},
    "none": {"search.attempts": 0},
    "tree": {"search.branch": True, "search.assume": False},
}
"""Changes of `solving.settings_of`."""


class TellingJournal(Journal):
    """A journal that prints every step of a single puzzle."""

    def __init__(self, board: Board):
        """Makes an empty journal of a puzzle on a board."""
        super().__init__()
        self._board = board
        self._steps_of_attempt: dict[int, int] = {}

    def __call__(
        self,
        puzzles: Int32[np.ndarray, " n"],
        attempts: Int32[np.ndarray, " n"],
        thoughts: Thoughts,
    ) -> None:
        """Adds and prints a step for each of n rows."""
        super().__call__(puzzles, attempts, thoughts)
        for row, attempt in enumerate(attempts.tolist()):
            step = self._steps_of_attempt.get(attempt, 0) + 1
            self._steps_of_attempt[attempt] = step
            tell(
                step=step,
                attempt=attempt + 1,
                digits=format_tokens(thoughts.tokens[row], self._board),
                sureness=percents(thoughts.cell_confidence[row]),
                confidence=percents(thoughts.confidence[row : row + 1])[0],
            )


def main() -> int:
    """Solves until standard input ends; returns the exit code."""
    process.keep_compiled()
    answer(exported.chosen(FLAGS.checkpoint), sys.stdin)
    return 0


def answer(checkpoint: pathlib.Path, questions: Iterable[str]) -> None:
    """Tells each step of thought about puzzles, and what came of it.

    Args:
      checkpoint: of the model, which is loaded for the first puzzle that can be solved.
      questions: lines of JSON.
    """
    loaded: tuple[SudokuTask, Variables] | None = None
    solvers: dict[tuple[Board, str], solving.PuzzleSolver] = {}
    for line in questions:
        try:
            # Before the model is loaded, which takes seconds.
            question = json.loads(line)
            puzzle, board = read_puzzle(question)
            search = question.get("search", "")
            tell(givens=format_grid(puzzle, board), box=[board.box_rows, board.box_columns])
            if loaded is None:
                loaded = exported.load_any(checkpoint, make_mesh(MeshConfig()))[:2]
            if (board, search) not in solvers:
                settings = solving.settings_of(loaded[0].config, _SEARCHES[search])
                solvers[board, search] = solving.PuzzleSolver.make(*loaded, settings, board)
            title = solving.describe(puzzle, board)
            solution = solvers[board, search].solve(puzzle, title, TellingJournal(board))
        except BoxShapeError as error:
            tell(done=True, error=str(error), boxes=error.shapes)
            continue
        except UserError as error:
            # Whoever asks may send another puzzle, so this one does not end the process.
            tell(done=True, error=str(error))
            continue
        tell(
            done=True,
            title=solution.trace.title,
            solved=solution.solved,
            by_rules=None if solution.by_rules is None else format_grid(solution.by_rules, board),
            attempt=int(solution.answers.attempt[0]) + 1,
            attempts=int(solution.answers.attempts[0]),
        )


def read_puzzle(question: Mapping[str, Any]) -> tuple[solving.Grid, Board]:
    """Returns the puzzle that is asked about, and its board.

    Raises:
      BoxShapeError: the shape of its boxes has to be named.
      UserError: it is no puzzle, or has not one solution.
    """
    box = parse_box(question["box"]) if question.get("box") else None
    puzzles, board = solving.parse_puzzles(question["puzzle"].encode(), "the puzzle", box=box)
    if len(puzzles) != 1:
        raise rules.PuzzleError(f"expected one puzzle, got {len(puzzles)}; leave one")
    return puzzles[0], board


def tell(**fields: Any) -> None:
    """Prints a line of JSON."""
    print(json.dumps(fields, separators=(",", ":")), flush=True)


if __name__ == "__main__":
    command.run(main)
