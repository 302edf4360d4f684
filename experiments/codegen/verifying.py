"""Writes until tests pass: `--tests`, `--doctests` and `--agree` of `--mode=generate`."""

import dataclasses
import json
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

from absl import app, flags
from rich.console import Console

from experiments.codegen import judging
from experiments.codegen.prompts import Asked
from experiments.common.terminal import live_line
from hrm_jax.convert.language import LoadedLanguageModel
from hrm_jax.core import files
from hrm_jax.evaluation.judge.exams import Bounds
from hrm_jax.evaluation.judge.judge import Judge
from hrm_jax.evaluation.sandbox.limits import Limits
from hrm_jax.inference.text.requests import Request
from hrm_jax.inference.text.writing import Writer
from hrm_jax.verified import programs, search
from hrm_jax.verified.agreement import behaviours, largest_group, last_function
from hrm_jax.verified.checks import Check, CheckError, check_of_examples, check_of_tests
from hrm_jax.verified.examples import examples_in
from hrm_jax.verified.search import Budget, Candidate

FLAGS = flags.FLAGS
FIELDS = ("verified", "failed", "agree", "attempts", "seconds")
"""What `--json` tells of a text."""
_PYTEST = "pytest"

flags.DEFINE_string(
    "tests",
    None,
    "file of tests in Python (asserts, functions test_*, unittest): candidates are written and run "
    "in a sandbox until one passes them all",
)
flags.DEFINE_bool(
    "doctests", False, "the same with the examples in the prompt, such as >>> double(2)"
)
flags.DEFINE_bool(
    "agree",
    False,
    "without tests: write --attempts candidates, and show one of the largest group that behaves "
    "alike on inputs made from signature and examples",
)
flags.DEFINE_integer("attempts", 10, "candidates at most, with tests or --agree", lower_bound=1)
flags.DEFINE_float("seconds", 60.0, "time for them, without loading", lower_bound=0.1)
flags.DEFINE_integer("test_seconds", 10, "processor time that tests may take", lower_bound=1)


@dataclasses.dataclass(frozen=True)
class Chosen:
    """The text that is shown for a prompt.

    Attributes:
      text: what the model wrote.
      told: what is known of it, a line.
      verified: whether it passed tests.
      failed: why it did not; empty if it did, or there were none.
      agree: how many candidates behave alike, itself included; None with tests.
      attempts: how many were written.
      seconds: how long it took.
    """

    text: str
    told: str
    verified: bool
    failed: str
    agree: int | None
    attempts: int
    seconds: float

    @property
    def fields(self) -> dict[str, Any]:
        """The values of `FIELDS`; null where nothing is said."""
        values = {name: getattr(self, name) for name in FIELDS}
        return {**values, "failed": self.failed or None, "seconds": round(self.seconds, 3)}


def is_wanted() -> bool:
    """Returns whether the flags ask for it.

    Raises:
      UsageError: they contradict each other.
    """
    chosen = [name for name in ("tests", "doctests", "agree") if FLAGS[name].value]
    if len(chosen) > 1:
        named = " and ".join(f"--{name}" for name in chosen)
        raise app.UsageError(f"expected one of --tests, --doctests and --agree, got {named}")
    # Candidates are samples that tests choose among: two numbers for one thing would contradict.
    if chosen and FLAGS.samples > 1:
        raise app.UsageError(f"--samples: expected --attempts with --{chosen[0]}; leave it out")
    return bool(chosen)


