"""Attempts every puzzle of a stream once, and holds the answers."""

import dataclasses
from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Bool, Float32, Int, Int32

from hrm_jax.core.types import Relations, Variables
from hrm_jax.inference.engine import Engine, Jobs
from hrm_jax.inference.slots import Departures
from hrm_jax.inference.thinking import Thoughts

Progress = Callable[[int], None]
"""Called with how many more puzzles are done."""

Watch = Callable[[Int32[np.ndarray, " n"], Int32[np.ndarray, " n"], Thoughts], None]
"""`(puzzles, attempts, thoughts)`: called with the numbers of the puzzles and of the attempts at
them, and what was proposed, leaves [n] and [n, T]; an attempt's steps come in order."""


@dataclasses.dataclass(frozen=True)
class Answers:
    """Answers to N puzzles, in the puzzles' order.

    Attributes:
      tokens: the best proposal.
      steps: number of steps taken, over all attempts.
      confidence: the halting head's belief that the proposal is right in every cell, in [0, 1].
      valid: whether the proposal passes the task's rules; False throughout for a task without.
      attempts: number of attempts made.
      attempt: the attempt that `tokens` are from; 0 is the first.
      shown: the puzzle as that attempt saw it: with what it assumed, before any symmetry. Where the
        rules left nothing open of it, `tokens` are these, whatever the model has proposed.
    """

    tokens: Int32[np.ndarray, "N T"]
    steps: Int32[np.ndarray, " N"]
    confidence: Float32[np.ndarray, " N"]
    valid: Bool[np.ndarray, " N"]
    attempts: Int32[np.ndarray, " N"]
    attempt: Int32[np.ndarray, " N"]
    shown: Int[np.ndarray, "N T"]

    def __len__(self) -> int:
        return len(self.steps)

    def copy(self) -> "Answers":
        """Returns a copy whose arrays are its own."""
        return Answers(*(getattr(self, f.name).copy() for f in dataclasses.fields(self)))


def solve_stream(
    engine: Engine,
    variables: Variables,
    puzzles: Int[np.ndarray, "N T"],
    *,
    puzzle_identifiers: Int[np.ndarray, " N"] | None = None,
    relations: Relations | None = None,
    progress: Progress = lambda count: None,
    watch: Watch | None = None,
) -> Answers:
    """Attempts every puzzle once, for as many steps as the engine's config says.

    Args:
      engine: the engine; it compiles at first use.
      variables: the model's values.
      puzzles: tokens.
      puzzle_identifiers: rows of the puzzle-embedding table; row 0 for all if None.
      relations: of the puzzles, NumPy leaves [N, ...], where these have some.
      progress: called as puzzles are done.
      watch: called with every step, if the engine observes.

    Returns:
      The answers, in the order of the puzzles.
    """
    identifiers = identifiers_or_zeros(puzzles, puzzle_identifiers)
    queue = _Once(puzzles, identifiers, relations, progress, watch)
    engine.run(variables, queue)
    return queue.answers


def identifiers_or_zeros(
    puzzles: Int[np.ndarray, "N T"], identifiers: Int[np.ndarray, " N"] | None
) -> Int32[np.ndarray, " N"]:
    """Returns the identifiers as int32, or zeros if there are none.

    Raises:
      ValueError: unless `puzzles` is [N, T] and there is one identifier for each.
    """
    if puzzles.ndim != 2:
        raise ValueError(f"puzzles have shape [N, T], but these have {puzzles.shape}: add an axis")
    if identifiers is None:
        return np.zeros(len(puzzles), np.int32)
    if identifiers.shape != puzzles.shape[:1]:
        raise ValueError(
            f"{len(puzzles)} puzzles need one identifier each, but the identifiers have shape"
            f" {identifiers.shape}: leave them out where a model has one"
        )
    return identifiers.astype(np.int32)


class _Once:
    """A queue with one job for each puzzle; a job's number is its puzzle's row."""

    noise = 0.0
    seed = 0

    def __init__(
        self,
        puzzles: np.ndarray,
        identifiers: np.ndarray,
        relations: Relations | None,
        progress: Progress,
        watch: Watch | None,
    ):
        N, T = puzzles.shape
        self._puzzles = puzzles
        self._identifiers = identifiers
        self._relations = relations
        self._progress = progress
        self._watch = watch
        self.answers = Answers(
            tokens=np.zeros((N, T), np.int32),
            steps=np.zeros(N, np.int32),
            confidence=np.zeros(N, np.float32),
            valid=np.zeros(N, bool),
            attempts=np.ones(N, np.int32),
            attempt=np.zeros(N, np.int32),
            shown=puzzles.copy(),
        )

    def __len__(self) -> int:
        return len(self._puzzles)

    def jobs(self, first: int, last: int) -> Jobs:
        rows = slice(first, last)
        # All are first attempts, which have neither noise nor assumptions.
        attempts = np.zeros(last - first, np.int32)
        relations = jax.tree.map(lambda x: x[rows], self._relations)
        return Jobs(self._puzzles[rows], self._identifiers[rows], attempts, relations)

    def watch(self, jobs: np.ndarray, thoughts: Thoughts) -> None:
        if self._watch is not None:
            self._watch(jobs, np.zeros_like(jobs), thoughts)

    def finish(self, left: Departures) -> None:
        rows = np.asarray(left.jobs)
        # Puzzles leave in any order; a job's number says where its answer belongs.
        for name in ("tokens", "steps", "confidence", "valid"):
            getattr(self.answers, name)[rows] = getattr(left, name)
        self._progress(len(rows))
