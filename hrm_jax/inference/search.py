"""Search at test time: puzzles left unsolved are tried again, differently, within a budget.

A model that failed often succeeds when it sees the same puzzle under another symmetry, or starts
from another state, since its failures depend on the path more than on what it has learned. An
equivariant model gives the same answer under every symmetry, so it needs the noise. Where many
cells are open an assumption helps most: some cells of a wrong answer are right, and given as clues
they make the puzzle easier.
"""

import dataclasses
from typing import Protocol

import numpy as np
from jaxtyping import Bool, Int, Int32

from hrm_jax.core.types import Variables
from hrm_jax.inference.config import SearchConfig
from hrm_jax.inference.engine import Engine, Jobs
from hrm_jax.inference.slots import Departures
from hrm_jax.inference.stream import Answers, Progress, Watch, identifiers_or_zeros
from hrm_jax.inference.thinking import Thoughts


class Symmetries(Protocol):
    """Numbered symmetries of a task: the same seed and number give the same symmetry."""

    def __call__(
        self, tokens: Int[np.ndarray, "n T"], numbers: Int[np.ndarray, " n"], seed: int
    ) -> Int[np.ndarray, "n T"]:
        """Returns row i under symmetry `numbers[i]`, in the dtype of `tokens`."""
        ...

    def inverse(
        self, tokens: Int[np.ndarray, "n T"], numbers: Int[np.ndarray, " n"], seed: int
    ) -> Int[np.ndarray, "n T"]:
        """Returns answers with the symmetries undone; any token may occur in them."""
        ...


class Assumptions(Protocol):
    """Numbered assumptions of a task: equal arguments give an equal result."""

    def __call__(
        self,
        tokens: Int[np.ndarray, "n T"],
        proposals: Int[np.ndarray, "n T"],
        numbers: Int[np.ndarray, " n"],
        seed: int,
    ) -> Int[np.ndarray, "n T"]:
        """Returns row i with part of `proposals[i]` added as if it were given.

        Whatever solves the result must solve the puzzle as well. An answer that contradicts its
        assumption counts as unsolved.
        """
        ...


def is_solved(engine: Engine, answers: Answers) -> Bool[np.ndarray, " N"]:
    """Returns which puzzles need no further attempt.

    The task's rules decide; without rules, the halting head's confidence.
    """
    if engine.verify is not None:
        return answers.valid
    return answers.confidence > engine.config.halt_confidence


def engine_of_search(engine: Engine, config: SearchConfig) -> Engine:
    """Returns the engine for further attempts, whose steps `config` may limit differently."""
    max_steps = config.max_steps or engine.config.max_steps
    min_steps = min(engine.config.min_steps, max_steps)
    changed = dataclasses.replace(engine.config, min_steps=min_steps, max_steps=max_steps)
    return dataclasses.replace(engine, config=changed)


def search(
    engine: Engine,
    variables: Variables,
    puzzles: Int[np.ndarray, "N T"],
    first: Answers,
    config: SearchConfig,
    *,
    symmetries: Symmetries | None = None,
    assumptions: Assumptions | None = None,
    puzzle_identifiers: Int[np.ndarray, " N"] | None = None,
    progress: Progress = lambda count: None,
    watch: Watch | None = None,
) -> Answers:
    """Tries unsolved puzzles again until they are solved or their budget is spent.

    The best attempt is the answer: valid ones first, then the one with the highest confidence, then
    the earliest.

    Args:
      engine: the engine of the first attempts: model, rules and devices.
      variables: the model's values.
      puzzles: tokens.
      first: the answers of `solve_stream` to them; solved ones stay as they are.
      config: the budget, and how attempts differ.
      symmetries: the task's; required if `config.symmetries` is set.
      assumptions: the task's; required if `config.assume` is set.
      puzzle_identifiers: as in `solve_stream`.
      progress: called as puzzles are done, out of those that `first` leaves unsolved.
      watch: as in `solve_stream`. Under a symmetry, proposals are those for the puzzle as shown.

    Returns:
      The answers, `first` improved by the further attempts.

    Raises:
      ValueError: if there are not as many answers as puzzles, or symmetries or assumptions are
        missing.
    """
    if len(first) != len(puzzles):
        raise ValueError(
            f"{len(puzzles)} puzzles need as many first answers, but there are {len(first)}: pass"
            " what solve_stream returned for these puzzles"
        )
    wanted_and_given = [
        ("symmetries", config.symmetries, symmetries),
        ("assumptions", config.assume, assumptions),
    ]
    for name, wanted, given in wanted_and_given:
        if config.attempts and wanted and given is None:
            raise ValueError(
                f"the search is to use {name}, but {name} is None: pass those of the task, or tell"
                " attempts apart by something else in SearchConfig"
            )
    engine = engine_of_search(engine, config)
    queue = _Attempts(
        engine,
        puzzles,
        identifiers_or_zeros(puzzles, puzzle_identifiers),
        first,
        config,
        symmetries if config.symmetries else None,
        assumptions if config.assume else None,
        progress,
        watch,
    )
    engine.run(variables, queue)
    return queue.answers


