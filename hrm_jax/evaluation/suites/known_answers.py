"""Completers that look answers up: they calibrate the judge, and replace models in tests."""

import dataclasses
from collections.abc import Mapping, Sequence

from hrm_jax.core.texts import Prompt
from hrm_jax.evaluation.suites.problems import Suite, SuiteError


@dataclasses.dataclass(frozen=True)
class KnownAnswers:
    """A completer that looks prompts up.

    Attributes:
      answers: completion by prompt.
    """

    answers: Mapping[Prompt, str]

    def __call__(
        self,
        prompts: Sequence[Prompt],
        *,
        seeds: Sequence[int],
        stop: Sequence[str],
        max_tokens: int,
    ) -> list[str]:
        """Returns the answers in full, without regard to `stop` and `max_tokens`; see `Completer`.

        Raises:
          KeyError: a prompt is unknown.
        """
        del seeds, stop, max_tokens
        return [self.answers[prompt] for prompt in prompts]


def canonical(suite: Suite) -> KnownAnswers:
    """Returns a completer with the suite's own solutions."""
    return _table(suite, {p.task_id: p.canonical for p in suite.problems})


def buggy(suite: Suite) -> KnownAnswers:
    """Returns a completer with the suite's wrong solutions.

    Raises:
      SuiteError: the suite has none for some problem.
    """
    answers = {p.task_id: p.buggy for p in suite.problems if p.buggy is not None}
    if len(answers) < len(suite.problems):
        raise SuiteError(f"{suite.name} has no buggy solutions; the suites humanevalpack_* have")
    return _table(suite, answers)


def _table(suite: Suite, answers: Mapping[str, str]) -> KnownAnswers:
    table = {problem.prompt: answers[problem.task_id] for problem in suite.problems}
    if len(table) < len(suite.problems):
        raise SuiteError(f"{suite.name}: expected prompts that differ, got some twice")
    return KnownAnswers(table)
