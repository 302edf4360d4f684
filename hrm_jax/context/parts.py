"""Splits source files into parts: definitions, and what stands between them.

Grammars are tree-sitter's (extra `codegen` or `editor`), which agree in what matters here: a
definition has a field `name` or `declarator`, and what it does stands in its field `body`.
"""

import functools
from collections.abc import Iterator
from typing import Any, NamedTuple

MOST_LINES = 12
"""Lines of a part; what is longer is split."""
_GRAMMARS = {
    "python": "python",
    "javascript": "javascript",
    "typescript": "typescript",
    "java": "java",
    "c": "c",
    "c++": "cpp",
    "go": "go",
    "rust": "rust",
    "c#": "csharp",
    "ruby": "ruby",
    "php": "php",
    "kotlin": "kotlin",
    "lua": "lua",
}


class Part(NamedTuple):
    """Lines of a file.

    Attributes:
      name: what they define; empty for nothing, or for the rest of a long definition.
      text: the lines, as they stand there.
      line: the first one's number, from 0.
    """

    name: str
    text: str
    line: int


def parts_of(text: str, language: str | None) -> list[Part]:
    """Returns the parts of a file in its order: every line that is not blank is in one of them.

    A text whose language has no grammar here is split into blocks of lines.

    Args:
      text: the file's.
      language: as `languages.language_of` tells it.
    """
    lines = text.split("\n")
    parser = parser_of(language)
    if parser is None:
        return list(_blocks("", lines, 0, len(lines)))
    # Halves of pairs, which an editor may have cut, have no bytes.
    root = parser.parse(text.encode(errors="replace")).root_node
    try:
        return list(_split("", root, lines, 0, len(lines)))
    except RecursionError:
        # Hundreds of definitions within each other, which nobody writes.
        return list(_blocks("", lines, 0, len(lines)))


@functools.cache
def parser_of(language: str | None) -> Any:
    """Returns what parses a language, or None where no grammar is known or installed."""
    grammar = _GRAMMARS.get(language or "")
    if grammar is None:
        return None
    try:
        from tree_sitter_language_pack import get_parser
    except ImportError:
        return None
    return get_parser(grammar)  # pyright: ignore[reportArgumentType]


def _split(name: str, node: Any, lines: list[str], begin: int, end: int) -> Iterator[Part]:
    """Yields the parts of some lines, among which a node's definitions stand."""
    at = begin
    for inner in _definitions(node):
        first = inner.start_point[0]
        behind = min(inner.end_point[0] + 1, end)
        if first < at:
            continue  # on the last line of the one before
        yield from _blocks(name, lines, at, first)
        # The outer definition's name is given once: to the lines before, where there are any.
        name = "" if first > at else name
        own_name = _name(_bare(inner))
        # A long definition is split at those within it, methods of a class among them.
        if behind - first <= MOST_LINES:
            yield from _blocks(own_name, lines, first, behind)
        else:
            yield from _split(own_name, _bare(inner), lines, first, behind)
        at = behind
    yield from _blocks(name, lines, at, end)


def _blocks(name: str, lines: list[str], begin: int, end: int) -> Iterator[Part]:
    """Yields lines in blocks without blank lines at their ends; the first one has the name."""
    for first in range(begin, end, MOST_LINES):
        block = lines[first : min(first + MOST_LINES, end)]
        # Blank lines at both ends are left out; the line's number counts those before.
        while block and not block[-1].strip():
            block.pop()
        blank = next((i for i, line in enumerate(block) if line.strip()), 0)
        if block:
            yield Part(name if first == begin else "", "\n".join(block[blank:]), first + blank)


def _definitions(node: Any) -> Iterator[Any]:
    """Yields the outermost definitions below a node, in order."""
    # Not by recursion: a sum of a thousand texts is a thousand nodes within each other.
    waiting = node.named_children[::-1]
    while waiting:
        child = waiting.pop()
        if _is_definition(child):
            yield child
        else:
            waiting += child.named_children[::-1]  # of a namespace, a template, a condition


def _bare(node: Any) -> Any:
    """Returns the definition within what decorates or exports it."""
    while (held := _held(node)) is not None:
        node = held
    return node


def _held(node: Any) -> Any:
    return node.child_by_field_name("definition") or node.child_by_field_name("declaration")


def _is_definition(node: Any) -> bool:
    bare = _bare(node)
    return bare.child_by_field_name("body") is not None and bool(_name(bare))


def _name(node: Any) -> str:
    """Returns what a definition defines; empty where it is none."""
    # C and C++ nest declarators (a pointer to a function ...) around the name.
    while node is not None:
        named = node.child_by_field_name("name")
        if named is not None:
            return named.text.decode(errors="replace")
        inner = node.child_by_field_name("declarator")
        if inner is None and node.type.endswith("identifier"):
            return node.text.decode(errors="replace")
        node = inner
    return ""
