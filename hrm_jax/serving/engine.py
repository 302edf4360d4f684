"""One thread that writes the texts of all requests, and hands out their pieces as they come."""

import dataclasses
import itertools
import logging
import math
import queue
import threading
import time
from collections.abc import Callable, Generator, Sequence
from typing import TypeAlias

from hrm_jax.inference.text.batching import RollingBatch
from hrm_jax.inference.text.requests import Job, Piece, Request
from hrm_jax.inference.text.writing import Writer
from hrm_jax.serving.refusals import EngineError, QueueFull, TooManyTexts

_LOG = logging.getLogger(__name__)
_STOPPED = "the server was stopped"

Deliver: TypeAlias = Callable[["Piece | EngineError"], None]
"""Takes what comes of a text, in the engine's thread, so it must return at once."""


@dataclasses.dataclass(frozen=True)
class Load:
    """The load of an engine at a moment.

    Attributes:
      rows: texts that can be written at once.
      written: texts that are being written.
      waiting: texts that wait for a row.
      tokens: tokens written so far.
    """

    rows: int
    written: int
    waiting: int
    tokens: int


class Coming:
    """Counts the texts of a request that are not over.

    Attributes:
      texts: their number.
    """

    def __init__(self, texts: int):
        """Begins with so many texts."""
        self.texts = texts

    def take(self, event: "Piece | EngineError") -> Piece:
        """Returns a piece that was delivered; raises an error that was."""
        if isinstance(event, EngineError):
            raise event
        self.texts -= event.ending is not None
        return event


