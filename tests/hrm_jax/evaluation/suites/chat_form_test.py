"""Suites whose solutions are asked for in a conversation."""

import dataclasses

import pytest

from hrm_jax.core.texts import Prompt
from hrm_jax.evaluation.judge.exams import Exam
from hrm_jax.evaluation.suites.chat_form import definitions, in_chat_form, turns
from hrm_jax.evaluation.suites.problems import Problem, Suite, SuiteError

EXAM = Exam("python", "", "assert f() == 1", ("f",))
SUITE = Suite(
    "toy", "python", (Problem("1", Prompt("def f():\n"), EXAM, "    return 1\n", "def f():\n"),)
)


def test_the_code_of_an_answer_is_the_program():
    suite = in_chat_form(SUITE)
    answer = "import x\n\ndef f():\n    return 1\n\nprint(f())\nassert f() == 1\n"
    exam = suite.exam_of(suite.problems[0], answer)
    assert exam.program == "import x\ndef f():\n    return 1\n"
    assert suite.stop == ("\n```",)


def test_the_answer_is_begun():
    asked, begun = turns(Prompt("\ndef f():\n"))
    assert asked["content"].endswith("```python\ndef f():\n```")
    assert begun == {"role": "assistant", "content": "```python\n"}


@pytest.mark.parametrize(
    ("code", "wanted"),
    [
        ("@dec\ndef f():\n    pass\n", "@dec\ndef f():\n    pass\n"),
        ("x = 1\ny: int = 2\nfor i in x: pass\n", "x = 1\ny: int = 2\n"),
        ("class A:\n    pass\nif __name__ == '__main__':\n    f()\n", "class A:\n    pass\n"),
        ("def f():\n    return 1\ndef g(:\n", "def f():\n    return 1\n"),
        ("no python at all", "\n"),
    ],
)
def test_definitions(code, wanted):
    assert definitions(code) == wanted


@pytest.mark.parametrize(
    "suite",
    [
        dataclasses.replace(SUITE, language="js"),
        dataclasses.replace(
            SUITE, problems=(dataclasses.replace(SUITE.problems[0], prompt=Prompt("a", "b")),)
        ),
    ],
)
def test_other_problems_are_refused(suite):
    with pytest.raises(SuiteError, match="--form=chat"):
        in_chat_form(suite)
