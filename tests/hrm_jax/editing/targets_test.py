"""What is wanted of a selection; the same cases as the extension's tests."""

from hrm_jax.editing.targets import Target, code_in, insertion, target_of

MODULE = '''import math

LIMIT = 3


def double(n):
    """
    >>> double(2)
    4
    """
    pass


class Box:
    def area(
        self,
        side: int,
    ) -> int:
        """Returns the area."""

    def other(self):
        return 1
'''
LINES = MODULE.split("\n")


def at(text: str) -> int:
    return next(index for index, line in enumerate(LINES) if text in line)


def found(text: str, first: int, last: int) -> Target:
    target = target_of(text, first, last)
    assert target is not None
    return target


def test_a_docstring_asks_for_its_functions_body_after_the_modules_imports():
    for line in (at("def double"), at(">>> double"), at("pass")):
        target = found(MODULE, line, line)
        assert target.tests is None
        assert target.prompt == (
            'import math\ndef double(n):\n    """\n    >>> double(2)\n    4\n    """\n'
        )
        assert (target.begin, target.end) == (at("pass"), at("pass") + 1)


def test_what_is_selected_before_the_function_is_sent_with_it():
    target = found(MODULE, at("LIMIT"), at("pass"))
    assert target.prompt.startswith("import math\nLIMIT = 3\n\n\ndef double")


def test_a_methods_body_has_the_methods_margin():
    target = found(MODULE, at("Returns"), at("Returns"))
    assert target.prompt.startswith("import math\ndef area(\n    self,")
    assert insertion(target, "    x = 1\n\n    return x\n") == "        x = 1\n\n        return x\n"
    assert (target.begin, target.end) == (at("Returns") + 1, at("Returns") + 1)


def test_tests_ask_for_the_code_that_passes_them_which_goes_before_them():
    text = "x = 1\ndef test_double():\n    assert double(2) == 4\n"
    target = found(text, 1, 2)
    assert target.tests == "def test_double():\n    assert double(2) == 4"
    assert target.prompt.startswith("Write in Python `double`. ")
    assert target.tests in target.prompt
    assert (target.begin, target.end) == (1, 1)
    answer = "Here:\n```python\ndef double(n):\n    return 2 * n\n```\nDone."
    assert insertion(target, answer) == "def double(n):\n    return 2 * n\n\n\n"


def test_what_tests_call_of_their_own_of_python_or_of_an_object_is_not_asked_for():
    tests = "def test_a(x):\n    assert sorted(f(x)) == g(x.h(1))\n    assert f(2)\n    test_b()"
    target = found(f"{tests}\ndef test_b(): pass", 0, 4)
    assert target.prompt.startswith("Write in Python `f`, `g`. ")
    assert found("assert x == 1", 0, 0).prompt.startswith("Write the Python code ")


def test_nothing_is_wanted_where_there_is_neither_docstring_nor_test():
    for line in (at("LIMIT"), at("return 1")):
        assert target_of(MODULE, line, line) is None
    assert target_of('def f(x):\n    """open', 0, 0) is None
    assert target_of("def f(x):\n    return 1", 0, 0) is None
    assert target_of("", 0, 0) is None


def test_the_code_of_an_answer_is_its_blocks_of_python_or_of_no_language_or_all_of_it():
    assert code_in("x = 1") == "x = 1"
    assert code_in("a\n```\nx\n```\nb") == "x\n"
    assert code_in("```py\nx\n```\n```sh\nls\n```\n~~~python\ny") == "x\n\ny"
