"""What the studio is told while code is written, and what of it is called verified."""

import io
import json

import pytest
from absl import flags
from absl.testing import flagsaver

from experiments.codegen import author
from hrm_jax.evaluation.sandbox.base import SandboxUnavailable
from hrm_jax.evaluation.sandbox.isolation import find_sandbox
from tests.experiments.codegen.saved_run import save_run

FLAGS = flags.FLAGS
ONE = "def one():\n    return 1\n#"
"""What follows within a token is a comment: it passes any test of `one`."""
IS_ONE = "def test_it():\n    assert one() == 1\n"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "code"
    save_run(folder)
    return folder


@pytest.fixture
def ask(monkeypatch, capsys, run):
    """A function that returns what is told for questions."""
    FLAGS.mark_as_parsed()
    monkeypatch.setenv("HRM_JAX_COMPILED", "")

    def ask(*questions, checkpoint=run):
        lines = "".join(
            question if isinstance(question, str) else json.dumps(question) + "\n"
            for question in questions
        )
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        with flagsaver.flagsaver(checkpoint=str(checkpoint)):
            assert author.main() == 0
        return [json.loads(line) for line in capsys.readouterr().out.splitlines()]

    return ask


@pytest.fixture
def sandbox():
    try:
        find_sandbox()
    except SandboxUnavailable as error:
        pytest.skip(str(error))


def test_pieces_come_before_the_end_and_without_tests_nothing_is_verified(ask):
    *pieces, done = ask({"prompt": "def f(x):\n", "max_tokens": 40})
    assert len(pieces) > 1
    assert "".join(piece["text"] for piece in pieces) == done["text"]
    assert {piece["attempt"] for piece in pieces} == {1}
    assert done["done"] is True
    assert done["verified"] is False
    assert done["told"] == "not verified: no tests were given, so it was not run"


def test_what_passes_its_tests_is_verified_and_nothing_else(ask, sandbox):
    right = {"prompt": ONE, "max_tokens": 1, "tests": IS_ONE}
    wrong = {**right, "tests": "assert one() == 2", "attempts": 2}
    told = ask(right, wrong)
    first = [answer.get("done") for answer in told].index(True)
    verdict, done = told[first - 1], told[first]
    assert verdict == {"attempt": 1, "passed": True, "failure": ""}
    assert (done["verified"], done["attempts"]) == (True, 1)
    assert done["told"] == "verified: passes the tests"
    rest = told[first + 1 :]
    assert [answer["passed"] for answer in rest if "passed" in answer] == [False, False]
    assert rest[-1]["verified"] is False
    assert rest[-1]["told"].startswith("not verified: passed 0 of 1; one() == 2: expected 2, got 1")


def test_without_a_sandbox_it_says_so(ask, monkeypatch):
    def none():
        raise SandboxUnavailable("no sandbox works here; install bubblewrap")

    monkeypatch.setattr(author, "find_sandbox", none)
    done = ask({"prompt": ONE, "max_tokens": 1, "tests": IS_ONE})[-1]
    assert done["verified"] is False
    assert done["told"] == "not verified: no sandbox works here; install bubblewrap"


@pytest.mark.parametrize(
    ("question", "said"),
    [
        ("nonsense\n", "the question: expected JSON"),
        ({"prompt": "x", "tokens": 3}, "tokens"),
        ({"prompt": "x", "max_tokens": 0}, "max_tokens: expected"),
        ({"prompt": "x", "tests": "1"}, "got none that use a name of it"),
        ({"prompt": "x", "tests": "def ("}, "the tests: expected tests in Python"),
        ({"prompt": "x", "chat": True}, "was not trained on conversations"),
    ],
)
def test_what_cannot_be_says_why_and_the_next_is_answered(ask, question, said):
    refused, *_, done = ask(question, {"prompt": "x", "max_tokens": 1})
    assert said in refused["error"]
    assert "error" not in done


def test_a_checkpoint_that_is_not_there(ask, run):
    [refused] = ask({"prompt": "x"}, checkpoint=run / "checkpoints" / "step_00000007")
    assert "step_00000007" in refused["error"]
