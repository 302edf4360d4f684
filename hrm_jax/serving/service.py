"""Turns what clients ask for into texts of one loaded model."""

import asyncio
import contextlib
import dataclasses
import json
import secrets
import time
from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from hrm_jax.convert.language import LoadedLanguageModel
from hrm_jax.core.errors import UserError
from hrm_jax.core.texts import Prompt
from hrm_jax.data.text.chat import Message, as_text
from hrm_jax.evaluation.judge.judge import Judge
from hrm_jax.inference.text import grammars
from hrm_jax.inference.text.constraints import Constraint
from hrm_jax.inference.text.requests import Ending, Piece, Request
from hrm_jax.inference.text.sampling import SamplingConfig
from hrm_jax.serving.engine import Coming, Engine, EngineError
from hrm_jax.serving.messages import Verify
from hrm_jax.verified import programs, search
from hrm_jax.verified.checks import Check, check_of_examples, check_of_tests
from hrm_jax.verified.examples import examples_in


class RequestError(UserError, ValueError):
    """A request asks for what this server or its model cannot do."""


@dataclasses.dataclass(frozen=True)
class Measured:
    """A request that can be written.

    Attributes:
      request: the request.
      prompt_tokens: number of tokens of its prompt.
    """

    request: Request
    prompt_tokens: int


@dataclasses.dataclass(frozen=True)
class Conversation:
    """Turns, and how the model is shown them.

    Attributes:
      messages: the turns.
      prompt_of: makes a prompt of turns.
    """

    messages: Sequence[Message]
    prompt_of: Callable[[Sequence[Message]], Prompt]


@dataclasses.dataclass(frozen=True)
class Verdict:
    """What is known of a text that was to be verified.

    Attributes:
      text: the best candidate.
      ending: why it is over.
      tokens: of all candidates together.
      verified: whether it passed.
      failed: why not; None if it did.
      attempts: candidates written.
      seconds: time that they took.
    """

    text: str
    ending: Ending | None
    tokens: int
    verified: bool
    failed: str | None
    attempts: int
    seconds: float


