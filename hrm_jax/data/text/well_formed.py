"""Tells whether a text is well formed: Python that parses, or brackets that are all closed."""

import ast
import codeop
import functools
import re
import warnings

_NO_BRACKETS = re.compile(
    r"""//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'|`(?:\\.|[^`\\])*`""", re.DOTALL
)
_CLOSING = {"(": ")", "[": "]", "{": "}"}
_ALLOW_INCOMPLETE = (
    ast.PyCF_ONLY_AST | codeop.PyCF_ALLOW_INCOMPLETE_INPUT  # pyright: ignore[reportAttributeAccessIssue]
)
_UNFINISHED = "incomplete input"
# Besides errors of syntax, `compile` raises these for NUL characters and for nesting too deep.
_NOT_PYTHON = (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError)


@functools.lru_cache(maxsize=64)
def parses(text: str) -> bool:
    """Returns whether a text is Python."""
    with warnings.catch_warnings():
        # Strange escapes of what is checked are no concern of the caller.
        warnings.simplefilter("ignore")
        try:
            ast.parse(text)
        except _NOT_PYTHON:
            return False
    return True


def may_go_on(text: str) -> bool:
    """Returns whether a text is Python, or would be if it did not end where it does."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(text, "text.py", "exec", _ALLOW_INCOMPLETE)
        except SyntaxError as error:
            # What may still be completed has an error of its own.
            return error.msg == _UNFINISHED
        except _NOT_PYTHON:
            return False
    return True


@functools.lru_cache(maxsize=8)
def begins_python(text: str) -> bool:
    """Returns whether Python may begin with a text, which ends with a line."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            codeop.compile_command(text + "\n", symbol="exec")
        except _NOT_PYTHON:
            return False
    return True


@functools.lru_cache(maxsize=64)
def is_balanced(text: str) -> bool:
    """Returns whether all brackets of a text are closed, in comments and strings of C's kind aside.

    Brackets in what is no string of the language, such as an apostrophe's, may be missed.
    """
    # A stack of the brackets that have to close what is open.
    awaited = []
    for character in _NO_BRACKETS.sub("", text):
        if character in _CLOSING:
            awaited.append(_CLOSING[character])
        elif character in ")]}" and (not awaited or awaited.pop() != character):
            return False
    return not awaited
