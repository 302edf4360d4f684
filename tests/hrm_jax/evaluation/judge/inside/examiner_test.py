"""The examiner against candidates that do not keep to the protocol."""

import io
import json

import pytest

from hrm_jax.evaluation.judge.inside.examiner import Channel, examine

EXAM = {"program": "", "reference": "", "remote": ["f"], "tests": "assert f(1) == 2"}
LOADED = {"value": None}
FUNCTION = {"value": {"kind": "object", "items": [0]}}


def said(*answers, **changes):
    """The report of an exam whose candidate says these lines, whatever it is asked."""
    lines = b"".join(a if isinstance(a, bytes) else json.dumps(a).encode() + b"\n" for a in answers)
    return examine(EXAM | changes, Channel(io.BytesIO(), io.BytesIO(lines)))


def test_right_answers_pass():
    assert said(LOADED, FUNCTION, {"value": 2}) == {"passed": True, "detail": ""}


@pytest.mark.parametrize(
    "answer",
    [
        {"value": 3},
        {"value": None},
        {"value": {"kind": "object", "items": [1]}},
        {"error": "ValueError", "message": "no"},
        {"error": "SystemExit", "message": "0"},
        {"error": "UnicodeDecodeError", "message": "wants more"},
        {"passed": True},
        {"value": {"kind": "remote"}},
        [],
        b'{"passed": true}',
        b"not JSON\n",
        b"[" * 100_000 + b"\n",
        b"",
    ],
)
def test_anything_else_fails(answer):
    report = said(LOADED, FUNCTION, answer)
    assert report["passed"] is False
    assert report["detail"]


@pytest.mark.parametrize(
    ("truth", "tests", "passed"),
    [
        (True, "assert f(1)", True),
        (False, "assert f(1)", False),
        (False, "assert not f(1)", True),
        (True, "assert not f(1)", False),
        (1, "assert f(1)", False),
        (None, "assert not f(1)", False),
    ],
)
def test_the_truth_of_an_object_is_an_answer(truth, tests, passed):
    own = {"value": {"kind": "object", "items": [1]}}
    assert said(LOADED, FUNCTION, own, {"value": truth}, tests=tests)["passed"] is passed


def test_an_object_equals_nothing_but_itself():
    own = {"value": {"kind": "object", "items": [1]}}
    tests = "x = f(1)\nassert x == x and not x == 2 and x != f(1)"
    assert said(LOADED, FUNCTION, own, own, tests=tests)["passed"]


def test_tests_may_expect_exceptions():
    tests = "try:\n    f(1)\nexcept ValueError as error:\n    assert str(error) == 'no'"
    assert said(LOADED, FUNCTION, {"error": "ValueError", "message": "no"}, tests=tests)["passed"]


def test_tests_cannot_mistake_the_end_for_an_exception():
    tests = "try:\n    f(1)\nexcept Exception:\n    pass"
    report = said(LOADED, FUNCTION, tests=tests)
    assert report == {
        "passed": False,
        "detail": "CandidateGoneError: the program ended during the tests",
    }


def test_helpers_are_the_references():
    changes = {
        "reference": "def g(x): return x + 1\ndef f(x): return 0",
        "tests": "assert g(1) == 2",
    }
    assert said(LOADED, FUNCTION, **changes)["passed"]
