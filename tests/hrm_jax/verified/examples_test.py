"""Examples as people write them in docstrings, and what only looks like one."""

import doctest

import pytest

from hrm_jax.verified.examples import Example, examples_in

HEAD = 'def double(n: int) -> int:\n    """Returns twice a number.\n\n'


def sources(text):
    return [(one.source, one.want.strip()) for one in examples_in(text)]


@pytest.mark.parametrize(
    "written",
    [
        ">>> double(2)\n    4",
        "double(2) == 4",
        "double(2) -> 4",
        "double(2) => 4",
        "double(2) ==> 4",
        "double(2) ➞ 4 because 2 + 2 is 4",
        "double(2) = 4  # twice",
        "double(2) # => 4",
        "double(2)   # returns 4",
        "`double(2)` returns 4.",
        "double(2) should return 4, as 2 + 2 is 4",
        "Example: double(2) should be equal to 4",
    ],
)
def test_a_call_and_its_value(written):
    found = sources(f"{HEAD}    {written}\n    ")
    assert found == [("double(2)", "4")]


@pytest.mark.parametrize(
    "written",
    [
        "for n = 2 the output should be 4",
        "For n = 2, the result is 4",
        "Input: n = 2\n    Output: 4",
        "Example 1:\n\n        Input: 2\n        Output: 4\n        Explanation: 2 + 2",
    ],
)
def test_named_arguments(written):
    (found,) = examples_in(f"{HEAD}    {written}\n    ")
    assert eval(found.source, {"double": lambda n: 2 * n}) == int(found.want)


def test_several_named_arguments_whose_values_have_commas():
    text = (
        'def f(grid, k):\n    """\n    Input: grid = [[1, 2], [3, 4]], k = 3\n    Output: [1, 2]\n'
    )
    assert sources(text) == [("f(grid=[[1, 2], [3, 4]], k=3)", "[1, 2]")]


@pytest.mark.parametrize(
    "written",
    [
        "double(2) == 2 + 2",
        "double(n) == 4",
        "double(2)",
        "undouble(2) == 1",
        "my.double(2) == 4",
        "double(2 == 4",
        "double(2) has 4 as its answer",
        "for n = 2 the output should be even",
        "assert double(2) => 4",
    ],
)
def test_what_cannot_be_read_for_sure_is_left_out(written):
    assert examples_in(f"{HEAD}    {written}\n    ") == []


def test_asserts_of_a_task_in_prose():
    text = '"""\nWrite a function that doubles.\nassert double(2) == 4\n"""\n'
    assert examples_in(text) == [Example("assert double(2) == 4")]


def test_a_request_in_prose():
    text = "Please write double, such that double(2) == 4 and double('a') -> 'aa'."
    assert sources(text) == [("double(2)", "4"), ("double('a')", "'aa'")]


def test_doctests_with_all_that_they_may_have():
    text = (
        f"{HEAD}    >>> x = double(2)\n    >>> x\n    4\n    >>> double([1, 2])  "
        "# doctest: +ELLIPSIS\n    [1, ...]\n    >>> double(None)\n    Traceback (most recent call "
        "last):\n        ...\n    TypeError: no number\n    >>> double(1) == 2\n    "
    )
    found = examples_in(text)
    assert [one.source for one in found[:2]] == ["x = double(2)", "x"]
    assert found[2].options == doctest.ELLIPSIS
    assert found[3].error == "TypeError: no number\n"
    assert found[4] == Example("assert double(1) == 2")


def test_a_docstring_that_is_not_raw_means_what_is_written():
    text = 'def f(s):\n    """\n    >>> f("a\\nb")\n    \'b\\na\'\n    """\n'
    assert sources(text) == [('f("a\\nb")', "'b\\na'")]


def test_the_docstring_may_be_open_or_whole():
    text = f"{HEAD}    >>> double(2)\n    4\n"
    assert sources(text) == sources(text + '    """\n') == [("double(2)", "4")]
