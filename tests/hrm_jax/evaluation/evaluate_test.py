"""Measuring: figures, lines on disk, and going on."""

import collections
import dataclasses
import json

import numpy as np
import pytest

from hrm_jax.core.config import ConfigError
from hrm_jax.core.texts import Prompt
from hrm_jax.evaluation.evaluate import (
    COMPLETIONS,
    REPORT,
    SETTINGS,
    EvaluationSettings,
    ResumeError,
    evaluate,
    read_completions,
    seed_of,
)
from hrm_jax.evaluation.judge.exams import Exam, Verdict
from hrm_jax.evaluation.pass_at_k import estimate
from hrm_jax.evaluation.suites import known_answers
from hrm_jax.evaluation.suites.problems import Problem, Suite, SuiteError

PROBLEMS = tuple(
    Problem(f"task/{i}", Prompt(f"say {i}:"), Exam("python", "", str(i), ("f",)), str(i), buggy="x")
    for i in range(5)
)
SUITE = Suite("numbers", "python", PROBLEMS, stop=("\n",))
SETTINGS_OF_4 = EvaluationSettings("numbers", "table", problems=5, samples=4, ks=(1, 2))


class Kill(Exception):
    """Stands for the end of the process."""


@dataclasses.dataclass
class Numbers:
    """A completer that is right as often as the problem's number says, and may be killed."""

    calls: int = 0
    lethal_call: int = -1

    def __call__(self, prompts, *, seeds, stop, max_tokens):
        assert stop == SUITE.stop
        assert max_tokens == 512
        self.calls += 1
        if self.calls == self.lethal_call:
            raise Kill
        numbers = [int(prompt.prefix.strip("say :")) for prompt in prompts]
        return [str(n) if s % 4 < n else "no" for n, s in zip(numbers, seeds, strict=True)]


class Clerk:
    """A judge that compares."""

    def judge_all(self, exams):
        for exam in exams:
            right = exam.program == exam.tests
            yield Verdict("passed" if right else "failed", "", 0.25)


def measure(folder, completer=None, settings=SETTINGS_OF_4, **options):
    return evaluate(SUITE, completer or Numbers(), Clerk(), settings, folder, **options)


def test_figures_are_those_of_the_lines(tmp_path):
    report = measure(tmp_path, batch=3)
    lines = read_completions(tmp_path / COMPLETIONS)
    assert len(lines) == 20
    right = [sum(line.passed for line in lines if line.task_id == p.task_id) for p in PROBLEMS]
    assert right == [
        sum(seed_of(SETTINGS_OF_4, p.task_id, s) % 4 < i for s in range(4))
        for i, p in enumerate(PROBLEMS)
    ]
    assert report.pass_at == {k: estimate(4, np.array(right), k, 0) for k in (1, 2)}
    assert report.results == {"passed": sum(right), "failed": 20 - sum(right)}
    assert report.unsolved == tuple(
        p.task_id for p, n in zip(PROBLEMS, right, strict=True) if not n
    )
    assert report.judging_seconds == 5.0
    assert json.loads((tmp_path / REPORT).read_text()) == json.loads(json.dumps(report.as_dict()))


def test_programs_are_parsed_whatever_the_verdict(tmp_path):
    def completer(prompts, *, seeds, stop, max_tokens):
        return ["right +" if "3" in prompt.prefix else "right" for prompt in prompts]

    report = measure(tmp_path, completer)
    assert report.parse_rate == report.as_dict()["parse_rate"] == 0.8
    for line in read_completions(tmp_path / COMPLETIONS):
        assert line.parses == (line.task_id != "task/3")
        assert not line.passed


