"""Exams in Python and JavaScript: tests in one sandbox, the program in another.

In a language where everything can be changed at run time, a program can make tests in its own
process pass: by `os._exit(0)`, by an answer whose `__eq__` returns True, by a new
`JSON.stringify`. So tests run in another process. The examiner runs them in a sandbox of its own;
where they call the program's function, the arguments go as plain data to the sandbox of the
program, and the answer comes back as plain data, or as a number by which the examiner asks the
program about an object of its own (`hrm_jax.evaluation.judge.inside`).

The program can reach its own process, its scratch folder, and the two pipes to the examiner, on
which it can only send answers. It sees neither the tests nor the report. If it ends, kills other
processes of its sandbox or breaks the protocol, it has failed. Trusted are the sandbox, the
examiner, and the tests, for which right answers to a few calls make a right program. Arguments
and plain answers are copies: a test cannot see a program change what it was given.
"""

import dataclasses
import json
import os
import subprocess
from pathlib import Path

from hrm_jax.evaluation.judge import packages
from hrm_jax.evaluation.judge.exams import Bounds, Exam, Verdict
from hrm_jax.evaluation.judge.toolchains import Toolchain
from hrm_jax.evaluation.sandbox import processes
from hrm_jax.evaluation.sandbox.base import Job, Mount, Sandbox
from hrm_jax.evaluation.sandbox.limits import Limits
from hrm_jax.evaluation.sandbox.processes import Outcome

_HOME = "/inside"
_PACKAGE = f"{__package__}.inside"
_FOLDER = f"{_HOME}/{_PACKAGE.replace('.', '/')}"
_MOUNT = Mount(str(Path(__file__).resolve().with_name("inside")), _FOLDER)
_ENVIRONMENT = (
    *(("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8")),
    ("PYTHONPATH", f"{_HOME}:{packages.FOLDER}"),
    # A thread of a library for each core would not fit into the limits of a program.
    *(("OPENBLAS_NUM_THREADS", "1"), ("OMP_NUM_THREADS", "1")),
)


def examine(sandbox: Sandbox, exam: Exam, toolchain: Toolchain, bounds: Bounds) -> Verdict:
    """Returns the verdict on a program in Python or JavaScript."""
    limits = _limits(toolchain, bounds)
    # Two pipes: requests from the examiner to the candidate, and answers back.
    requests, ask, answers, answer = ends = [*os.pipe(), *os.pipe()]

    def start(role: str, descriptors: tuple[int, int], stream: int) -> "subprocess.Popen[bytes]":
        side = job_of(toolchain, bounds, role, *map(str, descriptors))
        return processes.start(sandbox, side, stdin=stream, stdout=stream, pass_fds=descriptors)

    try:
        candidate = start("candidate", (requests, answer), subprocess.DEVNULL)
        examiner = start("examiner", (ask, answers), subprocess.PIPE)
    finally:
        # The parent must close its copies: otherwise neither side would see the end of the other's
        # pipe.
        for end in ends:
            os.close(end)
    text = json.dumps(dataclasses.asdict(exam)) + "\n"
    # The candidate reads nothing but requests; the exam, with the tests, goes to the examiner
    # alone.
    outcome = processes.watch(examiner, limits, text.encode(), [candidate])
    return _verdict(outcome, candidate.returncode)


def job_of(toolchain: Toolchain, bounds: Bounds, role: str, *arguments: str) -> Job:
    """Returns the job that runs a module of `inside`, by its name, on the limits of a program."""
    mounts = (_MOUNT, *toolchain.mounts, *toolchain.packages)
    argv = (*_argv(toolchain, role), *arguments)
    return Job(argv, _limits(toolchain, bounds), mounts, _ENVIRONMENT)


def _limits(toolchain: Toolchain, bounds: Bounds) -> Limits:
    # Node reserves gibibytes of addresses.
    return (
        dataclasses.replace(bounds.run, address_space=False)
        if toolchain.language == "js"
        else bounds.run
    )


def _argv(toolchain: Toolchain, role: str) -> tuple[str, ...]:
    if toolchain.language == "js":
        return (toolchain.programs["node"], "--max-old-space-size=512", f"{_FOLDER}/{role}.js")
    # -S and -s: no site-packages, which may hold anything. -B: the folder is read-only.
    return (toolchain.programs["python"], "-S", "-s", "-B", "-m", f"{_PACKAGE}.{role}")


def _verdict(outcome: Outcome, candidate_status: int) -> Verdict:
    if outcome.stopped:
        return Verdict(outcome.stopped, "", outcome.seconds)
    # The examiner only sees that the candidate is gone; its status tells why.
    if candidate_status == processes.OUT_OF_TIME:
        return Verdict("time", "its processor time is used up", outcome.seconds)
    try:
        report = json.loads(outcome.stdout)
    except (ValueError, RecursionError):
        said = outcome.stderr.decode(errors="replace")[-500:]
        return Verdict("failed", f"no report ({outcome.status}): {said}", outcome.seconds)
    # `is True`: anything else in the report counts as failed.
    passed = report["passed"] is True
    return Verdict(
        "passed" if passed else "failed",
        report["detail"],
        outcome.seconds,
        right=report.get("right", 0),
        total=report.get("total", 0),
    )
