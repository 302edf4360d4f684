"""Tests of people become checks; none is passed but by the program."""

import dataclasses

import pytest

from hrm_jax.evaluation.judge.exams import Bounds
from hrm_jax.evaluation.judge.packages import package_mounts
from hrm_jax.evaluation.sandbox.limits import Limits
from hrm_jax.verified.checks import CheckError, check_of_examples, check_of_tests, free_names
from hrm_jax.verified.examples import Example, examples_in

RIGHT = (
    "def double(n):\n    if n is None:\n        raise TypeError('no number')\n    return 2 * n\n"
)
WRONG = "def double(n):\n    return n * n\n"
FORMS = {
    "assert": "assert double(3) == 6\nassert double(2) == 4",
    "function": "def test_it():\n    assert double(3) == 6\n",
    "imported": "from mine import double\nassert double(3) == 6",
    "imported as": "from .mine import double as d\nassert d(3) == 6",
    "module": "import mine.deep as m\nassert m.double(3) == 6",
    "star": "from mine import *\nassert double(3) == 6",
    "unittest": (
        "import unittest\nclass TestIt(unittest.TestCase):\n    def setUp(self): self.n = 3\n"
        "    def test_it(self): self.assertEqual(double(self.n), 6)\n"
        "    def test_error(self):\n        with self.assertRaises(TypeError): double(None)\n"
        "if __name__ == '__main__':\n    unittest.main()\n"
    ),
    "check of a suite": "def check(f):\n    assert f(3) == 6\ncheck(double)",
}
PYTEST = (
    "import pytest\nfrom mine import double\n"
    "@pytest.mark.parametrize('n, wanted', [(2, 4), pytest.param(3, 6, id='x')])\n"
    "@pytest.mark.parametrize('f', [double])\n"
    "def test_double(f, n, wanted):\n    assert f(n) == wanted\n"
    "def test_error():\n    with pytest.raises(TypeError): double(None)\n"
    "def test_near():\n    assert double(0.1) == pytest.approx(0.2)\n"
)


@pytest.mark.parametrize("source", FORMS.values(), ids=FORMS)
def test_forms_of_tests(judge, source):
    check = check_of_tests(source, "tests.py", packages=())
    assert judge.judge(check.exam_of(RIGHT)).passed
    verdict = judge.judge(check.exam_of(WRONG))
    assert verdict.result == "failed"
    assert "9" in verdict.detail or source.startswith("def") or "unittest" in source


def test_pytest(judge):
    toolchain = dataclasses.replace(judge.toolchain, packages=package_mounts(["pytest"]))
    judge = dataclasses.replace(judge, toolchain=toolchain)
    check = check_of_tests(PYTEST, "tests.py", packages=("pytest",))
    verdict = judge.judge(check.exam_of(RIGHT))
    assert verdict.passed, verdict.detail
    verdict = judge.judge(check.exam_of(WRONG))
    assert (verdict.right, verdict.total) == (2, 4)
    assert verdict.detail.endswith("n=3, wanted=6]: f(n) == wanted: expected 6, got 9")


def test_what_failed_is_counted_and_told(judge):
    check = check_of_tests("assert double(2) == 4\nassert double(3) == 6", "tests.py", packages=())
    verdict = judge.judge(check.exam_of(WRONG))
    assert (verdict.right, verdict.total) == (1, 2)
    assert verdict.detail == "passed 1 of 2; double(3) == 6: expected 6, got 9"


LIARS = {
    "exits": "import os\ndef double(n): os._exit(0)",
    "equals everything": (
        "class L:\n  def __eq__(self, o): return True\n  def __repr__(self): return '6'\n"
        "def double(n): return L()"
    ),
    "absent": "def triple(n): return 6",
    "patches the tests": (
        "import hrm_jax.evaluation.judge.inside.units as u\n"
        "u.run_module = u.run_examples = lambda *a: None\ndef double(n): return 0"
    ),
    "a bool": "def double(n): return True",
    "no Python": "def double(n: return 6",
}


