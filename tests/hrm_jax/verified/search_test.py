"""The search ends with the first candidate that passes, and never calls another one verified."""

import time

import pytest

from hrm_jax.core.texts import Prompt
from hrm_jax.inference.text.requests import Request
from hrm_jax.verified.checks import check_of_tests
from hrm_jax.verified.programs import Continued, Conversed
from hrm_jax.verified.search import Budget, draw, search

PROMPT = "def double(n):\n"
RIGHT = "    return 2 * n\n"
WRONG = "    return n * n\n"
CHECK = check_of_tests("assert double(2) == 4\nassert double(3) == 6", "tests.py", packages=())
ASKED = Continued(Request(Prompt(PROMPT), seed=100))


def test_the_first_candidate_is_enough(judge, scripted):
    writer = scripted({100: RIGHT})
    found = search(writer, ASKED, CHECK, judge, Budget())
    assert found.verified
    assert found.best.text == RIGHT
    assert [one.sampling.temperature for one in writer.requests] == [0.0]
    assert found.best.failure == ""


def test_others_are_drawn_until_one_passes(judge, scripted):
    writer = scripted({106: RIGHT, 0: WRONG})
    seen = []
    found = search(writer, ASKED, CHECK, judge, Budget(attempts=20), seen.append)
    assert found.verified
    assert found.best.number == 6
    # One, then four, then four of which the second passes: no further round is begun.
    assert [one.seed for one in writer.requests] == list(range(100, 109))
    assert {one.sampling.temperature for one in writer.requests[1:]} == {0.8}
    assert found.best in seen


def test_the_best_of_those_that_fail(judge, scripted):
    texts = {100: "    return (", 101: "    return 0\n", 102: WRONG, 103: "    return 1\n"}
    found = search(scripted(texts), ASKED, CHECK, judge, Budget(attempts=4))
    assert not found.verified
    assert found.best.number == 2
    assert found.best.failure == "passed 1 of 2; double(3) == 6: expected 6, got 9"
    assert [one.number for one in found.candidates] == [0, 1, 2, 3]
    assert found.candidates[0].failure.startswith("SyntaxError: '(' was never closed")


def test_equal_programs_are_judged_once(judge, scripted, monkeypatch):
    judged = []
    real = type(judge).judge
    monkeypatch.setattr(type(judge), "judge", lambda *a: judged.append(a) or real(*a))
    search(scripted({0: WRONG}), ASKED, CHECK, judge, Budget(attempts=9))
    assert len(judged) == 1


def test_a_conversation_is_told_what_failed(judge, scripted):
    def conversation(turns):
        return Prompt("\n".join(turn["content"] for turn in turns))

    turns = [{"role": "user", "content": "Write double."}]
    asked = Conversed(Request(conversation(turns), seed=0), turns, conversation)
    texts = {0: f"```python\n{PROMPT}{WRONG}```", 1: f"```python\n{PROMPT}{RIGHT}```"}
    writer = scripted(texts)
    found = search(writer, asked, CHECK, judge, Budget())
    assert found.verified
    assert found.best.mends == 0
    assert "expected 6, got 9" in writer.requests[1].prompt.prefix
    assert [one.prompt.prefix for one in writer.requests[2:]] == ["Write double."] * 3
    # Where the longer conversation does not fit, it is asked for anew.
    writer = scripted(texts, room=20)
    assert search(writer, asked, CHECK, judge, Budget()).best.mends is None


def test_the_time_ends_a_search(judge, scripted):
    class Slow(scripted):
        def write(self, requests):
            for piece in super().write(requests):
                time.sleep(0.2)
                yield piece

    found = search(Slow({0: WRONG}), ASKED, CHECK, judge, Budget(attempts=1000, seconds=1.0))
    assert not found.verified
    assert found.seconds < 10
    # What was cut off is not verified, and counts as nothing.
    found = search(Slow({0: RIGHT}), ASKED, CHECK, judge, Budget(seconds=0.01))
    assert not found.verified
    assert found.best.failure == "it was not run: the time was over"


def test_draw_writes_all_that_are_wanted(scripted):
    found = draw(scripted({0: WRONG}), ASKED, Budget(attempts=5))
    assert [one.number for one in found] == [0, 1, 2, 3, 4]
    assert {one.program for one in found} == {PROMPT + WRONG}
    assert not any(one.passed for one in found)


@pytest.mark.parametrize("change", [{"attempts": 0}, {"seconds": 0.0}, {"temperature": 0.0}])
def test_budgets_that_cannot_be(change):
    with pytest.raises(ValueError, match=next(iter(change))):
        Budget(**change)
