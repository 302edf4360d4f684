import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.core.texts import Prompt
from hrm_jax.evaluation import gate
from hrm_jax.evaluation.judge.exams import Exam
from hrm_jax.evaluation.likelihood import bits_per_byte, nats_per_byte
from hrm_jax.evaluation.suites.problems import Problem, Suite
from tests.hrm_jax.inference.text import tiny
from tests.hrm_jax.inference.text.tiny import ByteTokenizer

SOLUTIONS = ["    return n\n", "    return n + 1\n", "    # ü\n    return 2 * n\n", "    pass\n"]
PROMPT = "def f(n):\n"
EXAM = Exam("python", "", "", ())


@pytest.fixture(scope="module")
def suite() -> Suite:
    problems = tuple(
        Problem(f"task/{number}", Prompt(PROMPT), EXAM, solution)
        for number, solution in enumerate(SOLUTIONS)
    )
    return Suite("few", "python", problems, stop=())


@pytest.fixture(scope="module")
def model():
    return tiny.hrm_text()


@pytest.mark.thorough
def test_nats_are_those_of_the_solutions_bytes_after_the_prompt(suite, model):
    network, variables = model
    found = nats_per_byte(network, variables, ByteTokenizer(), suite, 128)
    for problem in suite.problems:
        tokens = list((PROMPT + problem.canonical).encode())
        logs = jax.nn.log_softmax(network.logits(variables, jnp.asarray([tokens]))[0])
        size = len(problem.canonical.encode())
        expected = -sum(float(logs[at - 1, tokens[at]]) for at in range(len(PROMPT), len(tokens)))
        np.testing.assert_allclose(found[problem.task_id], expected / size, rtol=1e-5)
    np.testing.assert_allclose(bits_per_byte(found), np.mean(list(found.values())) / np.log(2))


def test_problems_without_room_are_left_out(suite, model):
    sizes = [len((PROMPT + solution).encode()) for solution in SOLUTIONS]
    found = nats_per_byte(*model, ByteTokenizer(), suite, sizes[1])
    assert list(found) == ["task/0", "task/1", "task/3"]


def test_a_damaged_model_does_not_pass_the_gate(suite, model):
    network, variables = model
    many = dataclasses.replace(
        suite,
        problems=tuple(
            dataclasses.replace(problem, task_id=f"{problem.task_id}/{number}")
            for problem in suite.problems
            for number in range(3)
        ),
    )
    # What a wrong scale somewhere does: the model is as sure as it is wrong.
    damaged = jax.tree.map(lambda leaf: 3 * leaf, variables)
    before, now = (
        gate.Measured({}, {}, nats_per_byte(network, values, ByteTokenizer(), many, 128))
        for values in (variables, damaged)
    )
    assert [change.is_worse for change in gate.changes(before, now)] == [False, True]
    assert not any(change.is_worse for change in gate.changes(before, before))
