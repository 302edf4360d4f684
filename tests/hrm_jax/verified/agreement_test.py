"""The largest group of programs that behave alike."""

from hrm_jax.verified.agreement import behaviours, largest_group, last_function

ADD = "def add(a: int, b: int) -> int:\n    return {}\n"


def kinds(form, bodies, judge):
    programs = [form.format(body) for body in bodies]
    return behaviours(programs, None, [], judge).kinds


def test_programs_that_differ_in_text_alone_agree(judge):
    bodies = ["a - b", "a + b", "b + a", "sum([a, b])", "a + b + (a > 50)", "a.nothing"]
    found = kinds(ADD, bodies, judge)
    assert found == (0, 1, 1, 1, 2, -1)
    assert largest_group(found) == [1, 2, 3]


def test_programs_that_only_fail_agree_on_nothing(judge):
    programs = [ADD.format("a + b"), *[ADD.format("a.nothing")] * 3, "import os\nos._exit(1)"]
    assert behaviours(programs, "add", [], judge).kinds == (0, -1, -1, -1, -1)


def test_the_largest_group():
    assert largest_group([-1, -1, 0]) == [2]
    assert largest_group([-1, -1, -1]) == [0]
    # Of equally large ones that with the first member.
    assert largest_group([2, 0, 0, 2, 1]) == [0, 3]


def test_what_changes_its_argument_or_prints_is_told_apart(judge):
    sort = "def f(x: list[int]):\n    {}\n"
    bodies = ["x.sort()", "sorted(x)", "x[:] = sorted(x)", "print(x)", "return x", "return iter(x)"]
    assert kinds(sort, bodies, judge) == (0, 1, 0, 2, 3, 4)


def test_sets_and_floats(judge):
    f = "def f(x: int):\n    return {}\n"
    bodies = ["{str(i) for i in range(9)}", "set('012345678')", "0.1 + 0.2", "0.3"]
    assert kinds(f, bodies, judge) == (0, 0, 1, 1)


def test_the_function_is_the_last_that_most_define(judge):
    programs = [
        "def g(): pass\ndef f(x): return 1",
        "def f(x): return 1",
        "def h(x): return 1",
        "(",
    ]
    found = behaviours(programs, None, [], judge)
    assert found.function == "f"
    assert largest_group(found.kinds) == [0, 1]


def test_without_a_function_there_is_none(judge):
    assert behaviours(["x = 1", "("], None, [], judge) is None
    assert behaviours(["def f(): pass"], "g", [], judge) is None


def test_last_function():
    text = "import x\ndef a(): pass\n\nasync def b(x):\n    def inner(): pass\n"
    assert last_function(text) == "b"
    assert last_function("x = 1") is None
