"""Finds examples in what a person asks for: in docstrings, as `doctest` writes them or in prose.

People write `>>> double(2)` with the answer below it, `double(2) == 4`, `double(2) -> 4`,
`double(2) returns 4`, an assert, `for n = 2 the output should be 4`, or `Input: n = 2` above
`Output: 4`. Whatever cannot be read for sure is left out.
"""

import ast
import contextlib
import dataclasses
import doctest
import re
import textwrap
import warnings
from collections.abc import Iterator

from hrm_jax.data.text.well_formed import parses


@dataclasses.dataclass(frozen=True)
class Example:
    """An example in Python.

    Attributes:
      source: an expression or statements.
      want: what it prints, with a line end; empty where nothing is said.
      error: the exception that it raises, a line as a traceback ends with; None for none.
      options: flags of `doctest`, or together.
    """

    source: str
    want: str = ""
    error: str | None = None
    options: int = 0


_BETWEEN = re.compile(
    r"`?\s*(?:={1,2}>|-{1,2}>|==?|➞|→|⇒|#\s*(?:=>|->|returns?)?"
    r"|(?:,\s*)?(?:it\s+)?(?:should|must|will|would)?\s*(?:return|equal|be|give|output)s?"
    r"(?:\s+equal)?(?:\s+to)?:?)\s*"
)
"""What stands between a call and its value."""
_BEHIND = re.compile(r"\s*(?:$|[.,;#`(]|//|(?:because|since|as|and|if|where)\b)")
"""What may follow the value in its line."""
_INPUT = re.compile(r"^[ \t]*input[ \t]*:(.+?)\n\s*output[ \t]*:", re.I | re.M | re.S)
_GIVEN = re.compile(
    r"\bfor\s+(.+?),?\s+the\s+(?:output|result|answer)\s+(?:should\s+be|is)\b:?", re.I
)
_ASSIGNED = re.compile(r"(?:^|[\s,;])(\w+)\s*=(?!=)")
_PROMPT = re.compile(r"^[ \t]*>>>", re.MULTILINE)
_DEFINES = re.compile(r"^[ \t]*(?:async\s+)?def\s+(\w+)\s*\(([^()]*)", re.MULTILINE)
_DOCSTRING = re.compile(r'([rR]?)("""|\'\'\')(.*?)(?:\2|\Z)', re.DOTALL)
# What is raised for texts that are no literals, or too deep for the parser.
_NOT_LITERAL = (ValueError, SyntaxError, MemoryError, RecursionError, TypeError)


def examples_in(text: str) -> list[Example]:
    """Returns the examples in a text, usually code that ends within a function.

    Args:
      text: code with docstrings, or a request in prose with code in it.
    """
    functions = _DEFINES.findall(text)
    found: list[Example] = []
    # Of code the docstrings are read; a request without any is read whole.
    for part in _docstrings(text) or [text]:
        # Who writes prompts means these: prose around them is not searched.
        if _PROMPT.search(part):
            found += _doctests(part)
            continue
        found += _asserts(part)
        # A request without code names no function: then any call counts.
        found += _calls(part, functions[-1][0] if functions else r"[A-Za-z_]\w*")
        if functions:
            found += _inputs(part, *functions[-1])
    return list(dict.fromkeys(found))


def _docstrings(text: str) -> list[str]:
    """Returns the values of the texts in three quotes, the last of which may be open."""
    found = []
    for raw, quotes, inner in _DOCSTRING.findall(text):
        value = inner
        # Where a line end is written in an example, the author forgot that the docstring is no raw
        # one: what is written is meant.
        if not (_PROMPT.search(inner) and "\\n" in inner):
            with warnings.catch_warnings():  # of strange escapes
                warnings.simplefilter("ignore")
                with contextlib.suppress(*_NOT_LITERAL):
                    value = ast.literal_eval(f"{raw}{quotes}{inner}{quotes}")
        found.append(value)
    return found


def _doctests(text: str) -> Iterator[Example]:
    try:
        examples = doctest.DocTestParser().get_examples(textwrap.dedent(text))
    except ValueError:  # white space that is inconsistent
        return
    for example in examples:
        source = example.source.rstrip("\n")
        if not parses(source):
            continue
        body = ast.parse(source).body
        compares = len(body) == 1 and isinstance(getattr(body[0], "value", None), ast.Compare)
        # Below `>>> f(1) == 2` people leave the answer out, which is True.
        if compares and isinstance(body[0], ast.Expr) and not example.want:
            yield Example(f"assert {source}")
        else:
            options = sum(flag for flag, on in example.options.items() if on)
            yield Example(source, example.want, example.exc_msg, options)