def test_prompts_that_are_too_long_are_counted_apart(tmp_path):
    def completer(prompts, *, seeds, stop, max_tokens):
        short = Numbers()(prompts, seeds=seeds, stop=stop, max_tokens=max_tokens)
        return [None if "3" in p.prefix else text for p, text in zip(prompts, short, strict=True)]

    report = measure(tmp_path / "some", completer, batch=3)
    assert report.too_long == ("task/3",)
    assert report.results["prompt_too_long"] == 4
    assert "task/3" in report.unsolved
    assert report.parse_rate == 1.0
    assert report.as_dict()["too_long"] == ["task/3"]
    assert measure(tmp_path / "some", completer, resume=True) == report

    none = measure(tmp_path / "none", lambda prompts, **_: [None] * len(prompts))
    assert none.too_long == none.unsolved == tuple(problem.task_id for problem in PROBLEMS)
    assert (none.pass_at[1].value, none.parse_rate) == (0.0, 0.0)


def test_a_killed_measurement_goes_on(tmp_path):
    whole = measure(tmp_path / "whole", batch=3)
    with pytest.raises(Kill):
        measure(tmp_path / "cut", Numbers(lethal_call=4), batch=3)
    assert len(read_completions(tmp_path / "cut" / COMPLETIONS)) == 9
    seen = []
    completer = Numbers()
    progress = lambda lines, left: seen.append((len(lines), left))  # noqa: E731
    report = measure(tmp_path / "cut", completer, resume=True, batch=6, progress=progress)
    assert report == whole
    assert seen == [(9, 11), (0, 11), (6, 5), (5, 0)]
    assert completer.calls == 2
    assert (tmp_path / "cut" / COMPLETIONS).read_bytes() == (
        tmp_path / "whole" / COMPLETIONS
    ).read_bytes()


def test_a_cut_measurement_has_samples_of_each_problem(tmp_path):
    settings = dataclasses.replace(SETTINGS_OF_4, samples=25)
    with pytest.raises(Kill):
        measure(tmp_path, Numbers(lethal_call=3), settings, batch=60)
    lines = read_completions(tmp_path / COMPLETIONS)
    counts = collections.Counter(line.task_id for line in lines)
    assert [counts[problem.task_id] for problem in PROBLEMS] == [20, 20, 20, 20, 20]
    # A batch ends with its round. Samples of a problem come one after another, as they share what
    # was read of its prompt.
    assert [line.sample for line in lines[:12]] == [*range(10), 0, 1]


def test_settled_problems_get_no_more(tmp_path):
    # 25 samples come in rounds of 10, 10 and 5; task/1 is settled by the first, task/2 by the next.
    settings = dataclasses.replace(SETTINGS_OF_4, samples=25, until_settled=True)
    asked = []

    def settled(problem, lines):
        asked.append((problem.task_id, [line.sample for line in lines]))
        return (problem.task_id, len(asked) > 5) in {("task/1", False), ("task/2", True)}

    left = []
    options = {"settled": settled, "progress": lambda lines, most: left.append(most), "batch": 30}
    report = measure(tmp_path, settings=settings, **options)
    lines = read_completions(tmp_path / COMPLETIONS)
    counts = collections.Counter(line.task_id for line in lines)
    assert [counts[problem.task_id] for problem in PROBLEMS] == [25, 10, 20, 25, 25]
    assert asked[:2] == [("task/0", [*range(10)]), ("task/1", [*range(10)])]
    assert asked[5:7] == [("task/0", [*range(10, 20)]), ("task/2", [*range(10, 20)])]
    assert left == [125, 125, 95, 75, 60, 30, 20, 15, 0]
    # Which problems got more depended on their first samples: pass@k is told by these alone.
    firsts = [line for line in lines if line.sample < 10]
    right = [sum(one.passed for one in firsts if one.task_id == p.task_id) for p in PROBLEMS]
    assert report.pass_at[1] == estimate(10, np.array(right), 1, 0)
    assert report.unsolved == ("task/0",)
    asked.clear()
    again = measure(tmp_path, Numbers(lethal_call=1), settings, resume=True, **options)
    assert again == report
    with pytest.raises(ConfigError, match="ks: expected numbers up to 10, the samples of each"):
        dataclasses.replace(settings, ks=(11,))


@pytest.mark.parametrize("torn", [b'{"task', b'{"task_id": "task/0"}', b"\xff"])
def test_a_torn_last_line_is_done_again(tmp_path, torn):
    whole = measure(tmp_path, batch=3)
    path = tmp_path / COMPLETIONS
    content = path.read_bytes()
    start = content[:-1].rfind(b"\n") + 1
    path.write_bytes(content[:start] + torn)
    assert measure(tmp_path, resume=True) == whole
    assert path.read_bytes() == content