class Service:
    """One model, what it is called, and the engine that writes with it.

    Attributes:
      loaded: the model.
      name: what clients see.
      created: when it was loaded, in seconds since 1970.
      engine: its engine.
    """

    def __init__(
        self,
        loaded: LoadedLanguageModel,
        name: str,
        engine: Engine,
        judge: Judge | str,
        packages: Sequence[str] = (),
    ):
        """Stores what serves.

        Args:
          loaded: the model.
          name: what clients see.
          engine: its engine.
          judge: judges programs in a sandbox; or why there is none.
          packages: that tests may import besides the standard library, as the judge allows.
        """
        self.loaded = loaded
        self.name = name
        self.created = int(time.time())
        self.engine = engine
        self._judge = judge
        self._packages = tuple(packages)
        # A search blocks while candidates are judged, so it has a thread: one of its own, as in
        # those that asyncio shares many searches would let all other requests wait.
        self._searches = asyncio.Semaphore(engine.batch_size)
        self._threads = ThreadPoolExecutor(engine.batch_size, "search")

    @property
    def verifies(self) -> bool:
        """Whether there is a sandbox to run programs in."""
        return not isinstance(self._judge, str)

    @property
    def context(self) -> int:
        """Largest number of tokens of a text, prompt included."""
        return self.engine.writer.max_length

    def measure(self, request: Request, *, cut: bool = False) -> Measured:
        """Returns a request with as many tokens as there is room for.

        Args:
          request: with the number of tokens that is asked for.
          cut: whether fewer will do.

        Raises:
          RequestError: there is no room for so many.
          PromptError, ConstraintError, ValueError: as `Writer.write`.
        """
        # As the engine will make it: so nothing that is accepted here is refused there for its
        # length.
        job = self.engine.writer.job(0, request)
        prompt_tokens = job.length - job.left
        if job.left < request.max_tokens and not cut:
            raise RequestError(
                f"max_tokens: expected at most {job.left}, as the prompt takes {prompt_tokens} of "
                f"the context's {self.context} tokens, got {request.max_tokens}; ask for fewer, or "
                "for -1, which takes what there is"
            )
        return Measured(dataclasses.replace(request, max_tokens=job.left), prompt_tokens)

    async def write(self, requests: Sequence[Request]) -> AsyncGenerator[Piece, None]:
        """Yields the pieces of texts as they come; closing it frees their rows.

        Raises:
          EngineError, QueueFull, PromptError, ConstraintError, ValueError: as `Engine.write`.
        """
        loop = asyncio.get_running_loop()
        events: asyncio.Queue[Piece | EngineError] = asyncio.Queue()

        def deliver(event: Piece | EngineError) -> None:
            # The loop may be closed where the server is stopped.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(events.put_nowait, event)

        # In a thread, as this encodes the prompts, for which other requests need not wait.
        submitting = asyncio.ensure_future(asyncio.to_thread(self.engine.submit, requests, deliver))
        try:
            leave = await asyncio.shield(submitting)
        except asyncio.CancelledError:
            # The thread goes on, and its texts would be written although nobody waits for them.
            submitting.add_done_callback(_leave_accepted)
            raise
        coming = Coming(len(requests))
        try:
            while coming.texts:
                yield coming.take(await events.get())
        # Reached when the reader has all texts, and when it is closed because the client is gone.
        finally:
            leave()

    async def verify(
        self, request: Request, asked: Verify, conversation: Conversation | None
    ) -> Verdict:
        """Writes candidates until one passes tests.

        Args:
          request: of one candidate.
          asked: the tests, and the budget.
          conversation: that the prompt was made of; None for a text.

        Raises:
          RequestError: there is no sandbox, or not one kind of tests is asked for.
          CheckError: the tests cannot be used, or the prompt has no examples.
          EngineError, QueueFull, PromptError, ValueError: as `Engine.write`.
        """
        if isinstance(self._judge, str):
            raise RequestError(f"verify: {self._judge}")
        # Exactly one of the two has to be given.
        if asked.doctests == (asked.tests is not None):
            raise RequestError("verify: expected either tests, or doctests: true")
        if conversation is None:
            wanted = programs.wanted(request, None, self.loaded.conversation)
            text = request.prompt.prefix
        else:
            messages = conversation.messages
            wanted = programs.wanted(request, messages, conversation.prompt_of)
            text = "\n".join(as_text(one).get("content") or "" for one in messages)
        # Reading many tests takes a while, for which other requests need not wait.
        check = await asyncio.to_thread(self._check, asked, text)
        budget = search.Budget(asked.attempts, asked.seconds)
        found, tokens = await self._searched(wanted, check, budget, self._judge)
        best = found.best
        return Verdict(
            best.text,
            best.ending,
            tokens,
            found.verified,
            None if found.verified else best.failure,
            len(found.candidates),
            round(found.seconds, 3),
        )

    def _check(self, asked: Verify, text: str) -> Check:
        if asked.tests is None:
            return check_of_examples(examples_in(text))
        return check_of_tests(asked.tests, "verify.tests", packages=self._packages)

    async def _searched(
        self, wanted: search.Asked, check: Check, budget: search.Budget, judge: Judge
    ) -> tuple[search.Found, int]:
        """Returns what a search comes to, and how many tokens it wrote."""
        writer = _Counted(self.engine)
        loop = asyncio.get_running_loop()
        try:
            # As many at a time as there are rows: more would wait for rows instead.
            async with self._searches:
                found = await loop.run_in_executor(
                    self._threads, search.search, writer, wanted, check, judge, budget
                )
            return found, writer.tokens
        # Reached too when the client has gone, of which the thread knows nothing.
        finally:
            writer.leave()


def _leave_accepted(submitted: "asyncio.Future[Callable[[], None]]") -> None:
    if not submitted.cancelled() and submitted.exception() is None:
        submitted.result()()


class _Counted:
    """An engine, and how many tokens it has written for one search, until that is left."""

    def __init__(self, engine: Engine):
        self._engine = engine
        self._is_left = False
        self.batch_size = engine.batch_size
        self.fits = engine.fits
        self.tokens = 0

    def write(self, requests: Sequence[Request]) -> Iterator[Piece]:
        self._check_wanted()
        with contextlib.closing(self._engine.write(requests)) as pieces:
            for piece in pieces:
                self.tokens += piece.tokens
                self._check_wanted()
                yield piece

    def leave(self) -> None:
        """Ends the search at its next token: nobody waits for what it comes to."""
        self._is_left = True

    def _check_wanted(self) -> None:
        if self._is_left:
            raise EngineError("the client has gone")


def sampling(temperature: float | None, top_k: int | None, top_p: float | None) -> SamplingConfig:
    """Returns how tokens are drawn; None and what limits nothing stand for no limit."""
    # Clients send 0 or -1 for no top-k, and 0 or nothing for no top-p.
    return SamplingConfig(temperature or 0.0, max(top_k or 0, 0), top_p or 1.0)


def seed_of(seed: int | None) -> int:
    """Returns a seed; a random one where none is asked for, or -1."""
    return secrets.randbits(32) if seed is None or seed == -1 else seed


def schema(value: Any) -> Constraint:
    """Returns the constraint of a JSON schema; raises ConstraintError for one that is none."""
    return grammars.json_schema(json.dumps(value))
