"""Tells whether text is free of syntax errors.

Python is parsed by Python, other languages by the grammars of tree-sitter (extra `codegen`).
"""

import functools
from collections.abc import Iterator, Sequence
from typing import Any

from hrm_jax.data.text import well_formed
from hrm_jax.evaluation.judge.toolchains import LANGUAGES, Language

_GRAMMARS: dict[Language, str] = {
    "js": "javascript",
    "java": "java",
    "cpp": "cpp",
    "c": "c",
    "rust": "rust",
    "go": "go",
    "bash": "bash",
}
_CLOSING = {"(": ")", "[": "]", "{": "}"}


def parse_rate(texts: Sequence[str], language: Language, *, cut: Sequence[bool] = ()) -> float:
    """Returns the share of texts that parse, in [0, 1]; 0 of none.

    Args:
      texts: whole programs or files.
      language: of all of them.
      cut: of each text, whether its end is missing, as where a generation ran out of tokens; all
        are whole if empty. See `parses`.

    Raises:
      ValueError: `cut` has another length, or `language` is unknown.
      ImportError: the language's grammar is not installed.
    """
    if cut and len(cut) != len(texts):
        raise ValueError(f"cut: expected {len(texts)} values, one for each text, got {len(cut)}")
    ends = cut or [False] * len(texts)
    right = [parses(text, language, cut=end) for text, end in zip(texts, ends, strict=True)]
    return sum(right) / len(right) if right else 0.0


def parses(text: str, language: Language, *, cut: bool = False) -> bool:
    """Returns whether a text is free of syntax errors.

    Args:
      text: a whole program or file.
      language: its language.
      cut: the text ends anywhere. Its last line is then left out, which may stop within a word,
        and what is open before it (blocks, brackets, a docstring) is unfinished, not wrong.

    Raises:
      ValueError, ImportError: as `parse_rate`.
    """
    if language not in LANGUAGES:
        raise ValueError(f"language: expected one of {', '.join(LANGUAGES)}, got {language!r}")
    if cut:
        text = text.rpartition("\n")[0]
    if language == "python":
        return well_formed.may_go_on(text) if cut else well_formed.parses(text)
    parser = _parser(_GRAMMARS[language])
    root = parser.parse(text.encode("utf-8", errors="replace")).root_node
    if cut and root.has_error:
        # A grammar reports what is still open as an error, so brackets are closed and the text is
        # parsed again.
        closed = text + "\n" + _closing(root)
        root = parser.parse(closed.encode("utf-8", errors="replace")).root_node
    return not root.has_error


@functools.cache
def _parser(grammar: str) -> Any:
    try:
        from tree_sitter_language_pack import get_parser
    except ImportError as error:
        raise ImportError(
            f"parsing {grammar} expects tree-sitter-language-pack; pip install 'hrm-jax[codegen]'"
        ) from error
    return get_parser(grammar)  # pyright: ignore[reportArgumentType]


def _closing(root: Any) -> str:
    """Returns the closing brackets of what is open at the end, innermost first.

    Brackets within strings and comments are part of other leaves, and do not count.
    """
    stack = []
    for kind in _leaves(root):
        if kind in _CLOSING:
            stack.append(_CLOSING[kind])
        elif stack and kind == stack[-1]:
            stack.pop()
    return "".join(reversed(stack))


def _leaves(root: Any) -> Iterator[str]:
    """Yields the kinds of the leaves that are in the text, in its order.

    Leaves that the parser added to repair an error are left out.
    """
    # A stack rather than recursion, which deep trees would exhaust.
    waiting = [root]
    while waiting:
        node = waiting.pop()
        if node.child_count:
            waiting.extend(reversed(node.children))
        elif not node.is_missing:
            yield node.type