def test_another_broken_line_is_told(tmp_path):
    measure(tmp_path)
    path = tmp_path / COMPLETIONS
    path.write_bytes(b"{}\n" + path.read_bytes())
    with pytest.raises(ResumeError, match="line 1: expected a line"):
        measure(tmp_path, resume=True)


def test_a_finished_measurement_is_only_read(tmp_path):
    report = measure(tmp_path)
    assert measure(tmp_path, Numbers(lethal_call=1), resume=True) == report


def test_a_measurement_is_not_overwritten(tmp_path):
    measure(tmp_path)
    with pytest.raises(ResumeError, match="holds a measurement; go on with it by --resume"):
        measure(tmp_path)


def test_other_settings_are_named(tmp_path):
    measure(tmp_path)
    other = dataclasses.replace(SETTINGS_OF_4, seed=7, completer="else")
    with pytest.raises(ResumeError, match=r"completer 'table', now 'else'; seed 0, now 7; name"):
        measure(tmp_path, settings=other, resume=True)


def test_a_measurement_of_before_packages_could_be_allowed_goes_on(tmp_path):
    report = measure(tmp_path)
    settings = json.loads((tmp_path / SETTINGS).read_text())
    del settings["packages"]
    (tmp_path / SETTINGS).write_text(json.dumps(settings))
    assert measure(tmp_path, resume=True) == report


def test_packages_that_programs_want_are_counted(tmp_path):
    class Wanting:
        def judge_all(self, exams):
            for _ in exams:
                yield Verdict("failed", "ModuleNotFoundError: No module named 'numpy.linalg'", 0.1)

    settings = dataclasses.replace(SETTINGS_OF_4, samples=1, ks=(1,))
    report = evaluate(SUITE, Numbers(), Wanting(), settings, tmp_path)
    assert report.missing_packages == {"numpy": 5}


def test_broken_settings_are_told(tmp_path):
    measure(tmp_path)
    (tmp_path / SETTINGS).write_text("{")
    with pytest.raises(ResumeError, match=r"settings.json: cannot be read"):
        measure(tmp_path, resume=True)


def test_seeds_depend_on_task_and_sample_alone():
    more = dataclasses.replace(SETTINGS_OF_4, samples=9, problems=2)
    assert seed_of(SETTINGS_OF_4, "a", 3) == seed_of(more, "a", 3)
    seeds = {seed_of(more, f"task/{i}", s) for i in range(20) for s in range(20)}
    assert len(seeds) == 400
    assert seed_of(SETTINGS_OF_4, "a", 0) != seed_of(dataclasses.replace(more, seed=1), "a", 0)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"samples": 0}, "samples: expected 1 or more, got 0"),
        ({"ks": (5,)}, "ks: expected numbers up to 4, the samples of each"),
        ({"ks": (1, 0)}, r"ks\[1\]: expected 1 or more, got 0"),
        ({"ks": ()}, "ks: expected one or more"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    with pytest.raises(ConfigError, match=message):
        dataclasses.replace(SETTINGS_OF_4, **changes)


def test_solutions_all_pass_and_planted_bugs_do_not(tmp_path):
    settings = EvaluationSettings("numbers", "known", problems=5)
    right = measure(tmp_path / "right", known_answers.canonical(SUITE), settings)
    wrong = measure(tmp_path / "wrong", known_answers.buggy(SUITE), settings)
    assert (right.pass_at[1].value, wrong.pass_at[1].value) == (1.0, 0.0)


def test_what_a_suite_does_not_give_is_told():
    bare = dataclasses.replace(PROBLEMS[0], buggy=None)
    with pytest.raises(SuiteError, match="numbers has no buggy solutions"):
        known_answers.buggy(dataclasses.replace(SUITE, problems=(bare,)))
    with pytest.raises(SuiteError, match="expected prompts that differ"):
        known_answers.canonical(dataclasses.replace(SUITE, problems=(bare, bare)))
