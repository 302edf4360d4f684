"""Makes puzzles of any size, each with one solution, a line each.

    python -m experiments.make_boards --box=4x4 --grade=pairs --count=500 --out=sixteen.txt
    python -m experiments.sudoku --mode=solve --puzzle=sixteen.txt

Grades: `singles`, which single candidates solve; `pairs`, which they do not, but pairs of cells
with two candidates and the crossings of lines and boxes do; `guesses`, which neither solves. Boards
of 4 and 6 rows have none, or nearly none, of the last two.
"""

import pathlib
from typing import cast

import numpy as np
from absl import flags

from experiments.common import command
from hrm_jax.core.files import write_atomically
from hrm_jax.data.sudoku import board_generator, boards
from hrm_jax.data.sudoku.board_files import parse_box

_BOX = flags.DEFINE_string("box", "4x4", "Rows x columns of a box, at most 25 cells.")
_GRADE = flags.DEFINE_enum("grade", "singles", board_generator.GRADES, "Rules that they need.")
_COUNT = flags.DEFINE_integer("count", 100, "How many.", lower_bound=1)
_SEED = flags.DEFINE_integer("seed", 0, "Equal seeds give equal puzzles.", lower_bound=0)
_OUT = flags.DEFINE_string("out", None, "The file.", required=True)


def main() -> int:
    """Writes the file; returns the exit code."""
    board = boards.Board(*parse_box(_BOX.value))
    rng = np.random.default_rng(_SEED.value)
    grade = cast(board_generator.Grade, _GRADE.value)
    puzzles = board_generator.generate(rng, board, grade, _COUNT.value)
    lines = [boards.format_grid(puzzle, board) for puzzle in puzzles.questions]
    write_atomically(pathlib.Path(_OUT.value), "\n".join(lines) + "\n")
    blanks = (puzzles.questions == 0).mean()
    print(
        f"{_OUT.value}: {len(lines)} puzzles, {board.name}, {grade}, {blanks:.0%} blank,"
        f" {puzzles.ratings.mean():.0f} guesses at the mean"
    )
    return 0


if __name__ == "__main__":
    command.run(main)
