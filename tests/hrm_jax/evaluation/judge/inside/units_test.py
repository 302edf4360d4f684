"""Tests are counted, and tell what they compare."""

import pytest

from hrm_jax.evaluation.judge.inside.units import TestsFailed, run_examples, run_module


def failed(run, tests, **names):
    with pytest.raises(TestsFailed) as caught:
        run(tests, names)
    return caught.value.right, caught.value.total, str(caught.value)


@pytest.mark.parametrize(
    ("test", "told"),
    [
        ("assert f(2) == 5", "f(2) == 5: expected 5, got 4"),
        ("assert f(2) == 5, 'twice'", "f(2) == 5: twice: expected 5, got 4"),
        ("assert f(2) > 5", "f(2) > 5: got 4 and 5"),
        ("assert 1 < f(2) < 3", "1 < f(2) < 3: it is false"),
        ("assert not f(2)", "not f(2): it is false"),
        ("assert f()", "TypeError: "),
        (
            "def test_it():\n    x = 5\n    assert f(2) == x",
            "test_it: f(2) == x: expected 5, got 4",
        ),
        ("def test_it():\n    raise SystemExit", "test_it: SystemExit: "),
    ],
)
def test_what_is_told_of_a_test(test, told):
    right, total, said = failed(run_module, f"assert f(1) == 2\n{test}", f=lambda n: 2 * n)
    assert (right, total) == (1, 2)
    assert said.startswith(f"passed 1 of 2; {told}")


def test_operands_are_evaluated_once():
    calls = []
    run_module("assert f(1) == f(1)", {"f": lambda n: calls.append(n)})
    assert calls == [1, 1]


def test_long_values_are_cut():
    _, _, said = failed(run_module, "assert f() == ''", f=lambda: "x" * 10_000)
    assert len(said) < 1000


def test_a_statement_that_raises_is_no_test():
    with pytest.raises(ZeroDivisionError):
        run_module("x = 1 / 0\nassert x", {})


def test_a_class_of_unittest_counts_its_methods():
    source = (
        "import unittest\nclass T(unittest.TestCase):\n    def setUp(self): self.n = 1\n"
        "    def test_a(self): self.assertEqual(self.n, 1)\n"
        "    def test_b(self): self.assertEqual(self.n, 2)\n    def helper(self): 1 / 0\n"
    )
    right, total, said = failed(run_module, source)
    assert (right, total) == (1, 2)
    assert "T.test_b: 1 != 2" in said


def example(source, want="", error=None, options=0):
    return {"source": source, "want": want, "error": error, "options": options}


@pytest.mark.parametrize(
    ("one", "told"),
    [
        (example("f(2)", "5\n"), "f(2): expected 5, got 4"),
        (example("f(2)"), "f(2): expected nothing, got 4"),
        (example("print(f(2))", "5\n"), "print(f(2)): expected 5, got 4"),
        (example("f(2)", "", "ValueError: no"), "f(2): expected ValueError: no, got 4"),
        (example("f()", "", "ValueError: no"), "f(): expected ValueError: no, got TypeError"),
        (example("f()", "4\n"), "f(): TypeError"),
        (example("f(2) == 4", "1\n"), "f(2) == 4: expected 1, got True"),
        (example("assert f(2) == 5"), "assert f(2) == 5: f(2) == 5: expected 5, got 4"),
    ],
)
def test_what_is_told_of_an_example(one, told):
    tests = [example("n = 1"), example("f(n)", "2\n"), one]
    right, total, said = failed(run_examples, tests, f=lambda n: 2 * n)
    assert (right, total) == (1, 2)
    assert said.startswith(f"passed 1 of 2; {told}")


@pytest.mark.parametrize(
    ("value", "want"),
    [
        ({2, 1}, "{1, 2}"),
        ({"b": 1, "a": 2}, "{'a': 2, 'b': 1}"),
        (2.0, "2"),
        ("a", '"a"'),
        (None, "None"),
        ([1, 2], "[1,\n 2]"),
        (complex(1, 2), "(1+2j)"),
    ],
)
def test_equal_values_may_be_written_differently(value, want):
    run_examples([example("f()", f"{want}\n")], {"f": lambda: value})
    assert failed(run_examples, [example("f()", f"{want}\n")], f=lambda: "other")[:2] == (0, 1)


def test_an_exception_by_its_full_name():
    def f():
        raise UnicodeError("no")

    run_examples([example("f()", "", "builtins.UnicodeError: no\n")], {"f": f})
