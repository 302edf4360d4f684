"""Only a text that passed its tests is called verified."""

import json

import pytest
from absl import app, flags
from absl.testing import flagsaver
from rich.console import Console

from experiments.codegen import generation, verifying
from experiments.common import language_model
from hrm_jax.convert.language import LoadedLanguageModel
from hrm_jax.data.text.chat import ChatTemplate
from hrm_jax.evaluation.judge.packages import PackageMissing
from hrm_jax.evaluation.sandbox.base import SandboxUnavailable
from hrm_jax.evaluation.sandbox.isolation import find_sandbox
from hrm_jax.inference.text.prompts import PromptError
from hrm_jax.inference.text.requests import Piece
from hrm_jax.inference.text.writing import Writer
from hrm_jax.verified.checks import CheckError
from tests.hrm_jax.inference.text import tiny

FLAGS = flags.FLAGS
PROMPT = 'def double(n: int) -> int:\n    """Doubles.\n\n    >>> double(3)\n    6\n    """\n'


@pytest.fixture(autouse=True)
def parsed_flags():
    FLAGS.mark_as_parsed()
    with flagsaver.flagsaver():
        yield


@pytest.fixture
def written(monkeypatch, capsys):
    """A function that returns exit code, output and what is told, for texts by attempt."""
    try:
        find_sandbox()
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    model, variables = tiny.hrm_text()
    template = ChatTemplate("{{ messages[-1].content }}")
    loaded = LoadedLanguageModel(model, variables, tiny.ByteTokenizer(), template)
    monkeypatch.setattr(language_model, "load_language_model", lambda name, dtype: loaded)
    monkeypatch.setenv("HRM_JAX_COMPILED", "")

    def write(*texts, **asked):
        for name, value in asked.items():
            setattr(FLAGS, name, value)

        def pieces(self, requests):
            for number, request in enumerate(requests):
                yield Piece(number, texts[min(request.seed, len(texts) - 1)], 1, "end")

        monkeypatch.setattr(Writer, "write", pieces)
        code = generation.run(Console(markup=False, width=200))
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return write


@pytest.fixture
def tests_file(tmp_path):
    path = tmp_path / "tests.py"
    path.write_text("from mine import double\n\ndef test_it():\n    assert double(2) == 4\n")
    return str(path)


def test_the_first_that_passes_is_verified(written, tests_file):
    texts = ["    return n * 3", "    return 2 * n"]
    code, out, told = written(*texts, prompt=[PROMPT], tests=tests_file)
    assert (code, out) == (0, "    return 2 * n\n")
    assert f"verified: passes {tests_file} (attempt 2" in told
    assert "not verified" not in told


def test_none_that_fails_is(written, tests_file):
    code, out, told = written("    return n * 3", prompt=[PROMPT], tests=tests_file, attempts=3)
    assert (code, out) == (1, "    return n * 3\n")
    assert "not verified: passed 0 of 1; test_it: double(2) == 4: expected 4, got 6 (3 att" in told


def test_examples_of_each_prompt_as_json(written):
    asked = {"prompt": [PROMPT, PROMPT.replace("6", "9")], "doctests": True, "json": True}
    code, out, _ = written("    return 2 * n", attempts=2, **asked)
    assert code == 1
    first, second = map(json.loads, out.splitlines())
    assert (first["verified"], first["failed"], first["attempts"]) == (True, None, 1)
    assert (second["verified"], second["attempts"]) == (False, 2)
    assert second["failed"] == "passed 0 of 1; double(3): expected 9, got 6"
    assert first["completion"] == "    return 2 * n"
    assert set(verifying.FIELDS) < set(first)


def test_an_answer_of_a_conversation(written, tests_file):
    answer = "So:\n```python\ndef double(n):\n    return n + n\n```\n"
    code, out, told = written("no", answer, prompt=["Write."], chat=True, tests=tests_file)
    assert (code, out) == (0, answer + "\n")
    assert "verified" in told


def test_agreement_is_not_called_verified(written):
    texts = ["    return n", "    return 2 * n", "    return n + n", "    return n << 1"]
    code, out, told = written(*texts, prompt=[PROMPT], agree=True, attempts=4)
    assert (code, out) == (0, "    return 2 * n\n")
    assert "not verified: 3 of 4 candidates behave like this one on" in told
    _, out, _ = written(*texts, prompt=[PROMPT], agree=True, attempts=4, json=True)
    found = json.loads(out)
    assert (found["verified"], found["agree"], found["attempts"]) == (False, 3, 4)
    _, _, told = written("1 +", prompt=["x = "], agree=True, attempts=2, json=False)
    assert "no function was found" in told


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"doctests": True, "agree": True}, app.UsageError, "got --doctests and --agree"),
        ({"doctests": True, "samples": 2}, app.UsageError, "expected --attempts"),
        ({"doctests": True, "prompt": ["def f():\n"]}, CheckError, "prompt 1: expected examples"),
        ({"tests": "/absent.py"}, FileNotFoundError, "absent"),
        ({"doctests": True, "allow_packages": ["no_such"]}, PackageMissing, "no_such"),
    ],
)
def test_what_cannot_be(written, asked, error, said):
    with pytest.raises(error, match=said):
        written("", **{"prompt": [PROMPT], **asked})


def test_fields_that_the_output_writes_itself(written, tmp_path):
    file = tmp_path / "many.jsonl"
    file.write_text(json.dumps({"prompt": PROMPT, "verified": True}) + "\n")
    with pytest.raises(PromptError, match="got verified; rename"):
        written("", prompt_file=[str(file)], json=True, doctests=True)