@pytest.mark.parametrize("program", LIARS.values(), ids=LIARS)
def test_nothing_passes_that_does_not_answer(judge, program):
    for check in (
        check_of_tests("assert double(3) == 6", "tests.py", packages=()),
        check_of_examples([Example("double(3)", "6\n")]),
    ):
        assert not judge.judge(check.exam_of(program)).passed


def test_a_program_that_never_ends(judge):
    judge = dataclasses.replace(judge, bounds=Bounds(Limits(cpu_seconds=1, wall_seconds=10.0)))
    check = check_of_tests("assert double(3) == 6", "tests.py", packages=())
    assert judge.judge(check.exam_of("def double(n):\n    while True: pass")).result == "time"


def test_examples_compare_values_and_texts(judge):
    text = """def f(n):
    '''
    >>> f(1)
    {1, 2}
    >>> f(2)
    2
    >>> f(3)
    >>> f(4)
    Traceback (most recent call last):
    ValueError: four
    >>> print(f(5))
    5
    >>> f(6) # doctest: +ELLIPSIS
    [0, ..., 9]
    >>> x = f(1)
    >>> len(x)
    2
    '''
"""
    program = (
        "def f(n):\n    if n == 4: raise ValueError('four')\n"
        "    return {1: {2, 1}, 2: 2.0, 5: 5, 6: list(range(10))}.get(n)\n"
    )
    check = check_of_examples(examples_in(text))
    verdict = judge.judge(check.exam_of(program))
    assert verdict.passed, verdict.detail
    for change in ("2, 1}", "2: 2.0", "'four'", "5: 5", "range(10)", ".get(n)"):
        broken = {"2, 1}": "2, 3}", "2: 2.0": "2: True", "'four'": "'five'", "5: 5": "5: 6"}
        broken |= {"range(10)": "range(8)", ".get(n)": ".get(n, 0)"}
        verdict = judge.judge(check.exam_of(program.replace(change, broken[change])))
        assert not verdict.passed, change
        assert verdict.total == 7


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("assert double(", "expected tests in Python"),
        ("assert 1 == 1", "use a name of it"),
        ("def f():\n    nonlocal x\nassert double(1)", "expected tests in Python"),
        ("@parametrize(1, [2])\ndef test_it(a): assert double(a)", "without fixtures, got a"),
        ("def test_it(tmp_path): assert double(1)", "without fixtures, got tmp_path"),
    ],
)
def test_tests_that_cannot_be_used(source, said):
    with pytest.raises(CheckError, match=said):
        check_of_tests(source, "t.py", packages=())


@pytest.mark.parametrize("depth", [400, 900, 3000, 100_000])
@pytest.mark.parametrize("nested", ["f(" + "-{}1)", "f(){}", "0{}", "{}f()", "[f({}"])
def test_tests_that_are_nested_too_deep(nested, depth):
    within = {"f(-{}1)": "-", "f(){}": ".a", "0{}": " + f()", "{}f()": "not ", "[f({}": "f("}
    source = nested.format(within[nested] * depth)
    with pytest.raises(CheckError, match="expected tests in Python"):
        check_of_tests(f"assert {source}", "t.py", packages=())


def test_an_example_that_is_nested_too_deep():
    examples = examples_in(f">>> {'lambda: ' * 1100}f()\n1\n")
    with pytest.raises(CheckError, match="nested too deep"):
        check_of_examples(examples)


def test_an_example_that_is_no_python():
    with pytest.raises(CheckError, match="expected tests in Python"):
        check_of_examples([Example("def f():\n    nonlocal x"), Example("double(1)", "2\n")])


def test_no_examples():
    with pytest.raises(CheckError, match=">>> double"):
        check_of_examples([])


def test_a_statement_between_the_tests_may_fail(judge):
    check = check_of_tests("double(1).boom\nassert double(1) == 2", "t.py", packages=())
    assert not judge.judge(check.exam_of(RIGHT)).passed


def test_free_names():
    source = (
        "import os\nfrom a import b\nx = 1\n"
        "def f(y):\n    z = y\n    return [w for w in g(z)] + h\n"
        "class C:\n    k = x\n    def m(self): return k2 + print\nlambda q: q + r\n"
    )
    assert free_names(source) == {"g", "h", "k2", "r"}
