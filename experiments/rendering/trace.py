"""A model's proposals for one puzzle, step by step: the data of every picture."""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int, UInt8

from hrm_jax.core.errors import UserError
from hrm_jax.data.sudoku import boards, rules
from hrm_jax.data.sudoku.boards import USUAL, Board
from hrm_jax.inference.thinking import Thoughts

Grids = UInt8[np.ndarray, "S T"]


class TraceError(UserError, ValueError):
    """Thoughts cannot be shown: shapes differ, or a confidence is no probability."""


@dataclasses.dataclass(frozen=True)
class Trace:
    """A puzzle and the model's S proposals for it, one for each step; steps count from 1.

    Attributes:
      givens: the puzzle, 0 for a blank.
      digits: what the model proposes after each step, 0 where it is no digit.
      cell_confidence: probability that the model gives each of them, in [0, 1].
      halt_confidence: probability, by the halting head, that all cells are right, in [0, 1].
      halt: the step it halts at.
      title: what the puzzle is called.
      board: the puzzle's board, of T cells.
    """

    givens: UInt8[np.ndarray, " T"]
    digits: Grids
    cell_confidence: Float[np.ndarray, "S T"]
    halt_confidence: Float[np.ndarray, " S"]
    halt: int
    title: str = ""
    board: Board = USUAL

    def __post_init__(self):
        """Raises TraceError where shapes do not fit or a number is out of range."""
        S = self.digits.shape[0]
        for name, shape in (
            ("givens", (self.board.num_cells,)),
            ("digits", (S, self.board.num_cells)),
            ("cell_confidence", (S, self.board.num_cells)),
            ("halt_confidence", (S,)),
        ):
            got = getattr(self, name).shape
            if got != shape:
                raise TraceError(f"{name}: expected shape {shape}, got {got}: pass every step once")
        if not 1 <= self.halt <= S:
            raise TraceError(f"halt: expected a step in 1..{S}, got {self.halt}: count from 1")
        for name in ("cell_confidence", "halt_confidence"):
            values = getattr(self, name)
            # Written so that NaN is outside, too: it compares as False.
            outside = values[~((values >= 0) & (values <= 1))]
            if outside.size:
                raise TraceError(
                    f"{name}: expected probabilities, got {outside[0]}: a model whose values are"
                    " not finite cannot be shown; choose another checkpoint"
                )

    @property
    def steps(self) -> int:
        """S."""
        return self.digits.shape[0]

    @property
    def right(self) -> Bool[np.ndarray, " S"]:
        """Whether a step's proposal is the solution, by the rules and the givens."""
        givens = np.broadcast_to(self.givens, self.digits.shape)
        return boards.is_solution(self.digits, givens, self.board)

    @property
    def solved(self) -> int | None:
        """The step whose proposal is the solution: the halting step or else the first; or None.

        The halting head may stop a step early or late; an answer that passes the rules is right.
        """
        right = self.right
        if right[self.halt - 1]:
            return self.halt
        # argmax of booleans is the first True.
        return int(right.argmax()) + 1 if right.any() else None

    @property
    def answer(self) -> int:
        """The step whose proposal is the answer: the one that solves the puzzle, or the last."""
        return self.solved or self.steps

    @property
    def conflicts(self) -> Bool[np.ndarray, "S T"]:
        """Cells whose digit occurs again in their row, column or box."""
        return boards.conflicts(self.digits, self.board)

    @property
    def changed(self) -> Bool[np.ndarray, "S T"]:
        """Cells that differ from the step before; none at the first step."""
        # The first step is compared with itself, so nothing counts as changed.
        return self.digits != np.concatenate([self.digits[:1], self.digits[:-1]])

    @property
    def overwritten(self) -> Bool[np.ndarray, "S T"]:
        """Givens that the proposal does not keep."""
        return (self.givens != rules.BLANK)[None] & (self.digits != self.givens[None])

    @property
    def filled(self) -> Int[np.ndarray, " S"]:
        """How many blank cells have a digit."""
        return ((self.givens == rules.BLANK)[None] & (self.digits != rules.BLANK)).sum(-1)


def make_trace(
    givens: UInt8[np.ndarray, " T"],
    thoughts: Thoughts,
    *,
    row: int = 0,
    title: str = "",
    board: Board = USUAL,
) -> Trace:
    """Returns the trace of one puzzle of a batch.

    Args:
      givens: the puzzle.
      thoughts: about a batch of puzzles, on the host.
      row: which puzzle of the batch it is.
      title: what to call it.
      board: its board.

    Raises:
      TraceError: the thoughts are not about a Sudoku, or not finite.
    """
    digits = np.asarray(thoughts.tokens)[:, row] - rules.BLANK_TOKEN
    # A model may propose any token of its vocabulary, padding and blank included.
    is_digit = (digits >= 1) & (digits <= board.side)
    return Trace(
        givens=givens,
        digits=np.where(is_digit, digits, rules.BLANK).astype(np.uint8),
        cell_confidence=np.asarray(thoughts.cell_confidence)[:, row],
        halt_confidence=np.asarray(thoughts.confidence)[:, row],
        halt=int(thoughts.steps[row]),
        title=title,
        board=board,
    )
