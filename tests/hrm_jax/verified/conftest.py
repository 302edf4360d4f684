"""A judge, and a model that writes what it is told."""

import dataclasses
from collections.abc import Mapping

import pytest

from hrm_jax.evaluation.judge.exams import Bounds
from hrm_jax.evaluation.judge.judge import Judge
from hrm_jax.evaluation.sandbox.base import SandboxUnavailable
from hrm_jax.evaluation.sandbox.isolation import find_sandbox
from hrm_jax.evaluation.sandbox.limits import Limits
from hrm_jax.inference.text.requests import Piece


@pytest.fixture(scope="session")
def judge():
    """A judge of Python with small limits."""
    try:
        sandbox = find_sandbox()
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    return Judge.of("python", sandbox, Bounds(Limits(cpu_seconds=3, wall_seconds=20.0)), 2)


@dataclasses.dataclass
class Scripted:
    """A writer that writes texts by seed, and keeps the requests.

    Attributes:
      texts: what is written for each seed; those without one get the last.
      batch_size: as a writer's.
      room: longest prompt, in characters.
    """

    texts: Mapping[int, str]
    batch_size: int = 4
    room: int = 10**6
    requests: list = dataclasses.field(default_factory=list)

    def fits(self, request):
        return len(request.prompt.prefix) <= self.room

    def write(self, requests):
        self.requests += requests
        for number, request in enumerate(requests):
            text = self.texts.get(request.seed, list(self.texts.values())[-1])
            yield Piece(number, text[:3], 1, None)
            yield Piece(number, text[3:], 1, "end")


@pytest.fixture
def scripted():
    """The class of writers that write what they are told."""
    return Scripted
