"""Search at test time: puzzles left unsolved are tried again, differently, within a budget.

A model that failed often succeeds when it sees the same puzzle under another symmetry, or starts
from another state, since its failures depend on the path more than on what it has learned. An
equivariant model gives the same answer under every symmetry, so it needs the noise. Where many
cells are open an assumption helps most: some cells of a wrong answer are right, and given as clues
they make the puzzle easier.
"""

import collections
import dataclasses
import functools
from collections.abc import Sequence
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, Int32

from hrm_jax.core.types import Batch, Relations, Variables
from hrm_jax.inference.config import SearchConfig
from hrm_jax.inference.engine import Engine, Jobs
from hrm_jax.inference.slots import Departures, verify_rows
from hrm_jax.inference.stream import Answers, Progress, Watch, identifiers_or_zeros
from hrm_jax.inference.thinking import Thoughts, beliefs_of
from hrm_jax.inference.tree import Branching, Tree


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
    # `min_steps` is lowered with them, as the config demands.
    max_steps = config.max_steps or engine.config.max_steps
    min_steps = min(engine.config.min_steps, max_steps)
    changed = dataclasses.replace(engine.config, min_steps=min_steps, max_steps=max_steps)
    # A tree branches by what the model believed at each step.
    observe = beliefs_of if config.branch else engine.observe
    return dataclasses.replace(engine, config=changed, observe=observe)


