"""What is chosen among samples, and whether it is right."""

import dataclasses

import pytest

from hrm_jax.core.texts import Prompt
from hrm_jax.evaluation.evaluate import Judged, ResumeError
from hrm_jax.evaluation.judge.exams import Exam
from hrm_jax.evaluation.suites.problems import Problem, Suite
from hrm_jax.verified.choices import Seen, can_choose, choose, look, settled

BEFORE = 'def f(n: int) -> int:\n    """\n    >>> f(2)\n    4\n    """\n'
EXAM = Exam("python", "", "assert f(3) == 6", ("f",))


def problem(name, before):
    return Problem(name, Prompt(before), EXAM, "    return 2 * n\n", before)


SUITE = Suite("toy", "python", (problem("a", BEFORE), problem("b", "def f(n: int) -> int:\n")))
BODIES = ["n * n", "n + n", "2 * n", "n.no", "n +"]
RIGHT = [False, True, True, False, False]


def lines_of(task):
    texts = zip(BODIES, RIGHT, strict=True)
    return [
        Judged(task, n, n, f"    return {body}\n", True, right, "", "", 0.0)
        for n, (body, right) in enumerate(texts)
    ]


def test_samples_are_looked_at_once(judge, tmp_path, monkeypatch):
    file = tmp_path / "choices.jsonl"
    lines = [*lines_of("a"), *lines_of("b")]
    first = look(SUITE, lines, judge, file)
    assert [seen.task_id for seen in first] == ["a", "b"]
    assert list(first[0].verified) == [True, True, True, False, False]
    assert list(first[1].verified) == []
    groups = first[0].groups
    assert groups[1] == groups[2] != groups[0]
    assert groups[3:] == [-1, -1]
    monkeypatch.setattr(type(judge), "judge", None)
    seen = []
    assert look(SUITE, lines, judge, file, seen.append) == first == seen
    file.write_text("{}\n" + file.read_text())
    with pytest.raises(ResumeError, match="line 1"):
        look(SUITE, lines, judge, file)


def test_problems_without_samples_are_left_out(judge, tmp_path):
    assert len(look(SUITE, lines_of("b"), judge, tmp_path / "c")) == 1


def test_what_is_chosen():
    # The first passes the examples and is wrong; most of those that pass agree on what is right.
    one = Seen("a", [False, True, True, False], [True, True, True, False], [0, 1, 1, 2])
    found = choose([one], 4)
    assert (found.first, found.shown, found.shown_agreed, found.agreed) == (0, 0, 1, 1)
    assert (found.verified, found.wrong, found.wrong_agreed, found.possible) == (1, 1, 0, 1)
    # Without examples agreement chooses, and nothing is verified.
    other = dataclasses.replace(one, verified=[])
    found = choose([other], 4)
    assert (found.shown, found.verified, found.wrong) == (1, 0, 0)
    assert choose([one, other], 4).verified == 0.5
    # Groups of two: the first of each group, over both groups.
    assert choose([one], 2).first == 0.5


def test_a_problem_that_is_settled_has_fewer_samples():
    settled_one = Seen("a", [False, True], [False, True], [0, 1])
    other = Seen("b", [False] * 4 + [True, False], [False] * 4 + [True, False], [0, 0, 0, 0, 1, 1])
    found = [settled_one, other]
    assert can_choose(found, 2)
    assert can_choose(found, 6)
    assert not can_choose([dataclasses.replace(settled_one, verified=[]), other], 3)
    six = choose(found, 6)
    assert (six.verified, six.shown, six.wrong, six.first) == (1, 1, 0, 0)
    assert six.agreed is six.shown_agreed is six.possible is six.wrong_agreed is None
    # Of two: the later samples of `b` were drawn since its first ones failed, so they do not count.
    assert (choose(found, 2).verified, choose(found, 2).possible) == (0.5, 0.5)


def test_what_settles_a_problem(judge):
    is_settled = settled(SUITE, judge)
    first, without_examples = SUITE.problems
    assert not is_settled(first, lines_of("a")[3:])
    # The first sample is wrong, but passes the examples: it would be shown.
    assert is_settled(first, lines_of("a")[:1])
    assert not is_settled(without_examples, lines_of("b"))


def test_those_that_never_answer_are_no_majority():
    one = Seen("a", [False, False, True], [], [-1, -1, 0])
    assert choose([one], 3).agreed == 1
    assert choose([dataclasses.replace(one, groups=[-1, -1, -1])], 3).agreed == 0
