"""Solves puzzles that come in lines of JSON, and tells of every step as it is taken.

    echo '{"puzzle": "81 characters"}' | python -m experiments.sudoku.thinker [--checkpoint=FOLDER]

The studio starts it (`hrm_jax/studio/thinking.py`). A line for each step of thought:

    step, attempt    both count from 1
    digits           81 characters: the proposal, `.` where it is no digit
    sureness         probability of each cell, in percent
    confidence       the halting head's belief in the whole, in percent

and after them `done` with `givens`, `title`, `solved`, `attempt` (that of the answer), `attempts`;
or with `error`, why the puzzle was refused.
"""

import json
import pathlib
import sys
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
from hrm_jax.data.sudoku import rules
from hrm_jax.inference.journal import Journal
from hrm_jax.inference.thinking import Thoughts
from hrm_jax.tasks.sudoku.probes import format_tokens, percents

FLAGS = flags.FLAGS

flags.DEFINE_string(
    "checkpoint",
    None,
    "a run's folder, one checkpoint's or an exported model's; the model that comes with the "
    "package if unset",
)


class TellingJournal(Journal):
    """A journal that prints every step of a single puzzle."""

    def __init__(self):
        """Makes an empty journal."""
        super().__init__()
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
                digits=format_tokens(thoughts.tokens[row]),
                sureness=percents(thoughts.cell_confidence[row]),
                confidence=percents(thoughts.confidence[row : row + 1])[0],
            )


def main() -> int:
    """Solves until standard input ends; returns the exit code."""
    process.keep_compiled()
    checkpoint = pathlib.Path(FLAGS.checkpoint) if FLAGS.checkpoint else exported.shipped()
    solver: solving.PuzzleSolver | None = None
    for line in sys.stdin:
        try:
            # Before the model is loaded, which takes seconds.
            puzzle = read_puzzle(line)
            if solver is None:
                task, variables, _ = exported.load_any(checkpoint, make_mesh(MeshConfig()))
                settings = solving.settings_of(task.config)
                solver = solving.PuzzleSolver.make(task, variables, settings)
            solution = solver.solve(puzzle, solving.describe(puzzle), TellingJournal())
        except UserError as error:
            # Whoever asks may send another puzzle, so this one does not end the process.
            tell(done=True, error=str(error))
            continue
        tell(
            done=True,
            givens=rules.format_grid(puzzle),
            title=solution.trace.title,
            solved=solution.trace.solved is not None,
            attempt=int(solution.answers.attempt[0]) + 1,
            attempts=int(solution.answers.attempts[0]),
        )
    return 0


def read_puzzle(line: str) -> solving.Grid:
    """Returns the puzzle of a line; raises UserError for what is none, or has not one solution."""
    text = json.loads(line)["puzzle"]
    puzzles = solving.parse_puzzles(text.encode(), "the puzzle")
    if len(puzzles) != 1:
        raise rules.PuzzleError(f"expected one puzzle, got {len(puzzles)}; leave one")
    return puzzles[0]


def tell(**fields: Any) -> None:
    """Prints a line of JSON."""
    print(json.dumps(fields, separators=(",", ":")), flush=True)


if __name__ == "__main__":
    command.run(main)
