"""Finds what somebody wants written and verified, in Python.

`editors/vscode/src/core/definitions.ts` follows the same rules.
"""

import builtins
import re
from collections.abc import Sequence
from typing import NamedTuple

from hrm_jax.editing.shaping import indentation

_DEFINITION = re.compile(r"[ \t]*(?:async[ \t]+)?def[ \t]")
_TESTS = re.compile(
    r"^[ \t]*(?:(?:async[ \t]+)?def[ \t]+test|class[ \t]+\w*Test|assert\b)", re.MULTILINE
)
_IMPORT = re.compile(r"(?:import|from)[ \t]")
_DOCSTRING = re.compile(r"[ \t]*[rRuU]?(\"\"\"|''')")
_HEAD_END = re.compile(r":[ \t]*(?:#.*)?$")
_CALLED = re.compile(r"(?<![\w.])([A-Za-z_]\w*)\(")
_DEFINED = re.compile(r"\b(?:def|class)[ \t]+(\w+)")
_FENCED = re.compile(
    r"^[ \t]*(?P<fence>```+|~~~+)[ \t]*(?P<kind>\w*)[^\n]*\n"
    r"(?P<code>.*?)(?:^[ \t]*(?P=fence)[ \t]*$|\Z)",
    re.MULTILINE | re.DOTALL,
)
_PYTHON = ("python", "py", "python3")


class Target(NamedTuple):
    """What is wanted, and where the answer belongs.

    Attributes:
      prompt: what a function begins with, up to the end of its docstring; or an instruction.
      tests: what has to pass; None for the examples in the prompt's docstring.
      begin: the first line that the answer replaces, from 0.
      end: the line behind the last one; `begin` where it replaces none.
      margin: white space that the answer's lines begin with.
    """

    prompt: str
    tests: str | None
    begin: int
    end: int
    margin: str


def target_of(text: str, first: int, last: int) -> Target | None:
    """Returns what is wanted of a selection, or None where it has nothing that could be verified.

    That is the code that passes the tests in it, or the body of the function whose docstring is in
    it or around it.

    Args:
      text: of the document, whose lines end with `\\n`.
      first: line of the selection, from 0.
      last: line of it; lines are taken whole.
    """
    lines = text.split("\n")
    selected = "\n".join(lines[first : last + 1])
    # Tests come first: a selection with both is about the code that they call.
    if not _TESTS.search(selected):
        return _of_docstring(lines, first, last)
    margin = _margin_of(selected)
    tests = _without(margin, selected)
    names = [f"`{name}`" for name in _names_called(tests)]
    what = f"in Python {', '.join(names)}" if names else "the Python code that is tested"
    instruction = (
        f"Write {what}. These tests have to pass:\n\n```python\n{tests}\n```\n\n"
        "Answer with the code alone, in one block, without the tests."
    )
    return Target(instruction, tests, first, first, margin)


def insertion(target: Target, answer: str) -> str:
    """Returns the text that an answer puts into the document, which ends with a line's end."""
    is_of_tests = target.tests is not None
    code = f"{code_in(answer).strip()}\n\n" if is_of_tests else answer.rstrip()
    lines = [target.margin + line if line else "" for line in code.split("\n")]
    return "\n".join(lines) + "\n"


def code_in(answer: str) -> str:
    """Returns the code of an answer: its blocks of Python, or of no language, or all of it."""
    blocks = [(found["kind"].lower(), found["code"]) for found in _FENCED.finditer(answer)]
    for kinds in (_PYTHON, ("",)):
        codes = [code for kind, code in blocks if kind in kinds]
        if codes:
            return "\n".join(codes)
    return answer


def _names_called(tests: str) -> list[str]:
    """Returns what tests call that is neither theirs, nor Python's own, nor an attribute."""
    known = {*_DEFINED.findall(tests), *dir(builtins)}
    return list(dict.fromkeys(name for name in _CALLED.findall(tests) if name not in known))


def _of_docstring(lines: Sequence[str], first: int, last: int) -> Target | None:
    definition = _definition_at(lines, first, last)
    docstring = None if definition is None else _docstring_end(lines, definition)
    if definition is None or docstring is None:
        return None
    # What is selected before the function is what it needs.
    head = "\n".join(lines[min(first, definition) : docstring + 1])
    margin = _margin_of(head)
    imports = [line for line in lines[:definition] if _IMPORT.match(line) and line not in head]
    prompt = "\n".join([*imports, _without(margin, head), ""])
    # What the function's body was is replaced, its head and docstring stay.
    begin = docstring + 1
    end = _body_end(lines, begin, indentation(lines[definition]))
    return Target(prompt, None, begin, end, margin)


def _definition_at(lines: Sequence[str], first: int, last: int) -> int | None:
    """Returns the line of the last function that begins in a selection, or the one around it."""
    written = [line for line in lines[: last + 1] if line.strip()]
    # By the last line with text: the cursor may stand on a blank line within the function.
    inside = indentation(written[-1]) if written else 0
    for at in range(min(last, len(lines) - 1), -1, -1):
        is_meant = at >= first or indentation(lines[at]) < inside
        if _DEFINITION.match(lines[at]) and is_meant:
            return at
    return None


def _docstring_end(lines: Sequence[str], definition: int) -> int | None:
    """Returns the last line of a function's docstring, or None where it has none."""
    # The parameters may take several lines.
    for begin in range(definition + 1, len(lines)):
        found = _DOCSTRING.match(lines[begin])
        if found:
            rest = lines[begin][found.end() :]
            if found[1] in rest:
                return begin
            ends = (at for at in range(begin + 1, len(lines)) if found[1] in lines[at])
            return next(ends, None)
        # The head has ended and its body does not begin with a docstring.
        if lines[begin].strip() and _HEAD_END.search(lines[begin - 1]):
            return None
    return None


def _body_end(lines: Sequence[str], begin: int, column: int) -> int:
    """Returns the line behind the last one of a block whose head has an indentation."""
    end = begin
    for at in range(begin, len(lines)):
        if lines[at].strip():
            if indentation(lines[at]) <= column:
                break
            end = at + 1
    return end


def _margin_of(text: str) -> str:
    """Returns the white space that all lines with text begin with."""
    lines = [line for line in text.split("\n") if line.strip()]
    return lines[0][: min(map(indentation, lines))] if lines else ""


def _without(margin: str, text: str) -> str:
    return "\n".join(line[len(margin) :] for line in text.split("\n"))