def search(
    engine: Engine,
    variables: Variables,
    puzzles: Int[np.ndarray, "N T"],
    first: Answers,
    config: SearchConfig,
    *,
    symmetries: Symmetries | None = None,
    assumptions: Assumptions | None = None,
    branching: Branching | Sequence[Branching] | None = None,
    puzzle_identifiers: Int[np.ndarray, " N"] | None = None,
    relations: Relations | None = None,
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
      branching: the task's rules, or those of each puzzle; required if `config.branch` is set.
      puzzle_identifiers: as in `solve_stream`.
      relations: as in `solve_stream`.
      progress: called as puzzles are done, out of those that `first` leaves unsolved.
      watch: as in `solve_stream`. Under a symmetry, proposals are those for the puzzle as shown.

    Returns:
      The answers, `first` improved by the further attempts.

    Raises:
      ValueError: if there are not as many answers as puzzles, or symmetries, assumptions or
        branching are missing.
    """
    if len(first) != len(puzzles):
        raise ValueError(
            f"{len(puzzles)} puzzles need as many first answers, but there are {len(first)}: pass"
            " what solve_stream returned for these puzzles"
        )
    wanted_and_given = [
        ("symmetries", config.symmetries, symmetries),
        ("assumptions", config.assume, assumptions),
        ("branching", config.branch, branching),
    ]
    for name, wanted, given in wanted_and_given:
        if config.attempts and wanted and given is None:
            raise ValueError(
                f"the search is to use {name}, but {name} is None: pass those of the task, or tell"
                " attempts apart by something else in SearchConfig"
            )
    engine = engine_of_search(engine, config)
    queue_of = _Attempts
    if config.branch and branching is not None:
        of_each = [branching] * len(puzzles) if isinstance(branching, Branching) else branching
        trees = [Tree(*pair, config.probes) for pair in zip(puzzles, of_each, strict=True)]
        queue_of = functools.partial(_Nodes, trees)
    queue = queue_of(
        engine,
        puzzles,
        identifiers_or_zeros(puzzles, puzzle_identifiers),
        relations,
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
        relations: Relations | None,
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
        self._relations = relations
        self._progress = progress
        self._watch = watch
        self._jobs: list[tuple[int, int]] = []  # puzzle and attempt
        self._enqueue(np.arange(len(puzzles)))

    def __len__(self) -> int:
        return len(self._jobs)

    def jobs(self, first: int, last: int) -> Jobs:
        jobs = np.arange(first, last)
        rows, attempts = self._rows_and_attempts(jobs)
        # Assumption before symmetry: it is about the puzzle's own cells, as the proposals are.
        inputs = self._shown_in(jobs)
        if self._symmetries is not None and len(rows):
            inputs = self._symmetries(inputs, attempts, self.seed)
        return Jobs(inputs, self._identifiers[rows], attempts, self._relations_of(rows))

    def _relations_of(self, rows: Int[np.ndarray, " n"]) -> Relations | None:
        return jax.tree.map(lambda x: x[rows], self._relations)

    def _shown_in(self, jobs: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n T"]:
        """Returns the puzzles of jobs with what these assume."""
        rows, attempts = self._rows_and_attempts(jobs)
        if self._assumptions is None or not len(rows):
            return self._puzzles[rows]
        return self._assumptions(self._puzzles[rows], self._proposals[rows], attempts, self.seed)

    def watch(self, jobs: np.ndarray, thoughts: Thoughts) -> None:
        if self._watch is not None:
            self._watch(*self._rows_and_attempts(jobs), thoughts)

    def finish(self, left: Departures) -> None:
        rows, attempts = self._rows_and_attempts(np.asarray(left.jobs))
        answers = self.answers
        tokens = np.asarray(left.tokens)
        # Answers come for the puzzle as it was shown; they are turned back before they are
        # compared.
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
        answers.shown[rows[better]] = self._shown_in(np.asarray(left.jobs)[better])
        # Steps and attempts count, whether or not the attempt was the better one.
        answers.steps[rows] += np.asarray(left.steps)
        answers.attempts[rows] += 1
        self._learn(np.asarray(left.jobs), rows)
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
        chosen = rows[again & self._can_be_tried(rows)]
        self._jobs += zip(chosen.tolist(), answers.attempts[chosen].tolist(), strict=True)
        self._added(chosen)
        return len(chosen)

    def _learn(self, jobs: Int[np.ndarray, " n"], rows: Int[np.ndarray, " n"]) -> None:
        """Is told of attempts that ended, by the numbers of their jobs and puzzles."""

    def _can_be_tried(self, rows: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        """Returns for which puzzles there is something left to try."""
        return np.ones(len(rows), bool)

    def _added(self, rows: Int[np.ndarray, " n"]) -> None:
        """Is told of jobs that were added, by the numbers of their puzzles."""


class _Nodes(_Attempts):
    """A queue to which the next node of a puzzle's tree is added whenever an attempt has failed."""

    def __init__(self, trees: Sequence[Tree], engine: Engine, puzzles: np.ndarray, *rest: Any):
        self._trees = trees
        self._shown: list[np.ndarray] = []
        # Sum of what the second half of an attempt believed; the first half has not made up its
        # mind yet.
        self._beliefs: dict[int, Any] = collections.defaultdict(float)
        self._steps: collections.Counter[int] = collections.Counter()
        super().__init__(engine, puzzles, *rest)

    def _shown_in(self, jobs: Int[np.ndarray, " n"]) -> Int[np.ndarray, "n T"]:
        shown = np.array([self._shown[job] for job in jobs.tolist()], self._puzzles.dtype)
        return shown.reshape(-1, self._puzzles.shape[1])

    def watch(self, jobs: np.ndarray, thoughts: Thoughts) -> None:
        super().watch(jobs, thoughts)
        half = self._engine.config.max_steps // 2
        beliefs = np.asarray(thoughts.probabilities)
        for job, probabilities in zip(jobs.tolist(), beliefs, strict=True):
            self._steps[job] += 1
            if self._steps[job] > half:
                self._beliefs[job] += probabilities

    def _learn(self, jobs: Int[np.ndarray, " n"], rows: Int[np.ndarray, " n"]) -> None:
        _, attempts = self._rows_and_attempts(jobs)
        for job, row, attempt in zip(jobs.tolist(), rows.tolist(), attempts, strict=True):
            beliefs = self._beliefs.pop(job, None)
            tree = self._trees[row]
            # Solved: its tree is not asked again.
            if self.answers.valid[row]:
                continue
            if tree.decided:
                self._accept(row, attempt, self._shown[job])
            elif beliefs is not None:
                tree.branch(beliefs)

    def _accept(self, row: int, attempt: int, shown: np.ndarray) -> None:
        """Takes what the rules have led to for the answer, which the model has not repeated."""
        verify = self._engine.verify
        # In the dtype of the engine's tokens: what is verified must not overflow.
        tokens = jnp.asarray(np.stack([self._puzzles[row], shown]), jnp.int32)
        puzzle = Batch(tokens[:1], tokens[:1], tokens[:1, 0], self._relations_of(np.array([row])))
        if verify is not None and bool(verify_rows(verify, puzzle, tokens[1:])[0]):
            self.answers.tokens[row] = shown
            self.answers.shown[row] = shown
            self.answers.attempt[row] = attempt
            self.answers.valid[row] = True

    def _can_be_tried(self, rows: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
        return np.array([not self._trees[row].exhausted for row in rows], bool)

    def _added(self, rows: Int[np.ndarray, " n"]) -> None:
        self._shown += [self._trees[row].take() for row in rows.tolist()]
