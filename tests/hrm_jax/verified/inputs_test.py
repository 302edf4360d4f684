"""Inputs follow the examples and the annotations."""

import ast

import pytest

from hrm_jax.verified.examples import Example
from hrm_jax.verified.inputs import inputs_of


def made(source, examples=(), count=40):
    function = ast.parse(source).body[-1]
    return [eval(f"(lambda *a: a)({text})") for text in inputs_of(function, examples, count)]


CHECKS = {
    "int": lambda v: type(v) is int,
    "float": lambda v: type(v) is float,
    "str": lambda v: type(v) is str,
    "bytes": lambda v: type(v) is bytes,
    "list[int]": lambda v: type(v) is list and all(type(x) is int for x in v),
    "List[List[str]]": lambda v: all(type(x) is list and all(type(y) is str for y in x) for x in v),
    "typing.Dict[str, int]": lambda v: all(type(k) is str and type(x) is int for k, x in v.items()),
    "Optional[int]": lambda v: v is None or type(v) is int,
    "int | None": lambda v: v is None or type(v) is int,
    "'int | str'": lambda v: type(v) in (int, str),
    "Union[int, str]": lambda v: type(v) in (int, str),
    "tuple[int, str]": lambda v: (type(v[0]), type(v[1]), len(v)) == (int, str, 2),
    "Tuple[int, ...]": lambda v: type(v) is tuple and all(type(x) is int for x in v),
    "set[int]": lambda v: type(v) is set,
}


@pytest.mark.parametrize("annotation", CHECKS)
def test_types(annotation):
    found = made(f"def f(x: {annotation}): pass")
    assert len(found) > 5
    assert all(CHECKS[annotation](x) for (x,) in found)


def test_examples_come_first_and_are_changed():
    examples = [Example("f([1, 2], 'ab')", "3"), Example("assert f([], '') == 0"), Example("g(1)")]
    found = made("def f(a, b): pass", examples)
    assert found[:2] == [([1, 2], "ab"), ([], "")]
    assert len(found) > 20
    assert all(type(a) is list and type(b) is str for a, b in found)


@pytest.mark.parametrize("source", ["f({[1]: 2})", "f({[1]})", "f(**{'x': 1})", "f(*[1])", "f(y)"])
def test_calls_that_are_no_literals_do_not_count(source):
    typed = "def f(x: int): pass"
    assert made(typed, [Example(source)]) == made(typed)


def test_numbers_do_not_grow_beyond_literals():
    found = made("def f(x): pass", [Example("f(1e999)"), Example("f(1e308)")])
    assert len(found) > 5
    assert all(abs(x) < float("inf") for (x,) in found)


def test_without_types_and_examples_there_are_the_usual_types():
    kinds = {type(x) for (x,) in made("def f(x): pass", count=60)}
    assert {int, str, list, float} <= kinds


def test_they_are_the_same_each_time():
    function = ast.parse("def f(x: dict[str, list[int]]): pass").body[0]
    assert inputs_of(function, (), 20) == inputs_of(function, (), 20)


def test_a_function_without_arguments_has_one_input():
    assert made("def f(): pass") == [()]
