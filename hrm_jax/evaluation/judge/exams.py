"""Exams and verdicts: what a judge is given, and what it returns."""

import dataclasses
from typing import Literal

from hrm_jax.evaluation.judge.toolchains import Language
from hrm_jax.evaluation.sandbox.limits import MEBIBYTE, Limits

Result = Literal["passed", "failed", "compile", "time", "memory", "output"]
"""`failed`: a wrong answer, an exception or an early end. `compile`: it does not compile. The
others name the limit that was exceeded."""


COMPILER = Limits(
    cpu_seconds=60,
    wall_seconds=120.0,
    memory_bytes=2048 * MEBIBYTE,
    address_space=False,
    processes=128,
    file_bytes=128 * MEBIBYTE,
)
"""Limits of a compiler."""


@dataclasses.dataclass(frozen=True)
class Exam:
    """A program and the tests it must pass.

    Attributes:
      language: of all of it.
      program: what the model wrote, with what it was to continue; untrusted.
      tests: source text that fails unless the program is right; trusted, as all below.
      remote: names that the tests take from the program. Only Python has more than one.
      reference: source text of the problem's own solution, from which the tests take all other
        names, and which tells compilers what the program is to look like.
    """

    language: Language
    program: str
    tests: str
    remote: tuple[str, ...]
    reference: str = ""


@dataclasses.dataclass(frozen=True)
class Verdict:
    """The result of an exam.

    Attributes:
      result: `passed`, or why not.
      detail: a message of one line or a few; untrusted text.
      seconds: wall-clock time, compiling included.
      right, total: how many of how many tests passed, where a failed exam counts them; else 0.
    """

    result: Result
    detail: str
    seconds: float
    right: int = 0
    total: int = 0

    @property
    def passed(self) -> bool:
        """Whether the program is right, as far as the tests can tell."""
        return self.result == "passed"


@dataclasses.dataclass(frozen=True)
class Bounds:
    """Limits of the commands that judge an exam.

    Attributes:
      run: of a program.
      compile: of a compiler.
    """

    run: Limits = dataclasses.field(default_factory=Limits)
    compile: Limits = COMPILER
