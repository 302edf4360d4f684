"""Exercises: which functions, and where they are cut."""

import ast
import base64
import bisect
import inspect
import statistics
import textwrap

import pytest

from hrm_jax.data.text.exercises import exercises
from hrm_jax.data.text.source import Text

FILE = '''
import os

@decorated
def total(
    numbers,
):
    """Adds up.

    All of them.
    """
    # one by one
    result = 0
    for number in numbers:
        result += number

    return result  # é


def silent(x):
    return x


def idle():
    """Does nothing."""


def short(x): "Says it."; return x


class Box:
    def method(self):
        """Is no function of the file."""
        return 1


def last(x):
    'One line.'
    return x'''


def test_a_function_is_cut_after_its_docstring():
    first, second = exercises([Text(FILE, language="python")])
    assert first.prefix.startswith("def total(\n")
    assert first.prefix.endswith('    All of them.\n    """')
    assert first.text.startswith("\n    # one by one\n    result = 0\n")
    assert first.text.endswith("    return result  # é\n")
    assert second == Text("\n    return x\n", "def last(x):\n    'One line.'", "python")


@pytest.mark.parametrize(
    "text", ["def f(:\n", "print 'old'\n", "x = '\0'\n", "x=" + "-" * 100_000 + "1", ""]
)
def test_what_does_not_parse_has_none(text):
    assert exercises([Text(text, language="python")]) == []


@pytest.mark.parametrize("end", ["\r\n", "\r"])
def test_lines_may_end_otherwise(end):
    file = "def f():\n    'Says.'\n    return 1\n".replace("\n", end)
    expected = Text("\n    return 1\n", "def f():\n    'Says.'", "python")
    assert exercises([Text(file, language="python")]) == [expected]


def test_other_languages_have_none():
    assert exercises([Text(FILE, language="c"), Text(FILE)]) == []


def test_long_ones_are_left_out():
    size = len("def last(x):\n    'One line.'\n    return x\n")
    file = [Text(FILE, language="python")]
    assert len(exercises(file, size)) == 1
    assert exercises(file, size - 1) == []


@pytest.mark.parametrize("module", [ast, base64, bisect, statistics, textwrap])
def test_exercises_of_real_files_are_functions_that_say_what_they_do(module):
    text = inspect.getsource(module)
    found = exercises([Text(text, language="python")])
    assert found
    for exercise in found:
        assert exercise.prefix + exercise.text in text + "\n"
        (function,) = ast.parse(exercise.prefix + exercise.text).body
        assert ast.get_docstring(function)
        assert len(ast.parse(exercise.prefix).body[0].body) == 1
