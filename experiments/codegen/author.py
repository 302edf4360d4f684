"""Writes the code that is asked for in lines of JSON, and tells of it while it is written.

    echo '{"prompt": "def double(n):\\n"}' | python -m experiments.codegen.author --model=NAME

The studio starts it (`hrm_jax/studio/thinking.py`). A question has `prompt`, and may have

    tests         in Python; where there are none, the examples in the prompt are the tests
    chat          whether the prompt is a request in a conversation, not a text to go on from
    max_tokens, attempts, temperature, seed

The answer is a line for each piece of text, `attempt` (from 1) and `text`; one for each verdict,
`attempt`, `passed` and `failure`; and at last `done` with

    text, attempt     what is shown, and which attempt it was
    verified          whether it passed tests, in a sandbox; never true without
    told              what is known of it, a line
    attempts, seconds

or with `error`, why nothing was written.
"""

import dataclasses
import json
import os
import pathlib
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

from absl import flags

from experiments.common import command, process

if __name__ == "__main__":
    process.keep_heap()  # before JAX is imported: it re-executes the program once
    process.keep_lapack_to_one_thread()

from experiments.common import language_model
from hrm_jax.convert.language import LoadedLanguageModel
from hrm_jax.core.config import configclass, field, from_dict
from hrm_jax.core.errors import UserError
from hrm_jax.core.files import parse_json
from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.core.texts import Prompt
from hrm_jax.data.text.chat import Message
from hrm_jax.evaluation.judge.exams import Bounds
from hrm_jax.evaluation.judge.judge import Judge
from hrm_jax.evaluation.sandbox.base import SandboxUnavailable
from hrm_jax.evaluation.sandbox.isolation import find_sandbox
from hrm_jax.evaluation.sandbox.limits import Limits
from hrm_jax.inference.text.requests import Piece, Request
from hrm_jax.inference.text.sampling import SamplingConfig
from hrm_jax.inference.text.writing import Writer
from hrm_jax.tasks.code.config import CodeConfig
from hrm_jax.tasks.code.task import CodeTask
from hrm_jax.training.run_folder import read_config, restore, run_of
from hrm_jax.verified import programs, search
from hrm_jax.verified.checks import Check, check_of_examples, check_of_tests
from hrm_jax.verified.examples import examples_in
from hrm_jax.verified.search import Budget, Candidate

FLAGS = flags.FLAGS
_BATCH = 4
_PYTEST = "pytest"
_LIMITS = Limits(cpu_seconds=10, wall_seconds=30.0)
"""Of the tests of one candidate."""

flags.DEFINE_string(
    "checkpoint", None, "a run's folder, or one checkpoint's, in place of the model of --model"
)


class AuthorError(UserError, ValueError):
    """What is asked for cannot be written by this model."""


@configclass
class Question:
    """What is asked for."""

    prompt: str
    tests: str = ""
    chat: bool = False
    max_tokens: int = field(256, at_least=1, at_most=8192)
    attempts: int = field(8, at_least=1, at_most=100)
    seconds: float = field(120.0, more_than=0)
    temperature: float = field(0.0, at_least=0, at_most=2)
    seed: int = 0


@dataclasses.dataclass(frozen=True)
class Author:
    """A model that writes."""

    loaded: LoadedLanguageModel
    writer: Writer

    def answer(self, question: Question) -> None:
        """Writes what is asked for, and prints the answer.

        Raises:
          AuthorError: a conversation is asked of a model that knows none.
          CheckError, PackageMissing: the tests cannot be run.
          PromptError, ChatError: the prompt cannot be completed.
        """
        found = check_of(question)
        if found is None:
            self._write(question, "no tests were given, so it was not run")
            return
        try:
            judge = _judge(question.tests)
        # Never run unprotected: without a sandbox the text is shown unchecked, and why.
        except SandboxUnavailable as error:
            self._write(question, str(error))
            return
        check, tests = found
        request, turns = self._request(question)
        wanted = programs.wanted(request, turns, self.loaded.conversation)
        budget = Budget(attempts=question.attempts, seconds=question.seconds)
        # The first request has the question's seed, and each candidate its number more: so the
        # writer knows the attempt of a piece.
        writer = TellingWriter(self.writer, question.seed)
        result = search.search(writer, wanted, check, judge, budget, _tell_verdict)
        failure = result.best.failure
        told = f"verified: passes {tests}" if result.verified else f"not verified: {failure}"
        _finish(result.best, result.verified, told, len(result.candidates), result.seconds)

    def _write(self, question: Question, why_unchecked: str) -> None:
        """Writes a single text, which is not run."""
        begin = time.monotonic()
        request, _ = self._request(question)
        budget = Budget(attempts=1, seconds=question.seconds)
        writer = TellingWriter(self.writer, question.seed)
        # A draw of one candidate keeps to the time, as a search does.
        [written] = search.draw(writer, programs.Continued(request), budget)
        _finish(written, False, f"not verified: {why_unchecked}", 1, time.monotonic() - begin)

    def _request(self, question: Question) -> tuple[Request, list[Message] | None]:
        """Returns the request of the first attempt, and the turns of a conversation."""
        prompt = Prompt(question.prompt)
        turns: list[Message] | None = None
        if question.chat:
            if self.loaded.chat_template is None:
                raise AuthorError(
                    "this model was not trained on conversations: leave that out, and write a text "
                    "that it goes on from"
                )
            turns = [{"role": "user", "content": question.prompt}]
            prompt = self.loaded.conversation(turns)
        sampling = SamplingConfig(question.temperature)
        request = Request(prompt, question.seed, max_tokens=question.max_tokens, sampling=sampling)
        return request, turns


