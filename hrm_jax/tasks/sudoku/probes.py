"""The same few puzzles, solved at every evaluation: what `probes.jsonl` of a Sudoku run holds.

Besides `version`, `step` and `time_seconds` a record has `kind`, "sudoku", and `puzzles`, a list of

    givens, solution    81 characters, `.` for a blank
    rating              of its difficulty
    halt                the step of thought at which the halting head stops
    confidence          for each step of thought, the head's belief in the whole, in percent
    steps               for each, 81 characters: what the model proposes, `.` where it is no digit
    sureness            for each, 81 whole numbers: probability of each cell, in percent
"""

from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from hrm_jax.core.mesh import split_batch
from hrm_jax.core.types import Variables
from hrm_jax.data.pipeline import Source, as_batch, evaluation_batches
from hrm_jax.data.sudoku import rules
from hrm_jax.data.sudoku.boards import USUAL, Board, format_grid
from hrm_jax.inference.thinking import Thoughts
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.tasks.sudoku.evaluation import spread, think_for_all

PUZZLES = 4


def probe(model: PuzzleModel, variables: Variables, source: Source, mesh: Mesh) -> dict[str, Any]:
    """Returns every step of thought about `PUZZLES` puzzles, spread over a source.

    Args:
      model: the model.
      variables: its values.
      source: held-out puzzles.
      mesh: the devices; all of them take part.
    """
    source = spread(source, PUZZLES)
    devices = mesh.shape["data"]
    # One batch holds them all, filled up so that every device has equally many.
    rows = next(iter(evaluation_batches(source, -(-PUZZLES // devices) * devices)))
    batch = split_batch(as_batch(rows), mesh)
    thoughts = jax.device_get(think_for_all(mesh)(model, variables, batch))
    # A source with fewer puzzles is padded, and padding is not shown.
    genuine = range(min(PUZZLES, len(source)))
    return {"kind": "sudoku", "puzzles": [_puzzle(source, thoughts, row) for row in genuine]}


def _puzzle(source: Source, thoughts: Thoughts, row: int) -> dict[str, Any]:
    return {
        "givens": rules.format_grid(rules.decode(source.inputs[row])),
        "solution": rules.format_grid(rules.decode(source.labels[row])),
        "rating": int(source.rating[row]),
        "halt": int(thoughts.steps[row]),
        "confidence": percents(thoughts.confidence[:, row]),
        "steps": [format_tokens(tokens) for tokens in thoughts.tokens[:, row]],
        "sureness": [percents(cells) for cells in thoughts.cell_confidence[:, row]],
    }


def format_tokens(tokens: Any, board: Board = USUAL) -> str:
    """Returns a proposal as a character a cell; a model may propose any token of its vocabulary."""
    digits = np.asarray(tokens) - rules.BLANK_TOKEN
    known = np.where((digits < 1) | (digits > board.side), rules.BLANK, digits)
    return format_grid(known.astype(np.uint8), board)


def percents(probabilities: Any) -> list[int]:
    """Returns probabilities as whole numbers of percent; 0 for what is no number."""
    # A model that diverges has no probabilities: the run ends by that, not by its probes.
    finite = np.nan_to_num(np.asarray(probabilities, float))
    return np.rint(100 * finite).astype(int).tolist()
