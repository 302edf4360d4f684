"""Exercises: functions of a corpus, to be written from their signature and docstring."""

import ast
import warnings
from collections.abc import Iterable, Iterator

from hrm_jax.data.text.source import Text


def exercises(texts: Iterable[Text], longest_bytes: int = 0) -> list[Text]:
    """Returns the outer functions of Python files that have a docstring and a body, in order.

    An exercise is to continue `prefix`, the function from `def` to the end of its docstring, with
    `text`, its body, which begins with the line's end: this is how HumanEval asks, and where
    tokenizers cut. Decorators and comments before the function are left out.

    Args:
      texts: files; those in other languages, or that this Python cannot parse, have no exercises.
      longest_bytes: most bytes of prefix and body together; 0 for no limit.
    """
    files = (text.text for text in texts if text.language == "python")
    found = (task for file in files for task in _of_file(file))
    return [
        task
        for task in found
        if not longest_bytes or len((task.prefix + task.text).encode()) <= longest_bytes
    ]


def _of_file(file: str) -> Iterator[Text]:
    # With \n alone as line end, splitting at it gives the same lines as the parser counts.
    file = file.replace("\r\n", "\n").replace("\r", "\n")
    try:
        with warnings.catch_warnings():  # of strange escapes
            warnings.simplefilter("ignore")
            tree = ast.parse(file)
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # nested beyond the parser
        return
    lines = file.split("\n")  # as the parser counts
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and ast.get_docstring(node) and len(node.body) > 1:
            docstring_end = node.body[0].end_lineno
            # The body begins on a line of its own below the docstring; one behind a semicolon is no
            # exercise.
            begin = node.body[1].lineno
            assert docstring_end is not None
            if begin > docstring_end:  # and not behind a semicolon
                head = lines[node.lineno - 1 : docstring_end]
                body = lines[docstring_end : node.end_lineno]
                yield Text("\n".join(["", *body, ""]), "\n".join(head), "python")
