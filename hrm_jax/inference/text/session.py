"""A batch of rows on the device, and the texts that are written in them."""

import functools
import time
from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool

from hrm_jax.inference.text import rows as device
from hrm_jax.inference.text import speculation
from hrm_jax.inference.text.buckets import power_of_two
from hrm_jax.inference.text.healing import Owed, Vocabulary, debt
from hrm_jax.inference.text.reading import PromptReader
from hrm_jax.inference.text.requests import Job, Piece, Scored
from hrm_jax.inference.text.sampling import Draws

_BLOCK_SECONDS = 0.05
"""Intended time between two fetches: text appears at least so often if a token takes less, and the
host's share of the time stays small."""


class Session:
    """A batch of rows, and the jobs that have them."""

    def __init__(
        self,
        reader: PromptReader,
        vocabulary: Vocabulary,
        end_tokens: Sequence[int],
        *,
        B: int,
        room: int,
        speculate: int,
        apart: bool,
    ):
        """Makes B free rows.

        Args:
          reader: reads prompts with the model.
          vocabulary: the texts of the tokens that may be drawn.
          end_tokens: the tokens that end a text.
          B: number of rows.
          room: largest number of tokens of a row, its prompt included.
          speculate: number of tokens that are proposed at once, at most.
          apart: whether the rows that are being written are computed without the others, which
            takes less time; for models whose results do not depend on it (`reading.is_exact`).
        """
        self._reader = reader
        self._vocabulary = vocabulary
        self._room = room
        self._eos_tokens = jnp.array(end_tokens, jnp.int32)
        self._rows = device.empty_rows(reader.model, B, room)
        self._texts = speculation.Texts(B, room)
        self._speculate = speculate
        self._apart = apart
        self._jobs: list[Job | None] = [None] * B
        # Tokens of the next call of `write`, adapted to how long the last one took.
        self._steps = 1
        # Rows whose first token was refused.
        self._again: list[int] = []

    @property
    def busy(self) -> bool:
        """Whether a text is being written."""
        return any(job is not None for job in self._jobs)

    @property
    def jobs(self) -> int:
        """Number of texts that are being written."""
        return sum(job is not None for job in self._jobs)

    @property
    def free(self) -> int | None:
        """A row that no job has, or None."""
        return next((row for row, job in enumerate(self._jobs) if job is None), None)

    def leave(self, number: int) -> None:
        """Frees the row of a job that is no longer wanted, if it has one."""
        for row, job in enumerate(self._jobs):
            if job is not None and job.number == number:
                self._jobs[row] = None
                # The row's next job may come before `go_on` does.
                self._again = [other for other in self._again if other != row]

    def enter(self, job: Job, row: int) -> Piece:
        """Gives a free row to a job; returns its first piece."""
        self._rows, written = device.enter(
            self._rows,
            row,
            *self._reader.read(job.prompt.tokens, self._room),
            Draws.of(job.request.sampling, job.request.seed),
            Owed.of(job.prompt.owed, job.prompt.taken),
            job.left,
            self._vocabulary.pieces,
            self._eos_tokens,
            self._allowed([job]),
            scored=_is_scored([job]),
        )
        written = jax.device_get(written)
        self._texts.begin(row, job.prompt.tokens)
        return self._add(job, row, 0, written)

    def go_on(self) -> Iterator[Piece]:
        """Adds some tokens to every row; yields a piece of each job."""
        again = self._again
        self._again = []
        for row in again:
            job = self._jobs[row]
            if job is not None:
                yield self.enter(job, row)
        begin = time.perf_counter()
        # A copy, as `_add` frees rows while the pieces are yielded. What has to enter once more is
        # not continued before.
        jobs = [None if row in self._again else job for row, job in enumerate(self._jobs)]
        if not any(jobs):
            return
        rows = self._looked_at(jobs)
        jobs = [jobs[row] for row in rows]
        allowed = self._allowed(jobs)
        written = self._written(rows, jobs, allowed)
        tokens = written.tokens
        seconds = time.perf_counter() - begin
        # Steps with any token: the device stops early when all texts have ended. A call that
        # compiled took long, so the next one is short and the number grows again after it.
        steps = (tokens != device.NO_TOKEN).reshape(*tokens.shape[:2], -1).any((0, 2)).sum()
        if allowed is None:
            self._steps = int(np.clip(_BLOCK_SECONDS / seconds * steps, 1, device.MOST_TOKENS))
        for i, (row, job) in enumerate(zip(rows, jobs, strict=True)):
            if job is not None:
                yield self._add(job, row, i, written)

    def prepare(self) -> None:
        """Compiles what adds tokens to each number of rows; nothing is written."""
        count = 1 if self._apart else len(self._jobs)
        while count <= len(self._jobs):
            # Without a job no row goes on.
            self._written(list(range(count)), [None] * count, None)
            count *= 2

    def _written(
        self, rows: list[int], jobs: Sequence[Job | None], allowed: Bool[np.ndarray, "B V"] | None
    ) -> device.Written:
        """Adds tokens to some rows, of which those with jobs go on; returns what was added."""
        self._rows, written = self._program(allowed, rows, _is_scored(jobs))(
            self._reader.model,
            self._reader.variables,
            self._rows,
            np.array([job is not None for job in jobs]),
            # A mask holds for one token only.
            self._steps if allowed is None else 1,
            self._vocabulary.pieces,
            self._eos_tokens,
            places=None if len(rows) == len(self._jobs) else np.array(rows, np.int32),
        )
        return jax.device_get(written)

    def _looked_at(self, jobs: Sequence[Job | None]) -> list[int]:
        """Returns the rows that are computed: those with jobs and, up to a power of two, others."""
        # False comes first: rows with jobs.
        rows = sorted(range(len(jobs)), key=lambda row: jobs[row] is None)
        count = power_of_two(sum(job is not None for job in jobs)) if self._apart else len(jobs)
        return sorted(rows[:count])

    def _program(
        self, allowed: Bool[np.ndarray, "B V"] | None, rows: list[int], scored: bool
    ) -> Callable[..., tuple[device.Rows, device.Written]]:
        """Returns what writes: a token at each step, or those proposed that are right."""
        proposed = speculation.width_of(self._speculate, len(rows))
        # Masks and scores are of single tokens, and do not go with proposals.
        if proposed and allowed is None and not scored:
            texts = self._texts.tokens[rows]
            return functools.partial(speculation.write, texts=texts, proposed=proposed)
        return functools.partial(device.write, allowed=allowed, scored=scored)

    def _add(self, job: Job, row: int, place: int, written: device.Written) -> Piece:
        """Adds to a job what was written of it, at some place of the rows that were computed."""
        tokens = written.tokens[place]
        new = tokens[tokens != device.NO_TOKEN].tolist()
        self._texts.add(row, new)
        # Before `add`, by which it becomes less.
        owed = job.owed_bytes
        piece = job.add(new, over=bool(written.left[place] == 0))
        if written.scores is not None and job.request.scores is not None:
            scores = jax.tree.map(lambda x: x[place], written.scores)
            piece = piece._replace(scores=_scored(job, owed, new[: piece.tokens], scores))
        self._jobs[row] = None if piece.ending else job
        if job.guard is not None and job.guard.refused and piece.ending is None:
            self._set_back(job, row, job.guard.tokens)
        return piece

    def _set_back(self, job: Job, row: int, tokens: list[int]) -> None:
        """Sets a row back to the first tokens of its text, or before them."""
        if not tokens:
            # Not even the first token stays: the row enters again, as drawing it takes the prompt's
            # logits.
            self._again.append(row)
            return
        texts = self._vocabulary.texts
        owed = debt(job.prompt, [len(texts[token]) for token in tokens])
        self._rows = device.set_back(
            self._rows,
            row,
            tokens[-1],
            # The last token is not in the cache yet.
            len(job.prompt.tokens) + len(tokens) - 1,
            job.left - owed.counted,
            len(tokens),
            Owed.of(owed.text, owed.spare),
        )
        self._texts.begin(row, [*job.prompt.tokens, *tokens])

    def _allowed(self, jobs: Sequence[Job | None]) -> Bool[np.ndarray, "B V"] | None:
        """Returns which tokens each row may draw; None if no row is constrained now."""
        masks = [None if job is None or job.guard is None else job.guard.allowed() for job in jobs]
        if all(mask is None for mask in masks):
            return None
        every = np.ones(len(self._vocabulary.texts), bool)
        return np.stack([every if mask is None else mask for mask in masks])


def _is_scored(jobs: Sequence[Job | None]) -> bool:
    """Returns whether any job tells scores."""
    return any(job is not None and job.request.scores is not None for job in jobs)


def _scored(
    job: Job, owed: int, tokens: Sequence[int], scores: device.Scores
) -> tuple[Scored, ...]:
    """Returns the scores of the tokens of a job that do not repeat the end of its prompt.

    Args:
      job: the job.
      owed: bytes of that end that its tokens before these did not repeat yet.
      tokens: those that were written.
      scores: of these, by step.
    """
    found = []
    for step, token in enumerate(tokens):
        size = job.transcript.size_of(token)
        if not size:  # it ends the text
            continue
        owed -= size
        # It repeats some of the prompt's end and adds nothing.
        if owed + size > 0 and owed >= 0:
            continue
        likeliest = zip(scores.tokens[step].tolist(), scores.best[step].tolist(), strict=True)
        told = tuple(likeliest)[: job.request.scores]
        found.append(Scored(token, float(scores.drawn[step]), told))
    return tuple(found)
