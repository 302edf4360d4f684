"""Ends of fills: real cases, and what holds for any text in any pieces."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.data.text.holes import Fill, Hole

CODE = (
    "import os\n\n\ndef f(values, least):\n    total = 0\n    for value in values:\n"
    "        if value > least:\n            total += value\n        else:\n            total -= 1\n"
    "    return total\n\n\ndef g(x):\n    return f(x, [1, 2])\n"
)
REST = "\n\n\ndef test():\n    assert f([1], 0) == 1\n"


def filled(prefix: str, suffix: str, written: str, **asked) -> str:
    """The fill of a text that was cut by its number of tokens."""
    hole = Hole(prefix, suffix, **asked)
    length, over = hole.measure(written, cut=True)
    assert over
    return written[:length]


@pytest.mark.parametrize("line", [5, 6, 7, 8])
def test_a_line_left_out_is_found_in_what_goes_on_as_the_original(line):
    lines = CODE.splitlines(keepends=True)
    prefix = "".join(lines[:line])
    written = "".join(lines[line:]) + REST
    assert filled(prefix, "".join(lines[line + 1 :]), written) == lines[line]
    several = filled(prefix, "".join(lines[line + 3 :]), written)
    assert several.rstrip() == "".join(lines[line : line + 3]).rstrip()
    # The same hole in an empty line, as in an editor, with its indentation typed or not.
    suffix = "\n" + "".join(lines[line + 1 :])
    assert filled(prefix, suffix, written) == lines[line].rstrip("\n")
    indentation = lines[line][: -len(lines[line].lstrip())]
    typed = filled(prefix + indentation, suffix, written.removeprefix(indentation))
    assert typed == lines[line].strip()


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_span_left_out_is_found_in_what_goes_on_as_the_original(data):
    # Within one function, from any character to any other one in the same line or a later one.
    first, last = CODE.index("    total"), CODE.index("    return total")
    begin = data.draw(st.integers(first, last - 1))
    end = data.draw(st.integers(begin + 1, last))
    found = filled(CODE[:begin], CODE[end:], CODE[begin:] + REST)
    # White space at its end may go either way, and shorter fills are those that also fit.
    assert CODE[begin:end].startswith(found.rstrip()) or found.rstrip() == CODE[begin:end].rstrip()
    whole = CODE[:begin] + found + CODE[end:]
    compile(whole, "whole", "exec")


def test_a_rest_of_ones_own_ends_where_it_is_most_like_the_text_behind():
    prefix = "def f(s):\n    odd = 0\n"
    suffix = "    if odd == 0:\n        return 0\n    return product\n"
    body = "    for digit in s:\n        if digit % 2:\n            odd += 1\n"
    assert filled(prefix, suffix, body + "            p *= digit\n    return p\n") == (
        body + "            p *= digit\n"
    )
    prefix = "def f(n):\n    i = 2\n"
    suffix = "        if n % i == 0:\n            n //= i\n        i += 1\n    return n\n"
    written = (
        "    while i <= n:\n        while n % i == 0:\n            n //= i\n        i += 1\n"
        "    if n > 1:\n        n = 1\n    return n\n"
    )
    assert filled(prefix, suffix, written) == "    while i <= n:\n"


def test_a_hole_within_a_line_ends_with_the_line():
    prefix = "def f(n):\n    return g("
    assert filled(prefix, ")\n", "n, 1)\n\n\ndef g(x):\n") == "n, 1"
    assert filled(prefix, ")\n", "n, 1\n    )\n") == "n, 1"
    assert filled(prefix, ", 2)\n", "n\n    return 0\n") == "n"
    # What repeats the rest of the line in part, where all is well formed without it alone.
    assert filled("x = f(sorted(a, key=", ")[0])\n", "len)\nprint(x)\n") == "len"
    assert filled("x = f(", ")\n", "g(a)\nprint(x)\n") == "g(a)"
    # A bracket over several lines.
    assert filled("x = f(", ", 3)\n", "[\n    1,\n]\nprint(x)\n") == "[\n    1,\n]"
    # Where nothing fits, the line alone.
    assert filled("def f(x):\n    if x", " == 1:\n        pass\n", " > (\n    1\n") == " > ("


def test_a_single_line_can_be_asked_for():
    assert filled("def f():\n", "", "    a = 1\n    return a\n", one_line=True) == "    a = 1"
    assert filled("x = ", "", "[\n  1]\n", one_line=True) == "["


def test_a_fill_ends_with_its_block():
    assert (
        filled("def f():\n", "", f"    a = 1\n\n    return a\n{REST}")
        == "    a = 1\n\n    return a"
    )
    method = "class A:\n    def f(self):\n"
    assert filled(method, "\n", "        return 1\n\n    def g(self):\n        pass\n") == (
        "        return 1"
    )
    # Outside of all functions nothing closes.
    assert filled("a = 1\n", "", "b = 2\nc = 3\n") == "b = 2\nc = 3"
    # Python cannot reach what is behind a return.
    prefix = "def f(a):\n    b = a\n"
    assert (
        filled(prefix, "    print(b)\n    c = b\n", "    b += 1\n    return b\n") == "    b += 1\n"
    )


def test_other_languages_end_where_their_brackets_are_closed():
    prefix = "int f(int x) {\n    // it's :)\n    if (x > 0) {\n"
    suffix = "    }\n    return x;\n}\n"
    written = '        x = g(x, ")");\n    }\n    return x;\n}\n\nint g() {\n'
    assert filled(prefix, suffix, written) == '        x = g(x, ")");\n'
    assert filled("int f(int x) {\n", "", "    return x;\n}\n\nint g() {\n") == "    return x;\n}"
    assert filled("f(", ");\n", "a, [b]);\nvar x;\n") == "a, [b]"
    assert filled("Dear all,\nI am ", " again.\n", "here\nbye\n") == "here"


def test_what_a_model_ends_itself_is_left_but_for_what_repeats():
    hole = Hole("def f():\n    a = 1\n", "    return a\n")
    assert hole.measure("    b = 2\n    c = (\n", ended=True) == Fill(20, over=True)
    assert hole.measure("    b = 2\n    return a", ended=True) == Fill(10, over=True)
    call = Hole("x = f(", ")\n")
    assert call.measure("g(1)", ended=True) == Fill(4, over=True)
    assert call.measure("g(1))", ended=True) == Fill(4, over=True)
    assert Hole("a", "").measure("", ended=True) == Fill(0, over=True)


def test_no_fill_is_needed_where_the_text_behind_comes_at_once():
    hole = Hole("def f():\n    a = 1\n", "    return a\n")
    assert hole.measure("    return a\n") == Fill(0, over=True)
    # With other indentation only if the line after it agrees as well.
    behind = "        x = 1\n        y = 2\n    return a\n"
    hole = Hole("def f(a):\n    if a:\n", behind)
    assert filled(hole.prefix, behind, "        b = 0\n        x = 1\n") == "        b = 0\n"
    assert not hole.measure("        a += 1\n    x = 1\n").over
    assert hole.measure("        a += 1\n      x = 1\n      y = 2\n").length == 15


TEXTS = st.lists(
    st.sampled_from(
        [
            "    total += value\n",
            "        else:\n",
            "\n",
            "    return total\n",
            "x",
            "(",
            ")",
            "    ",
        ]
    ),
    max_size=8,
).map("".join)


@settings(max_examples=150, deadline=None)
@given(st.integers(0, len(CODE)), st.integers(0, 40), TEXTS, st.booleans(), st.booleans())
def test_what_is_certain_stays(begin, length, written, one_line, ended):
    hole = Hole(CODE[:begin], CODE[begin + length :], one_line)
    final = hole.measure(written, ended=ended, cut=not ended)
    assert final.over
    assert 0 <= final.length <= len(written)
    for count in range(len(written) + 1):
        found = hole.measure(written[:count])
        assert found.length <= final.length
        if found.over:
            assert found.length == final.length
            break


@pytest.mark.parametrize(
    ("prefix", "suffix", "may"),
    [
        ("def f(a):\n    b = 1\n", "    return a\n", True),
        ("def f(a):\n", "    return b\n", False),
        ("from a import *\n", "b()\n", True),
        ("x = ", "\n", False),
        # An error elsewhere: names are not known then.
        ("def f(a):\n", "    return b\n\n\ndef g(:\n", True),
        ("int f() {\n", "}\n", True),
        ("int f() {\n", "return 0;\n", False),
    ],
)
def test_a_hole_may_be_empty_if_the_text_around_it_is_whole(prefix, suffix, may):
    assert Hole(prefix, suffix).may_be_empty == may
