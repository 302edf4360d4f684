"""The judge is calibrated: solutions pass, planted bugs fail; `-m calibration` judges more."""

import re

import pytest

from hrm_jax.evaluation.judge.exams import Bounds
from hrm_jax.evaluation.judge.judge import Judge
from hrm_jax.evaluation.judge.toolchains import ToolchainMissing, find_toolchain
from hrm_jax.evaluation.sandbox.base import SandboxUnavailable
from hrm_jax.evaluation.sandbox.isolation import find_sandbox
from hrm_jax.evaluation.suites import named

LIBRARIES = {"cpp": "boost/|openssl/|MD5_", "rust": "rand|regex|md5"}
"""What some programs of a language ask for, and what compilers say where it is not installed."""


def judged(suite, completions):
    """Verdicts by task id."""
    try:
        sandbox = find_sandbox()
        toolchain = find_toolchain(suite.language)
    except (SandboxUnavailable, ToolchainMissing) as error:
        pytest.skip(str(error))
    judge = Judge(sandbox, toolchain, Bounds(), workers=2)
    exams = [suite.exam_of(p, text) for p, text in zip(suite.problems, completions, strict=True)]
    ids = [problem.task_id for problem in suite.problems]
    return dict(zip(ids, judge.judge_all(exams), strict=True))


def solved(suite):
    return judged(suite, [problem.canonical for problem in suite.problems])


@pytest.mark.parametrize("count", [16, pytest.param(0, marks=pytest.mark.calibration, id="all")])
def test_humaneval_is_solved_by_its_solutions(count):
    suite = named.load_suite("humaneval", None).take(count)
    failed = {task: verdict for task, verdict in solved(suite).items() if not verdict.passed}
    assert not failed


@pytest.mark.calibration
def test_humaneval_is_not_solved_by_nothing():
    suite = named.load_suite("humaneval", None)
    verdicts = judged(suite, ["    return None\n"] * len(suite.problems))
    assert not [task for task, verdict in verdicts.items() if verdict.passed]


@pytest.mark.calibration
@pytest.mark.parametrize("name", [name for name in named.NAMES if name != "humaneval"])
def test_solutions_pass(suite_data, name):
    suite = named.load_suite(name, suite_data, split="all").take(40)
    failed = [verdict for verdict in solved(suite).values() if not verdict.passed]
    library = LIBRARIES.get(suite.language, "(?!)")
    assert not [v for v in failed if v.result != "compile" or not re.search(library, v.detail)]


@pytest.mark.calibration
@pytest.mark.parametrize("name", [name for name in named.NAMES if "pack" in name])
def test_planted_bugs_fail(suite_data, name):
    suite = named.load_suite(name, suite_data).take(40)
    verdicts = judged(suite, [problem.buggy or "" for problem in suite.problems])
    assert not [task for task, verdict in verdicts.items() if verdict.passed]
