import pytest
from hypothesis import given
from hypothesis import strategies as st

pytest.importorskip("tree_sitter_language_pack", reason="needs the extra codegen or editor")

from hrm_jax.context.parts import MOST_LINES, parts_of

PYTHON = """import os

LIMIT = 3


@decorated
def first(a):
    return a


class Second:
    \"\"\"It has many lines.\"\"\"

    def __init__(self):
        self.a = 1

    def one(self):
        return 1

    def two(self):
        x = 1
        y = 2
        return x + y
"""
TEXTS = st.lists(st.sampled_from(["def f(x):", "    y = 1", "class A:", "", "  ", "\\", "é = '"]))


def test_definitions_are_parts_and_long_ones_are_split_at_theirs():
    parts = parts_of(PYTHON, "python")
    assert [(part.name, part.line) for part in parts] == [
        ("", 0),
        ("first", 5),
        ("Second", 10),
        ("__init__", 13),
        ("one", 16),
        ("two", 19),
    ]
    assert parts[0].text == "import os\n\nLIMIT = 3"
    assert parts[1].text == "@decorated\ndef first(a):\n    return a"
    assert parts[4].text == "    def one(self):\n        return 1"


@pytest.mark.parametrize(
    ("language", "text", "names"),
    [
        ("javascript", "export function f(a) {\n  return a;\n}\nconst x = 1;\n", ["f", ""]),
        ("typescript", "export class A {\n  b(): void {}\n}\n", ["A"]),
        ("java", "package a;\nclass B {\n  int c() { return 1; }\n}\n", ["", "B"]),
        ("c", "#include <a.h>\nint *f(int a) {\n  return 0;\n}\n", ["", "f"]),
        ("c++", "namespace n {\nint A::f(int a) {\n  return 0;\n}\n}\n", ["n"]),
        ("go", "package a\n\nfunc F() int {\n\treturn 1\n}\n", ["", "F"]),
        ("rust", "fn f() -> i32 {\n    1\n}\n", ["f"]),
    ],
)
def test_languages_agree_in_what_a_definition_is(language, text, names):
    assert [part.name for part in parts_of(text, language)] == names


@given(TEXTS.map("\n".join), st.sampled_from(["python", "java", "yaml", None]))
def test_every_line_that_says_something_is_in_one_part_as_it_stands(text, language):
    lines = text.split("\n")
    seen = []
    for part in parts_of(text, language):
        own = part.text.split("\n")
        assert lines[part.line : part.line + len(own)] == own
        assert own[0].strip()
        assert own[-1].strip()
        assert len(own) <= MOST_LINES
        seen += range(part.line, part.line + len(own))
    assert len(seen) == len(set(seen))
    assert {number for number, line in enumerate(lines) if line.strip()} <= set(seen)


def test_halves_of_pairs_do_no_harm():
    assert parts_of("x = '\ud83d'\n", "python")[0].text == "x = '\ud83d'"


def test_what_is_nested_deep_is_split_too():
    """A long sum between two functions; and functions within each other."""
    total = "x = " + " +\n  ".join(["'a'"] * 3000)
    parts = parts_of(f"function f() {{}}\n{total}\nfunction g() {{}}\n", "javascript")
    assert {part.name for part in parts} == {"f", "", "g"}
    depth = 3000
    text = "function f() {\n" * depth + "}\n" * depth
    lines = [line for part in parts_of(text, "javascript") for line in part.text.split("\n")]
    assert lines == text.rstrip("\n").split("\n")
