"""Asks for a suite's solutions in a conversation: the user asks for a script, which is answered."""

import ast
import dataclasses
from collections.abc import Sequence

from hrm_jax.core.texts import Prompt
from hrm_jax.data.text.chat import ASSISTANT, Message
from hrm_jax.data.text.well_formed import parses
from hrm_jax.evaluation.suites.problems import Suite, SuiteError

_ASKED = "Write a self-contained Python script that solves this problem, in one block of code:"
_FENCE = "```"
_KEPT = (
    *(ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef),
    *(ast.Import, ast.ImportFrom, ast.Assign, ast.AnnAssign),
)


def in_chat_form(suite: Suite) -> Suite:
    """Returns a suite whose completions are the code of answers, whole programs each.

    What an answer has besides definitions, such as examples of their use, is left out, as is what
    does not parse at its end.

    Raises:
      SuiteError: its problems are not in Python, or have holes.
    """
    if suite.language != "python" or any(one.prompt.suffix is not None for one in suite.problems):
        raise SuiteError(
            f"--form=chat: expected Python without holes, got {suite.name}; leave it out"
        )
    # Answers are whole programs, so nothing is put around them.
    problems = tuple(dataclasses.replace(one, before="", after="") for one in suite.problems)
    return dataclasses.replace(
        suite, problems=problems, stop=(f"\n{_FENCE}",), finish=_without_usage
    )


def turns(prompt: Prompt) -> list[Message]:
    """Returns the conversation that asks for a problem's solution, up to the first line of code.

    The answer is begun with the mark of a block: models would explain at length before they write.
    """
    asked = f"{_ASKED}\n{_FENCE}python\n{prompt.prefix.strip()}\n{_FENCE}"
    return [
        {"role": "user", "content": asked},
        # With a sentence before the block fewer problems were solved.
        {"role": ASSISTANT, "content": f"{_FENCE}python\n"},
    ]


def _without_usage(prompt: str, completion: str) -> str:
    del prompt
    return definitions(completion)


def definitions(code: str) -> str:
    """Returns the definitions and imports of a module, up to where it no longer parses."""
    lines = code.split("\n")
    count = len(lines)
    while count and not parses("\n".join(lines[:count])):
        count -= 1
    lines = lines[:count]
    kept: list[str] = []
    for statement in ast.parse("\n".join(lines)).body:
        if isinstance(statement, _KEPT):
            # A definition's line is that of `def`; its decorators stand above.
            decorators: Sequence[ast.expr] = getattr(statement, "decorator_list", ())
            begin = min([statement.lineno, *(one.lineno for one in decorators)])
            kept += lines[begin - 1 : statement.end_lineno]
    return "\n".join(kept) + "\n"
