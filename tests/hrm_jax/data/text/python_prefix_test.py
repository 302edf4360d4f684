import ast
import inspect
import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.data.text import holes, python_prefix
from hrm_jax.data.text.python_prefix import Place, is_viable, scan
from hrm_jax.data.text.well_formed import parses

EVERYTHING = '''
from __future__ import annotations

import os.path as path, sys
from . import (a, b as c,)

@decorated(x)
@twice
async def f(a, /, b: int = 0, *args, c=1, **kwargs) -> None:
    """Says \\"what\\" it does.

    A 'quote', a "quote" and a # sign. (
    """
    global g
    x: int = 0x1f + 1_000 - 1e-3 * .5 // 2j ** -1 % ~y @ z
    x <<= 1; y = not x is not None and a not in b or c != d
    async with a as b, c:
        await f(*args, **kwargs)
    try:
        assert x, f"{x!r:>{width}} {{}} {y['a']}"
    except (ValueError, TypeError) as error:
        raise Other from error
    else:
        return
    finally:
        del x[0], y.z
    while (n := n - 1) >= 0:
        if n: continue
        elif m: break
        else:
            yield from [i for i in range(3) if i if not i]
    else:
        print('a' "b" u"d", rb'c\\'', sep='')  # a comment: 'it' (
    return lambda *, x=1: {**a, 'b': {1, 2}, 3: x if y else z}[1:2, ..., ::3]

try:
    pass
except* Group:
    pass
match x:
    case {"a": [1, *_], **rest} if x:
            pass
    case A(b=1) | None:
        pass
class A(B, metaclass=C):
\tx = \\
\t    1
\tdef g(self):
\t\t...
for x, in ((1,),): pass
if x: y = 1
elif z: pass
else: (
  a
)
'''


def of_library(number: int) -> str:
    return (inspect.getsource(ast), inspect.getsource(textwrap), inspect.getsource(holes))[number]


def test_all_beginnings_of_a_program_are_viable():
    assert parses(EVERYTHING)
    for end in range(len(EVERYTHING) + 1):
        assert is_viable(EVERYTHING[:end]), EVERYTHING[:end][-40:]


@pytest.mark.parametrize(
    "text",
    [
        """f"{x!r:>{width}} {x:%Y-%m-%d} {{ {x=:} {y:{'a'}} }}" """,
        "rf'{x:\\d}'",
        "f'{x:\\x41<5}'",
        'f"""{x:>{y}}\n{z!s:\n}"""',
    ],
    ids=["fields in fields", "raw", "escapes", "of several lines"],
)
def test_all_beginnings_of_strings_with_fields_are_viable(text):
    assert parses(text)
    for end in range(len(text) + 1):
        assert is_viable(text[:end]), text[:end]


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2), st.integers(0, 12_000))
def test_beginnings_of_real_programs_are_viable(number, end):
    text = of_library(number)[:end]
    # Spaces before an indented comment are an exception: no statement may follow them.
    line = text.rpartition("\n")[2]
    is_comment = of_library(number)[end:].lstrip(" ").startswith("#")
    assert is_viable(text) or (not line.strip() and is_comment)


@pytest.mark.parametrize(
    "text",
    [
        "x = 5 5",
        "x = 5 retur",
        "x = 5 'a",
        "print foo",
        "f(x) = ",
        "x = 1 +\n",
        "x = )",
        "(a b",
        "x = [1, 2}",
        "a ? b",
        "def f(x)\n",
        "def f(:",
        "if x:\ny",
        "if x:\n    a\n  b",
        "x = 1\n    ",
        "x = 1\n  y",
        "@f\nx",
        "try:\n    x\ny",
        "else:",
        "x = 1\nelif ",
        "x = 'a\n",
        "f'{x y}'",
        "f'{x:}}",
        "f'{x!r:' and ",
        "f'{x y} and ",
        "'\\x4g",
        "for in ",
        "import a. as ",
        "a\0",
        "(" * 999,
        "x = 1__0 ",
        "```python",
        "Here is the program",
        "x = 1 \\ ",
    ],
)
def test_what_no_program_begins_with(text):
    assert not is_viable(text)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(EVERYTHING)), st.text("a1 \n\t(['\":=,.#f{}\\", max_size=3))
def test_what_does_not_begin_a_program_does_not_begin_a_longer_one(end, added):
    text = EVERYTHING[:end]
    viable = [is_viable(text + added[:length]) for length in range(len(added) + 1)]
    # Spaces that are too deep for a statement may come before a comment, or a line's end.
    if not any((text + added[:n]).rpartition("\n")[2].isspace() for n in range(len(added) + 1)):
        assert viable == sorted(viable, reverse=True)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, len(EVERYTHING)), st.integers(0, len(EVERYTHING)))
def test_scanning_goes_on_from_a_line(first, second):
    first, second = sorted((first, second))
    since = scan(EVERYTHING[:first]).line
    assert scan(EVERYTHING[:second], since).end == scan(EVERYTHING[:second]).end
    assert EVERYTHING[since.at] == "\n" or since == Place()


def test_a_place_says_what_it_is_within():
    assert scan("x = (['a', '''b\n").end[1:4] == (2, "'''", 11)
    assert scan("x = 1  # it's (").end.in_comment
    assert scan("x\n@f\ndef g(): pass\nelse:\ny").end[-2:] == (25, 5)
    assert python_prefix.scan("").end == Place()
