"""HumanEval's own solutions pass the examples that are read from its prompts."""

import pytest

from hrm_jax.evaluation.suites.humaneval import load_humaneval
from hrm_jax.verified.checks import check_of_examples
from hrm_jax.verified.examples import examples_in

WRONG_DOCSTRINGS = {"HumanEval/47", "HumanEval/116", "HumanEval/130"}


@pytest.mark.calibration
def test_solutions_pass_the_examples_of_their_prompts(judge):
    problems = [one for one in load_humaneval().problems if examples_in(one.prompt.prefix)]
    assert len(problems) == 152
    exams = [
        check_of_examples(examples_in(one.prompt.prefix)).exam_of(one.before + one.canonical)
        for one in problems
    ]
    verdicts = zip(problems, judge.judge_all(exams), strict=True)
    assert {one.task_id for one, verdict in verdicts if not verdict.passed} == WRONG_DOCSTRINGS