def _asserts(text: str) -> list[Example]:
    lines = (line.strip() for line in text.split("\n"))
    return [Example(line) for line in lines if line.startswith("assert ") and parses(line)]


def _calls(text: str, name: str) -> Iterator[Example]:
    """Yields calls with their values, in prose: `double(2) == 4`."""
    for match in re.finditer(rf"(?<![\w.]){name}\(", text):
        line_begin = text.rfind("\n", 0, match.start()) + 1
        # Asserts are found by `_asserts`, and a definition is no call.
        if text[line_begin : match.start()].lstrip().startswith(("assert", "def ")):
            continue
        call = _call_at(text, match.start())
        between = _BETWEEN.match(text, match.start() + len(call)) if call else None
        value = None if between is None else _literal_at(text, between.end())
        if call and value is not None:
            yield Example(call, f"{value}\n")


def _inputs(text: str, name: str, parameters: str) -> Iterator[Example]:
    """Yields calls whose arguments are named in prose: `Input: n = 2`, and below `Output: 4`.

    Args:
      text: the prose.
      name: of the function.
      parameters: what stands between its brackets.
    """
    # The names, without annotations and defaults.
    known = [re.split(r"[:=]", one)[0].strip() for one in parameters.split(",")]
    for match in (*_INPUT.finditer(text), *_GIVEN.finditer(text)):
        given = match[1].strip()
        value = _literal_at(text, match.end())
        parts = [one for one in _ASSIGNED.finditer(given) if one[1] in known]
        ends = [*(one.start() for one in parts[1:]), len(given)]
        # Without any part there is one end, that of the text.
        values = [
            given[one.end() : end].strip(" ,;\n\t") for one, end in zip(parts, ends, strict=False)
        ]
        # The value of a single parameter may stand without its name.
        if not parts and len(known) == 1:
            values = [given]
        if value is None or not values or not all(map(_is_literal, values)):
            continue
        names = [one[1] for one in parts]
        arguments = [f"{key}={one}" for key, one in zip(names, values, strict=False)] or values
        yield Example(f"{name}({', '.join(arguments)})", f"{value}\n")


def _call_at(text: str, begin: int) -> str | None:
    """Returns the call with literal arguments that begins somewhere, or None."""
    # The first closing bracket may be one within the arguments.
    end = text.find(")", begin)
    while end >= 0 and end - begin < 1000:
        call = text[begin : end + 1]
        try:
            node = ast.parse(call, mode="eval").body
        except _NOT_LITERAL:
            end = text.find(")", end + 1)
            continue
        return call if isinstance(node, ast.Call) and _has_literals(node) else None
    return None


def _has_literals(call: ast.Call) -> bool:
    values = [*call.args, *(keyword.value for keyword in call.keywords)]
    return all(_is_literal(ast.unparse(value)) for value in values)


def _literal_at(text: str, begin: int) -> str | None:
    """Returns the literal that stands somewhere in a text, as far as its line goes; or None."""
    line = text[begin:].partition("\n")[0]
    words = {"true": "True", "false": "False", "null": "None"}
    # The longest first, as a shorter one may be a part of it.
    for end in range(len(line), 0, -1):
        literal = line[:end].strip().strip("`")
        literal = words.get(literal, literal)
        if literal.endswith(".") and _is_literal(literal[:-1]):
            continue  # the end of a sentence
        if _BEHIND.match(line, end) and _is_literal(literal):
            return literal
    return None


def _is_literal(text: str) -> bool:
    """Returns whether a text is one literal and nothing else; `1, 2` may be two of them."""
    text = text.strip()
    try:
        value = ast.parse(text, mode="eval").body
        ast.literal_eval(value)
    except _NOT_LITERAL:
        return False
    # A comment behind it is no part of it.
    whole = value.end_lineno, value.end_col_offset
    lines = text.split("\n")
    bare_tuple = isinstance(value, ast.Tuple) and not text.startswith("(")
    return whole == (len(lines), len(lines[-1].encode())) and not bare_tuple