@dataclasses.dataclass(frozen=True)
class TellingWriter:
    """A writer that prints every piece of every attempt.

    Attributes:
      writer: what writes.
      seed: of the first attempt; each further one has the next.
    """

    writer: Writer
    seed: int

    @property
    def batch_size(self) -> int:
        """Texts written at once."""
        return self.writer.batch_size

    def fits(self, request: Request) -> bool:
        """Returns whether a prompt leaves room for a token."""
        return self.writer.fits(request)

    def write(self, requests: Sequence[Request]) -> Iterator[Piece]:
        """Yields the pieces of all texts; see `Writer.write`."""
        for piece in self.writer.write(requests):
            # A piece is empty while a character or a stop sequence may be incomplete.
            if piece.text:
                tell(attempt=requests[piece.request].seed - self.seed + 1, text=piece.text)
            yield piece


def check_of(question: Question) -> tuple[Check, str] | None:
    """Returns what has to be passed and what to call it; None where there is nothing to pass.

    Raises:
      CheckError: the tests cannot be used.
    """
    if question.tests.strip():
        # What tests import and is not named here would be taken from the program that they test.
        packages = [_PYTEST] if _PYTEST in question.tests else []
        return check_of_tests(question.tests, "the tests", packages=packages), "the tests"
    examples = examples_in(question.prompt)
    return (check_of_examples(examples), "the examples in the text") if examples else None


def _judge(tests: str) -> Judge:
    # Tests that people have import pytest for `raises` and `parametrize`.
    packages = [_PYTEST] if _PYTEST in tests else []
    workers = min(_BATCH, os.cpu_count() or 1)
    return Judge.of("python", find_sandbox(), Bounds(run=_LIMITS), workers, packages)


def _tell_verdict(candidate: Candidate) -> None:
    tell(attempt=candidate.number + 1, passed=candidate.passed, failure=candidate.failure)


def _finish(best: Candidate, verified: bool, told: str, attempts: int, seconds: float) -> None:
    tell(
        done=True,
        text=best.text,
        attempt=best.number + 1,
        verified=verified,
        told=told,
        attempts=attempts,
        seconds=round(seconds, 3),
    )


def load() -> Author:
    """Returns the author that the flags name.

    Raises:
      RunError, CheckpointError: there is no run or no intact checkpoint.
      ConfigError, WeightsError, OSError, ValueError: the model cannot be loaded.
    """
    if not FLAGS.checkpoint:
        loaded = language_model.load_model()
        return Author(loaded, language_model.make_writer(loaded, batch_size=_BATCH))
    checkpoint = pathlib.Path(FLAGS.checkpoint)
    # A run's checkpoint has values alone: what they mean is in the run's config.
    run = run_of(checkpoint)
    task = CodeTask(read_config(run, CodeConfig), run)
    variables, _ = restore(task, checkpoint, make_mesh(MeshConfig()))
    return Author(task.trained(variables), task.writer(variables, _BATCH))


def main() -> int:
    """Writes until standard input ends; returns the exit code."""
    process.keep_compiled()
    author: Author | None = None
    for line in sys.stdin:
        try:
            # Before the model is loaded, which takes seconds.
            question = from_dict(Question, parse_json(line, "the question"))
            check_of(question)
            # Loaded at the first question, and kept for all later ones.
            author = author or load()
            author.answer(question)
        # One question that cannot be answered does not end the process: the next may be.
        except command.FORESEEN as error:
            tell(done=True, error=str(error))
    return 0


def tell(**fields: Any) -> None:
    """Prints a line of JSON."""
    # Flushed, as the reader of a pipe shows each piece when it comes.
    print(json.dumps(fields, separators=(",", ":")), flush=True)


if __name__ == "__main__":
    command.run(main, extras="codegen,foundation")