class Verifier:
    """Writes programs as the flags say."""

    def __init__(self, asked: Sequence[Asked]):
        """Reads the tests and finds the sandbox: what is missing shows before a model is loaded.

        Raises:
          CheckError: tests cannot be used, or a prompt has no examples.
          TextError, OSError: the file of tests cannot be read.
          SandboxUnavailable, PackageMissing: what is missing.
        """
        limits = Limits(cpu_seconds=FLAGS.test_seconds, wall_seconds=3.0 * FLAGS.test_seconds)
        source = None if FLAGS.tests is None else files.read_text(pathlib.Path(FLAGS.tests))
        # Tests that people have import pytest for `raises` and `parametrize`.
        if source is not None and _PYTEST in source and _PYTEST not in FLAGS.allow_packages:
            FLAGS.allow_packages = [*FLAGS.allow_packages, _PYTEST]
        self._judge: Judge = judging.make_judge("python", Bounds(run=limits))
        self._budget = Budget(FLAGS.attempts, FLAGS.seconds)
        # For every prompt now, so that a prompt without examples is told before any text is
        # written.
        self._checks = [_check(one, source, number) for number, one in enumerate(asked, 1)]

    def write(
        self,
        number: int,
        asked: Asked,
        request: Request,
        loaded: LoadedLanguageModel,
        writer: Writer,
        errors: Console,
    ) -> Chosen:
        """Writes for one prompt, with a line of progress.

        Args:
          number: of the prompt, from 0.
          asked: the prompt, as it was given.
          request: for its first candidate.
          loaded, writer: the model.
          errors: where progress goes.

        Raises:
          PromptError, ChatError: as `Writer.write`.
        """
        check = self._checks[number]
        wanted = programs.wanted(request, asked.messages, loaded.conversation)
        with live_line(errors, "write", self._budget.attempts, waits_for="first") as line:
            written = 0

            def show(candidate: Candidate) -> None:
                nonlocal written
                written += 1
                told = "passed" if candidate.passed else candidate.failure
                # Without tests nothing has failed yet: candidates are compared when all are
                # written.
                told = "written" if check is None else told
                line.update(written, [told], record=f"attempt {candidate.number + 1}: ")

            if check is None:
                return self._agreed(asked, wanted, writer, show)
            return self._searched(wanted, check, writer, show)

    def _searched(
        self, wanted: Any, check: Check, writer: Writer, show: Callable[[Candidate], None]
    ) -> Chosen:
        found = search.search(writer, wanted, check, self._judge, self._budget, show)
        best = found.best
        written = len(found.candidates)
        if found.verified:
            tests = "the examples" if FLAGS.doctests else FLAGS.tests
            told = f"verified: passes {tests} (attempt {best.number + 1}, {found.seconds:.1f} s)"
        else:
            told = f"not verified: {best.failure} ({written} attempts, {found.seconds:.1f} s)"
        return Chosen(best.text, told, found.verified, best.failure, None, written, found.seconds)

    def _agreed(
        self, asked: Asked, wanted: Any, writer: Writer, show: Callable[[Candidate], None]
    ) -> Chosen:
        begin = time.monotonic()
        candidates = search.draw(writer, wanted, self._budget, show)
        text = _text_of(asked)
        programs = [one.program for one in candidates]
        found = behaviours(programs, last_function(text), examples_in(text), self._judge)
        # Without a function to call, each is alone.
        alike = largest_group(found.kinds) if found else [0]
        # The group's first: candidate 0 is written as asked, all others are drawn at random.
        best = candidates[alike[0]]
        agreeing = len(alike)
        told = "not run: no function was found to call"
        if found:
            told = (
                f"not verified: {agreeing} of {len(candidates)} candidates behave like this one on "
                f"{found.inputs} inputs of {found.function}"
            )
        seconds = time.monotonic() - begin
        return Chosen(best.text, told, False, "", agreeing, len(candidates), seconds)


def _text_of(asked: Asked) -> str:
    """Returns the text that a person wrote."""
    if asked.messages is None:
        return asked.text.prefix
    # Examples count where a person wrote them, not where a model answered.
    turns = [one.get("content") for one in asked.messages if one.get("role") != "assistant"]
    return "\n".join(turn if isinstance(turn, str) else json.dumps(turn) for turn in turns)


def _check(asked: Asked, source: str | None, number: int) -> Check | None:
    """Returns the check of a prompt; None where candidates are to agree."""
    if source is not None:
        return check_of_tests(source, FLAGS.tests, packages=FLAGS.allow_packages)
    if not FLAGS.doctests:
        return None
    try:
        return check_of_examples(examples_in(_text_of(asked)))
    except CheckError as error:
        raise CheckError(f"prompt {number}: {error}") from None