class _Attempts:
    """A queue to which a puzzle is added again whenever an attempt at it has failed."""

    def __init__(
        self,
        engine: Engine,
        puzzles: np.ndarray,
        identifiers: np.ndarray,
        first: Answers,
        config: SearchConfig,
        symmetries: Symmetries | None,
        assumptions: Assumptions | None,
        progress: Progress,
        watch: Watch | None,
    ):
        self.noise = config.noise
        self.seed = config.seed
        self.answers = first.copy()
        self._proposals = first.tokens
        self._engine = engine
        self._config = config
        self._symmetries = symmetries
        self._assumptions = assumptions
        self._puzzles = puzzles
        self._identifiers = identifiers
        self._progress = progress
        self._watch = watch
        self._jobs: list[tuple[int, int]] = []  # puzzle and attempt
        self._enqueue(np.arange(len(puzzles)))

    def __len__(self) -> int:
        return len(self._jobs)

    def jobs(self, first: int, last: int) -> Jobs:
        rows, attempts = self._rows_and_attempts(np.arange(first, last))
        inputs = self._puzzles[rows]
        # Assumption before symmetry: it is about the puzzle's own cells, as the proposals are.
        if self._assumptions is not None and len(rows):
            inputs = self._assumptions(inputs, self._proposals[rows], attempts, self.seed)
        if self._symmetries is not None and len(rows):
            inputs = self._symmetries(inputs, attempts, self.seed)
        return Jobs(inputs, self._identifiers[rows], attempts)

    def watch(self, jobs: np.ndarray, thoughts: Thoughts) -> None:
        if self._watch is not None:
            self._watch(*self._rows_and_attempts(jobs), thoughts)

    def finish(self, left: Departures) -> None:
        rows, attempts = self._rows_and_attempts(np.asarray(left.jobs))
        answers = self.answers
        tokens = np.asarray(left.tokens)
        if self._symmetries is not None:
            tokens = self._symmetries.inverse(tokens, attempts, self.seed)
        valid = np.asarray(left.valid)
        confidence = np.asarray(left.confidence)
        # Valid answers win over invalid ones; among equals the higher confidence wins.
        alike = valid == answers.valid[rows]
        better = np.where(alike, confidence > answers.confidence[rows], valid)
        answers.tokens[rows[better]] = tokens[better]
        answers.confidence[rows[better]] = confidence[better]
        answers.valid[rows[better]] = valid[better]
        answers.attempt[rows[better]] = attempts[better]
        answers.steps[rows] += np.asarray(left.steps)
        answers.attempts[rows] += 1
        self._progress(len(rows) - self._enqueue(rows))

    def _rows_and_attempts(
        self, jobs: Int[np.ndarray, " n"]
    ) -> tuple[Int32[np.ndarray, " n"], Int32[np.ndarray, " n"]]:
        pairs = np.array([self._jobs[job] for job in jobs], np.int32).reshape(-1, 2)
        return pairs[:, 0], pairs[:, 1]

    def _enqueue(self, rows: Int[np.ndarray, " n"]) -> int:
        """Adds those of the puzzles that are unsolved and within budget; returns how many."""
        config = self._config
        answers = self.answers
        again = ~is_solved(self._engine, answers)[rows]
        # `attempts` counts the first one as well, which is outside of the budget: hence `<=`.
        again &= answers.attempts[rows] <= config.attempts
        if config.steps:
            # An attempt may use all of its steps, so it is made only if those are left.
            again &= answers.steps[rows] + self._engine.config.max_steps <= config.steps
        chosen = rows[again]
        self._jobs += zip(chosen.tolist(), answers.attempts[chosen].tolist(), strict=True)
        return len(chosen)
