"""Syntax: whole texts and texts that end anywhere."""

import pathlib
import sys

import pytest

from hrm_jax.evaluation import syntax
from hrm_jax.evaluation.syntax import parse_rate, parses

RIGHT = {
    "python": "def f(x):\n    return [x, '}']\n",
    "js": "const f = (x) => {\n  return [x, '}'];\n};\n",
    "java": "class A {\n  int f(int x) {\n    return x;\n  }\n}\n",
    "cpp": "#include <vector>\nint f(int x) {\n  return x;\n}\n",
    "c": "int f(int x) {\n  return x;\n}\n",
    "rust": "fn f(x: i32) -> i32 {\n    x + 1\n}\n",
    "go": "package main\n\nfunc f(x int) int {\n\treturn x\n}\n",
    "bash": "f() {\n  echo $1\n}\n",
}
WRONG = {
    "python": "def f(x:\n    return x\nx = 1\n",
    "js": "const = (x => {\n  return x;\n};\nf(;\n",
    "java": "class A {\n  int f(int x {\n    return x;\n  }\n}\n",
    "cpp": "int f(int x { \n  return x;\n}\n",
    "c": "int f(int x { \n  return x;\n}\n",
    "rust": "fn f(x: i32 -> i32 {\n    x + 1\n}\n",
    "go": "package main\n\nfunc f(x int int {\n\treturn x\n}\n",
    "bash": "f() {\n  echo $1\n}}\n",
}


@pytest.mark.parametrize("language", RIGHT)
def test_whole_texts(language):
    assert parses(RIGHT[language], language)
    assert not parses(WRONG[language], language)


@pytest.mark.parametrize("language", ["python", "js", "java", "cpp", "c", "rust", "go"])
def test_a_text_may_end_anywhere(language):
    text = RIGHT[language]
    for end in range(len(text)):
        assert parses(text[:end], language, cut=True), text[:end]


@pytest.mark.parametrize("language", ["python", "js", "java", "cpp", "rust", "go"])
def test_an_error_before_the_end_counts(language):
    assert not parses(WRONG[language] + RIGHT[language], language, cut=True)


@pytest.mark.parametrize(
    "text",
    [
        "x = (1,\n 2,\n",
        "try:\n    f()\n",
        "class A:\n    '''about\nit\n",
        "if x:\n    y\nelse:\n",
        "@f\n",
    ],
)
def test_python_may_be_unfinished(text):
    assert not parses(text, "python")
    assert parses(text + "cut he", "python", cut=True)


@pytest.mark.parametrize("text", ["\0", "(" * 10_000, "x = '\n", "  x\n", "é = \ud800"])
def test_strange_python_does_not_parse(text):
    assert not parses(text, "python")


def test_python_parses_itself():
    assert parses(pathlib.Path(syntax.__file__).read_text(encoding="utf-8"), "python")


def test_the_rate_is_a_share():
    assert parse_rate(["x = 1", "x =", "x = (", "y\n"], "python") == 0.5
    assert parse_rate(["x = 1", "x = (\n1"], "python", cut=[False, True]) == 1.0
    assert parse_rate([], "python") == 0.0


def test_bad_arguments_are_told():
    with pytest.raises(ValueError, match="cut: expected 1 values, one for each text, got 2"):
        parse_rate(["x"], "python", cut=[True, False])
    with pytest.raises(ValueError, match=r"language: expected one of python, .*, got 'perl'"):
        parses("x", "perl")


def test_a_missing_grammar_is_told(monkeypatch):
    monkeypatch.setitem(sys.modules, "tree_sitter_language_pack", None)
    syntax._parser.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'hrm-jax\[codegen\]'"):
        parses("int x;", "c")
