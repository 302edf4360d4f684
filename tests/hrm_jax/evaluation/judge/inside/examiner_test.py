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
        {"value": {"kind": "object", "items": []}},
        {"value": {"kind": "object", "items": ["x"]}},
        {"value": {"kind": "test", "items": [0]}},
        {"value": {"kind": "error", "items": [1, "E", []]}},
        {"value": {"kind": "error", "items": [1, "E", [{"kind": "type", "items": ["int"]}]]}},
        {"value": {"kind": "Fraction", "items": [1, 0]}},
        {"value": {"kind": "array", "items": ["O", [1], [2], True]}},
        {"error": "ValueError", "message": "no", "exception": 3},
        {"error": "E", "message": "", "exception": {"kind": "exception", "items": [1, 2, []]}},
        {"call": 0, "items": [[], {"kind": "dict", "items": []}]},
        {"call": 0},
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


def test_an_object_equals_no_value_of_the_tests():
    own = {"value": {"kind": "object", "items": [1]}}
    tests = "x = f(1)\nassert not x == 2 and x != 2 and x is f(1) and x not in [2, 'a', None]"
    assert said(LOADED, FUNCTION, own, own, tests=tests)["passed"]


@pytest.mark.parametrize("equal", [True, False])
def test_the_program_says_which_of_its_objects_are_equal(equal):
    objects = [{"value": {"kind": "object", "items": [number]}} for number in (1, 2)]
    report = said(LOADED, FUNCTION, *objects, {"value": equal}, tests="assert f(1) == f(2)")
    assert report["passed"] is equal


@pytest.mark.parametrize(
    "plain",
    [7, 7.0, "7", [7], {"kind": "tuple", "items": [7]}, {"kind": "dict", "items": [[7, 7]]}],
)
def test_only_the_plain_part_of_an_object_meets_values_of_the_tests(plain):
    own = {"value": {"kind": "object", "items": [1, plain]}}
    tests = "assert f(1) == 2"
    assert not said(LOADED, FUNCTION, own, {"value": plain}, tests=tests)["passed"]
    tests = "x = f(1)\nassert x in (7, '7', [7], (7,), {7: 7})"
    assert said(LOADED, FUNCTION, own, *[{"value": plain}] * 9, tests=tests)["passed"]


def test_an_object_is_one_value_to_an_expression():
    sets = [{"kind": "set", "items": items} for items in ([1, 2], [1, 2, 3, 4], [1, 2])]
    answers = [{"value": {"kind": "object", "items": [1, sets[0]]}}, {"value": 0}]
    answers += [{"value": value} for value in sets[1:]]
    tests = "x = f(1)\nassert {1} <= x\nf(2)\nassert {1} <= x <= {1, 2, 3}"
    assert not said(LOADED, FUNCTION, *answers, tests=tests)["passed"]
    assert said(LOADED, FUNCTION, *answers[:2], answers[3], tests=tests)["passed"]


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
