"""A batch of rows that texts join and leave at any time (continuous batching)."""

from collections import deque
from collections.abc import Generator, Iterator

from hrm_jax.inference.text.reading import CHUNKS
from hrm_jax.inference.text.requests import Job, Piece
from hrm_jax.inference.text.writing import Writer

_CHUNK_BESIDE_OTHERS = CHUNKS[1]
"""Tokens of a prompt that are read at once while texts are being written, which wait for it."""


class RollingBatch:
    """Jobs in the order in which they came, as many at once as there are rows.

    One prompt is read at a time, a part of it in each step; in the same step, all texts that have
    been begun go on. What is written of a job does not depend on the others.
    """

    def __init__(self, writer: Writer, *, rows: int, room: int):
        """Makes free rows.

        Args:
          writer: the model and how it writes.
          rows: number of texts written at once, a power of two.
          room: largest number of tokens of a text, prompt included.
        """
        self._reader = writer.reader
        self._session = writer.session(rows, room)
        self._room = room
        self._waiting: deque[Job] = deque()
        # The job whose prompt is being read, and what reads it on.
        self._entering: Job | None = None
        self._parts: Generator[None, None, None] = _nothing()

    @property
    def waiting(self) -> int:
        """Number of jobs that have no row yet."""
        return len(self._waiting) + (self._entering is not None)

    @property
    def written(self) -> int:
        """Number of jobs that have a row."""
        return self._session.jobs

    @property
    def busy(self) -> bool:
        """Whether there is anything to do."""
        return self.waiting > 0 or self._session.busy

    def prepare(self) -> None:
        """Compiles what adds tokens to each number of rows, while none has a job."""
        self._session.prepare()

    def add(self, job: Job) -> None:
        """Lets a job wait for a row."""
        self._waiting.append(job)

    def leave(self, number: int) -> None:
        """Forgets a job that is no longer wanted; one that is unknown or over is left alone."""
        self._waiting = deque(job for job in self._waiting if job.number != number)
        if self._entering is not None and self._entering.number == number:
            self._entering = None
            self._parts.close()  # the reader keeps what was read of its prompt
        self._session.leave(number)

    def step(self) -> Iterator[Piece]:
        """Reads a part of a prompt, writes some tokens of every text; yields what has come."""
        yield from self._read()
        if self._session.busy:
            yield from self._session.go_on()

    def _read(self) -> Iterator[Piece]:
        # Nothing is read before there is a row for it.
        row = self._session.free
        if row is None:
            return
        if self._entering is None and self._waiting:
            self._entering = self._waiting.popleft()
            # While no text is written nobody waits, and the prompt is read in the largest parts.
            at_once = _CHUNK_BESIDE_OTHERS if self._session.busy else CHUNKS[0]
            self._parts = self._reader.parts(self._entering.prompt.tokens, self._room, at_once)
        if self._entering is None:
            return
        for _ in self._parts:
            return  # one part in each step
        job = self._entering
        self._entering = None
        yield self._session.enter(job, row)


def _nothing() -> Generator[None, None, None]:
    yield from ()
