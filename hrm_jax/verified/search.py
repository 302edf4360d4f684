"""Searches for a program that passes tests: writes candidates, judges each, and shows the best.

The first candidate is the likeliest one. If it fails, others are drawn at random, several at a
time; in a conversation half of them are asked for with the failure of an earlier one. The first
that passes ends the search.
"""

import concurrent.futures
import dataclasses
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Protocol

from hrm_jax.core.config import configclass, field
from hrm_jax.evaluation.judge.exams import Verdict
from hrm_jax.evaluation.judge.judge import Judge
from hrm_jax.inference.text.requests import Ending, Piece, Request
from hrm_jax.inference.text.sampling import SamplingConfig
from hrm_jax.verified.checks import Check


class Writes(Protocol):
    """What writes texts: a `Writer`, or something that shares one."""

    @property
    def batch_size(self) -> int:
        """Texts written at once."""
        ...

    def fits(self, request: Request) -> bool:
        """Returns whether a prompt leaves room for a token."""
        ...

    def write(self, requests: Sequence[Request]) -> Iterator[Piece]:
        """Yields the pieces of all texts; see `inference.text.writing.Writer.write`."""
        ...


@configclass
class Budget:
    """How long is searched, and how candidates after the first are drawn."""

    attempts: int = field(10, help="largest number of candidates", at_least=1)
    seconds: float = field(
        60.0, help="time after which no candidate is written any more", more_than=0
    )
    temperature: float = field(
        0.8, help="of candidates after the first, where it is greedy", more_than=0
    )
    top_p: float = field(0.95, help="likewise", more_than=0, at_most=1)


@dataclasses.dataclass(frozen=True)
class Candidate:
    """A text that was written.

    Attributes:
      number: from 0, in the order they were begun.
      text: as the model wrote it.
      program: what was judged.
      ending: why it is over; None where the time was.
      verdict: of its program; None where it was not judged.
      mends: number of the candidate whose failure it was asked to mend; None for none.
    """

    number: int
    text: str
    program: str
    ending: Ending | None
    verdict: Verdict | None = None
    mends: int | None = None

    @property
    def passed(self) -> bool:
        """Whether it passed the tests."""
        return self.verdict is not None and self.verdict.passed

    @property
    def failure(self) -> str:
        """Why it did not pass, for the reader; empty if it did."""
        if self.verdict is None:
            return "it was not run: the time was over"
        if self.verdict.passed:
            return ""
        told = _LIMITS.get(self.verdict.result, "")
        return ": ".join(filter(None, (told, self.verdict.detail))) or "it failed"


_LIMITS = {
    "time": "it took too long",
    "memory": "it used too much memory",
    "output": "it printed too much",
}


@dataclasses.dataclass(frozen=True)
class Found:
    """What a search has come to.

    Attributes:
      best: the first candidate that passed; otherwise the one that passed most tests.
      candidates: all that were written, in the order of their numbers.
      seconds: how long it took.
    """

    best: Candidate
    candidates: tuple[Candidate, ...]
    seconds: float

    @property
    def verified(self) -> bool:
        """Whether the best candidate passed all tests."""
        return self.best.passed


class Asked(Protocol):
    """What is asked for; see `programs`."""

    @property
    def request(self) -> Request:
        """The request of the first candidate."""
        ...

    def program(self, text: str) -> str:
        """Returns the program of what was written."""
        ...

    def mend(self, text: str, failure: str) -> Request | None:
        """Returns the request of a candidate that mends another; None where there is no way."""
        ...


def search(
    writer: Writes,
    asked: Asked,
    check: Check,
    judge: Judge,
    budget: Budget,
    progress: Callable[[Candidate], None] = lambda _: None,
) -> Found:
    """Searches for a program that passes a check.

    Args:
      writer: the model.
      asked: what is asked for.
      check: what has to be passed.
      judge: of Python.
      budget: attempts and seconds.
      progress: called with each candidate when it was judged.

    Raises:
      PromptError, ValueError: as `Writer.write`.
    """
    return _Search(writer, asked, check, judge, budget, progress).run()


def draw(
    writer: Writes,
    asked: Asked,
    budget: Budget,
    progress: Callable[[Candidate], None] = lambda _: None,
) -> tuple[Candidate, ...]:
    """Returns as many candidates as the budget allows, none of them judged; at least one.

    Raises:
      PromptError, ValueError: as `Writer.write`.
    """
    deadline = time.monotonic() + budget.seconds
    requests = {n: _request(asked.request, n, budget) for n in range(budget.attempts)}
    found = []
    for one in _written(writer, asked, requests, {}, deadline):
        if one is not None:
            found.append(one)
            progress(one)
    # Those that the deadline has cut off count only where there are no others.
    over = [one for one in found if one.ending is not None]
    return tuple(sorted(over or found[:1], key=lambda one: one.number))


