"""What was written becomes a program."""

import pytest

from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text.requests import Request
from hrm_jax.verified.programs import Continued, Conversed, code_in


def test_a_text_that_is_gone_on_from():
    asked = Continued(Request(Prompt("def f():\n", "\nf()\n")))
    assert asked.program("    return 1") == "def f():\n    return 1\nf()\n"
    assert asked.mend("    return 1", "no") is None


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("Here:\n```python\nx = 1\n```\nDone.", "x = 1\n"),
        ("```\nx = 1\n```", "x = 1\n"),
        ("```py\nx = 1\n```\nand\n```python\ny = 2\n```", "x = 1\n\ny = 2\n"),
        ("```bash\npip install x\n```\n```python\nx = 1\n```", "x = 1\n"),
        ("  ```python\n  x = 1\n  ```", "  x = 1\n"),
        ("```python\nx = 1", "x = 1"),
        ("~~~python\nx = '```'\n~~~", "x = '```'\n"),
        ("x = 1", "x = 1"),
    ],
)
def test_the_code_of_an_answer(answer, code):
    assert code_in(answer) == code


def test_a_failure_is_told():
    turns = [{"role": "user", "content": "Write f."}]
    said = []

    def conversation(messages):
        said.append(messages)
        return Prompt("again")

    asked = Conversed(Request(Prompt("first"), seed=7), turns, conversation)
    mend = asked.mend("```python\nx\n```", "f(1): expected 2, got 3")
    assert mend == Request(Prompt("again"), seed=7)
    assert said[0][0] == turns[0]
    assert said[0][1] == {"role": "assistant", "content": "```python\nx\n```"}
    assert "f(1): expected 2, got 3" in said[0][2]["content"]
