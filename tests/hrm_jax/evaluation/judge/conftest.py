"""Many exams in one sandbox: starting one for each would take minutes."""

import json
import pathlib

import pytest

from hrm_jax.evaluation.judge.toolchains import find_toolchain
from hrm_jax.evaluation.sandbox import processes
from hrm_jax.evaluation.sandbox.base import Job, Mount, SandboxUnavailable
from hrm_jax.evaluation.sandbox.isolation import find_sandbox
from hrm_jax.evaluation.sandbox.limits import Limits
from hrm_jax.evaluation.suites.mbpp import remote_names

_PLACE = "hrm_jax/evaluation/judge/inside"
DRIVER = """
import json, os, sys
from hrm_jax.evaluation.judge.inside import candidate, examiner
sys.set_int_max_str_digits(0)
for line in sys.stdin:
    requests, ask = os.pipe()
    answers, answer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(ask)
        os.close(answers)
        sys.stdout = open(os.devnull, 'w')
        candidate.Candidate(os.fdopen(requests, 'rb'), os.fdopen(answer, 'wb')).serve()
        os._exit(0)
    os.close(requests)
    os.close(answer)
    with os.fdopen(ask, 'wb') as asks, os.fdopen(answers, 'rb') as answered:
        report = examiner.examine(json.loads(line), examiner.Channel(asks, answered))
    os.waitpid(child, 0)
    print(json.dumps(report), flush=True)
"""
"""Judges many programs in one sandbox, each in a process of its own."""


@pytest.fixture(scope="session")
def judged_together():
    """A function that returns the reports on programs and their tests, judged in one sandbox.

    The reference of each is the program, unless another is given.
    """
    try:
        sandbox = find_sandbox()
    except SandboxUnavailable as error:
        pytest.skip(str(error))
    toolchain = find_toolchain("python")
    inside = pathlib.Path(__file__).parents[4] / _PLACE
    mounts = (Mount(str(inside), f"/inside/{_PLACE}"), *toolchain.mounts)
    argv = (toolchain.programs["python"], "-S", "-s", "-B", "-c", DRIVER)
    limits = Limits(cpu_seconds=60, wall_seconds=120.0)
    job = Job(argv, limits, mounts, (("PYTHONPATH", "/inside"),))

    def judge(snippets, reference=None):
        exams = [
            {
                "program": program,
                "reference": program if reference is None else reference,
                "remote": remote_names(program, tests),
                "tests": tests,
            }
            for program, tests in snippets
        ]
        lines = [json.dumps(exam) + "\n" for exam in exams]
        outcome = processes.run(sandbox, job, "".join(lines).encode())
        assert outcome.status == 0, outcome.stderr.decode()
        return [json.loads(line) for line in outcome.stdout.splitlines()]

    return judge
