"""Sandboxes and judges that this machine has; a test that needs one that is missing is skipped."""

import os
import pathlib

import pytest

from hrm_jax.evaluation.judge.exams import Bounds
from hrm_jax.evaluation.judge.judge import Judge
from hrm_jax.evaluation.judge.toolchains import ToolchainMissing, find_toolchain
from hrm_jax.evaluation.sandbox.isolation import SANDBOXES, find_problem
from hrm_jax.evaluation.sandbox.limits import MEBIBYTE, Limits
from hrm_jax.evaluation.suites.named import DATA_VARIABLE


@pytest.fixture(scope="session", params=SANDBOXES, ids=lambda sandbox: sandbox.name)
def sandbox(request):
    """Each sandbox in turn."""
    problem = find_problem(request.param)
    if problem is not None:
        pytest.skip(f"{request.param.name} does not work here: {problem}")
    return request.param


@pytest.fixture(scope="session")
def judge_of(sandbox):
    """A judge of a language, with small limits."""

    def make(language, **limits):
        try:
            toolchain = find_toolchain(language)
        except ToolchainMissing as error:
            pytest.skip(str(error))
        small = {"cpu_seconds": 3, "wall_seconds": 20.0, "memory_bytes": 512 * MEBIBYTE}
        return Judge(sandbox, toolchain, Bounds(Limits(**(small | limits))))

    return make


@pytest.fixture(scope="session")
def suite_data():
    """The folder of the real suites, where there is one."""
    folder = os.environ.get(DATA_VARIABLE)
    if not folder:
        pytest.skip(f"the suites' files are not here: set {DATA_VARIABLE}")
    return pathlib.Path(folder)