class _Search:
    """The state of a search."""

    def __init__(
        self,
        writer: Writes,
        asked: Asked,
        check: Check,
        judge: Judge,
        budget: Budget,
        progress: Callable[[Candidate], None],
    ):
        self._writer = writer
        self._asked = asked
        self._check = check
        self._judge = judge
        self._budget = budget
        self._progress = progress
        self._begin = time.monotonic()
        self._deadline = self._begin + budget.seconds
        self._judged: list[Candidate] = []
        self._begun = 0
        # Equal programs are judged once.
        self._verdicts: dict[str, Future[Verdict]] = {}

    def run(self) -> Found:
        """Searches until a candidate passes, or the budget is used up."""
        # Not in a `with` block, which would wait for verdicts that nobody needs any more.
        pool = ThreadPoolExecutor(self._judge.workers)
        try:
            while self._goes_on():
                self._round(pool)
        finally:
            # What is still being judged ends by its own limits.
            pool.shutdown(wait=False, cancel_futures=True)
        found = tuple(sorted(self._judged, key=lambda one: one.number))
        return Found(max(found, key=_merit), found, time.monotonic() - self._begin)

    def _goes_on(self) -> bool:
        if not self._begun:
            return True
        over = any(one.passed for one in self._judged) or time.monotonic() >= self._deadline
        return not over and self._begun < self._budget.attempts

    def _round(self, pool: ThreadPoolExecutor) -> None:
        """Writes candidates together, and judges each when it is over."""
        requests, mends = self._requests()
        waiting: dict[Future[Verdict], list[Candidate]] = {}
        for one in _written(self._writer, self._asked, requests, mends, self._deadline):
            if one is None:  # some time has passed
                # Time for the verdicts that have come.
                self._settle(waiting, 0.0)
            elif one.ending is None:
                # The deadline has cut it off, so it is not judged.
                self._judged.append(one)
            else:
                waiting.setdefault(self._verdict(pool, one.program), []).append(one)
            if any(one.passed for one in self._judged):
                break
        while waiting and not any(one.passed for one in self._judged):
            left = self._deadline - time.monotonic()
            # The first candidate is judged, however long it took to write.
            if left <= 0 and self._judged:
                break
            self._settle(waiting, max(left, 0.1))
        # Their verdicts did not come in time.
        self._judged += [one for group in waiting.values() for one in group]

    def _requests(self) -> tuple[dict[int, Request], dict[int, int]]:
        """Returns the requests of the next round by their numbers, and which others they mend."""
        left = self._budget.attempts - self._begun
        # The likeliest candidate is tried alone.
        count = min(self._writer.batch_size, left) if self._begun else 1
        numbers = range(self._begun, self._begun + count)
        self._begun += count
        requests = {}
        mends = {}
        # By what each passed, the best first; half of the round mends them.
        failed = sorted(self._judged, key=_merit, reverse=True)
        # Of equal programs one is mended.
        distinct = list({one.program: one for one in failed if one.verdict is not None}.values())
        for number, broken in zip(numbers[: (count + 1) // 2], distinct, strict=False):
            request = self._asked.mend(broken.text, broken.failure)
            if request is not None and self._writer.fits(request):
                requests[number] = _request(request, number, self._budget)
                mends[number] = broken.number
        for number in numbers:
            if number not in requests:
                requests[number] = _request(self._asked.request, number, self._budget)
        return requests, mends

    def _verdict(self, pool: ThreadPoolExecutor, program: str) -> "Future[Verdict]":
        if program not in self._verdicts:
            self._verdicts[program] = pool.submit(judged, self._judge, self._check, program)
        return self._verdicts[program]

    def _settle(self, waiting: dict["Future[Verdict]", list[Candidate]], seconds: float) -> None:
        """Takes the verdicts that are there, or come within some seconds."""
        done, _ = concurrent.futures.wait(
            waiting, seconds, return_when=concurrent.futures.FIRST_COMPLETED
        )
        for future in done:
            for candidate in waiting.pop(future):
                one = dataclasses.replace(candidate, verdict=future.result())
                self._judged.append(one)
                self._progress(one)


def judged(judge: Judge, check: Check, program: str) -> Verdict:
    """Returns the verdict on a program; one that is no Python is not run."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            compile(program, "program.py", "exec", dont_inherit=True)
    except SyntaxError as error:
        return Verdict("failed", f"SyntaxError: {error.msg} (line {error.lineno})", 0.0)
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes; too deep
        return Verdict("failed", f"{type(error).__name__}: {error}", 0.0)
    return judge.judge(check.exam_of(program))


def _merit(candidate: Candidate) -> tuple[bool, float, bool, int]:
    """Returns what a candidate is worth; of equal ones the first is worth most."""
    verdict = candidate.verdict
    share = 0.0 if verdict is None or not verdict.total else verdict.right / verdict.total
    # Of those that pass as few tests, programs that run are worth more.
    runs = verdict is not None and not verdict.detail.startswith("SyntaxError")
    return candidate.passed, share, runs, -candidate.number


def _request(request: Request, number: int, budget: Budget) -> Request:
    """Returns the request of a candidate: the first as asked, others drawn at random."""
    sampling = request.sampling
    if number and not sampling.temperature:
        sampling = SamplingConfig(budget.temperature, sampling.top_k, budget.top_p)
    return dataclasses.replace(request, seed=request.seed + number, sampling=sampling)


def _written(
    writer: Writes,
    asked: Asked,
    requests: dict[int, Request],
    mends: dict[int, int],
    deadline: float,
) -> Iterator[Candidate | None]:
    """Yields candidates as they are over, and None now and then.

    At the deadline those that are not over are yielded as they are.
    """
    numbers = list(requests)
    texts = dict.fromkeys(numbers, "")
    pieces = writer.write([requests[number] for number in numbers])

    def candidate(number: int, ending: Ending | None) -> Candidate:
        text = texts.pop(number)
        return Candidate(number, text, asked.program(text), ending, mends=mends.get(number))

    for piece in pieces:
        number = numbers[piece.request]
        texts[number] += piece.text
        yield candidate(number, piece.ending) if piece.ending else None
        if time.monotonic() >= deadline:
            break
    # What is left here was cut off by the deadline.
    for number in list(texts):
        yield candidate(number, None)
