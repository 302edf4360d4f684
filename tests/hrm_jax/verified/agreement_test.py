"""The largest group of programs that behave alike."""

from hrm_jax.verified.agreement import behaviours, groups, last_function

ADD = "def add(a: int, b: int) -> int:\n    return {}\n"


def test_programs_that_differ_in_text_alone_agree(judge):
    bodies = ["a - b", "a + b", "b + a", "sum([a, b])", "a + b + (a > 50)", "a.nothing"]
    found = groups(behaviours([ADD.format(body) for body in bodies], "add", [], judge).of)
    assert found[0] == (1, 2, 3)
    assert sorted(number for group in found for number in group) == list(range(6))
    assert found[-1] == (5,)


def test_programs_that_only_fail_are_no_majority(judge):
    programs = [ADD.format("a + b"), *[ADD.format("a.nothing")] * 3, "import os\nos._exit(1)"]
    assert groups(behaviours(programs, "add", [], judge).of)[0] == (0,)


def test_what_changes_its_argument_or_prints_is_told_apart(judge):
    sort = "def f(x: list[int]):\n    {}\n"
    bodies = ["x.sort()", "sorted(x)", "x[:] = sorted(x)", "print(x)", "return x", "return iter(x)"]
    found = groups(behaviours([sort.format(body) for body in bodies], "f", [], judge).of)
    assert found == [(0, 2), (1,), (3,), (4,), (5,)]


def test_sets_and_floats(judge):
    f = "def f(x: int):\n    return {}\n"
    bodies = ["{str(i) for i in range(9)}", "set('012345678')", "0.1 + 0.2", "0.3"]
    found = behaviours([f.format(body) for body in bodies], "f", [], judge)
    assert groups(found.of) == [(0, 1), (2, 3)]


def test_the_function_is_the_last_that_most_define(judge):
    programs = [
        "def g(): pass\ndef f(x): return 1",
        "def f(x): return 1",
        "def h(x): return 1",
        "(",
    ]
    found = behaviours(programs, None, [], judge)
    assert found.function == "f"
    assert groups(found.of)[0] == (0, 1)


def test_without_a_function_there_is_none(judge):
    assert behaviours(["x = 1", "("], None, [], judge) is None
    assert behaviours(["def f(): pass"], "g", [], judge) is None


def test_last_function():
    text = "import x\ndef a(): pass\n\nasync def b(x):\n    def inner(): pass\n"
    assert last_function(text) == "b"
    assert last_function("x = 1") is None