class Engine:
    """Writes texts in a thread of its own, several at once, in the order they are asked for."""

    def __init__(
        self, writer: Writer, *, rows: int, most_waiting: int, most_seconds: float = math.inf
    ):
        """Makes free rows; nothing is compiled and no thread begins yet.

        Args:
          writer: the model and how it writes.
          rows: texts written at once, a power of two.
          most_waiting: texts that may wait for a row.
          most_seconds: after which a text ends where it is, as if it were long enough.
        """
        self.writer = writer
        self._rows = rows
        self._most_waiting = most_waiting
        self._most_seconds = most_seconds
        self._numbers = itertools.count()
        # What other threads ask for, done by the engine's between two steps.
        self._asked: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        # Who takes the pieces of a text, and when it was asked for; the oldest first.
        self._deliveries: dict[int, tuple[Deliver, float]] = {}
        # Guards what decides whether a text is still accepted: those that are open, the users that
        # may ask for more, and whether it is closed.
        self._lock = threading.Lock()
        self._open = 0
        self._users = 0
        self._closed = False
        self._tokens = 0
        self._batch = self._new_batch()
        self._thread = threading.Thread(target=self._run, name="engine", daemon=True)
        # Whether the thread ends when no text and no user is left, and whether at once.
        self._ending = False
        self._stopping = False

    def prepare(self) -> None:
        """Compiles what adds tokens to each number of rows; before the thread begins."""
        self._batch.prepare()

    def start(self) -> None:
        """Begins the thread."""
        self._thread.start()

    def stop(self, seconds: float = 0.0) -> None:
        """Ends the thread, after its users and the texts asked for if that takes no longer.

        Args:
          seconds: time for them; the others end with an EngineError.
        """
        # The engine's own thread decides when nothing is open any more.
        self._asked.put(self._end)
        self._thread.join(seconds)
        self._stopping = True
        self._asked.put(self._end)  # wakes it
        self._thread.join()

    def use(self) -> Callable[[], None]:
        """Keeps the engine from ending, as long as `stop` gives it time.

        A request is answered by the engine that it began with, though another may have taken its
        place before the request's texts are asked for.

        Returns:
          What is called, once, when no more texts will be asked for.

        Raises:
          EngineError: it has ended.
        """
        with self._lock:
            self._check_open()
            self._users += 1
        return lambda: self._asked.put(self._leave_user)

    @property
    def batch_size(self) -> int:
        """Texts written at once."""
        return self._rows

    def fits(self, request: Request) -> bool:
        """Returns whether a prompt leaves room for a token; as `Writer.fits`."""
        return self.writer.fits(request)

    @property
    def load(self) -> Load:
        """What the engine does now."""
        written = self._batch.written
        return Load(self._rows, written, max(0, self._open - written), self._tokens)

    def submit(self, requests: Sequence[Request], deliver: Deliver) -> Callable[[], None]:
        """Asks for texts; the pieces' `request` is their place among the requests.

        Args:
          requests: the texts, all or none of which are accepted.
          deliver: takes the pieces of all of them.

        Returns:
          What is called when they are no longer wanted; it may be called at any time.

        Raises:
          EngineError: the engine has ended.
          TooManyTexts: there is never room for so many.
          QueueFull: too many texts wait.
          PromptError, ConstraintError, ValueError: as `Writer.write`.
        """
        most = self._rows + self._most_waiting
        if len(requests) > most:
            raise TooManyTexts(f"expected at most {most} texts at once, got {len(requests)}")
        # Before the lock: encoding may take a while, and a refusal needs no place in the queue.
        jobs = [self.writer.job(next(self._numbers), request) for request in requests]
        begin = time.monotonic()
        places = {job.number: place for place, job in enumerate(jobs)}

        def deliver_placed(event: "Piece | EngineError") -> None:
            if isinstance(event, Piece):
                event = event._replace(request=places[event.request])
            deliver(event)

        with self._lock:
            self._check_open()
            waiting = self._open + len(jobs) - self._rows
            if waiting > self._most_waiting:
                raise QueueFull(
                    f"expected at most {self._most_waiting} texts that wait, got {waiting}; try "
                    "again later"
                )
            self._open += len(jobs)
            self._asked.put(lambda: self._add(jobs, deliver_placed, begin))
        return lambda: self._asked.put(lambda: self._leave(places))

    def write(self, requests: Sequence[Request]) -> Generator[Piece, None, None]:
        """Yields the pieces of texts; as `Writer.write`, and closing it frees their rows.

        Raises:
          EngineError: the engine failed, or was stopped.
          QueueFull, PromptError, ConstraintError, ValueError: as `submit`.
        """
        events: queue.SimpleQueue[Piece | EngineError] = queue.SimpleQueue()
        leave = self.submit(requests, events.put)
        coming = Coming(len(requests))
        try:
            while coming.texts:
                yield coming.take(events.get())
        finally:
            leave()

    def _new_batch(self) -> RollingBatch:
        return RollingBatch(self.writer, rows=self._rows, room=self.writer.max_length)

    def _check_open(self) -> None:
        if self._closed:
            raise EngineError(_STOPPED)

    def _end(self) -> None:
        self._ending = True

    def _leave_user(self) -> None:
        with self._lock:
            self._users -= 1

    def _close(self) -> bool:
        """Accepts no more texts if it is to end and none is open; returns whether it is closed.

        Deciding it under the lock is what keeps a text from being accepted and never written.
        """
        with self._lock:
            over = self._ending and self._open == self._users == 0
            self._closed = self._stopping or over
            return self._closed

    def _add(self, jobs: Sequence[Job], deliver: Deliver, begin: float) -> None:
        for job in jobs:
            self._deliveries[job.number] = (deliver, begin)
            self._batch.add(job)

    def _leave(self, numbers: dict[int, int]) -> None:
        for number in numbers:
            if self._over(number) is not None:
                self._batch.leave(number)

    def _over(self, number: int) -> Deliver | None:
        """Forgets a text; returns who took its pieces, or None if it was over already."""
        deliver, _ = self._deliveries.pop(number, (None, 0.0))
        if deliver is not None:
            with self._lock:
                self._open -= 1
        return deliver

    def _run(self) -> None:
        while not self._close():
            try:
                self._go_on()
            except Exception as error:
                # A defect, or no memory: those who wait are told, and others can be served.
                _LOG.exception("the engine failed")
                self._fail(f"{type(error).__name__}: {error}")
                self._batch = self._new_batch()
        self._do_what_is_asked()
        self._fail(_STOPPED)

    def _go_on(self) -> None:
        if not self._batch.busy:
            self._asked.get()()  # waits for it
        self._do_what_is_asked()
        if self._batch.busy:
            for piece in self._batch.step():
                self._deliver(piece)
            self._end_late()

    def _do_what_is_asked(self) -> None:
        while not self._asked.empty():
            self._asked.get()()

    def _end_late(self) -> None:
        """Ends the texts whose time is over."""
        begun_before = time.monotonic() - self._most_seconds
        late = itertools.takewhile(lambda one: one[1][1] < begun_before, self._deliveries.items())
        for number in [number for number, _ in late]:
            self._batch.leave(number)
            self._deliver(Piece(number, "", 0, "length"))

    def _deliver(self, piece: Piece) -> None:
        self._tokens += piece.tokens
        deliver, _ = self._deliveries.get(piece.request, (None, 0.0))
        if piece.ending is not None:
            self._over(piece.request)
        if deliver is not None:
            deliver(piece)

    def _fail(self, why: str) -> None:
        for number in list(self._deliveries):
            deliver = self._over(number)
            if deliver is not None:
                deliver(EngineError(why))
