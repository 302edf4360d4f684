"""Errors for users have one base, and are what callers of their kind expect."""

import pytest

from hrm_jax.convert.weights import WeightsError
from hrm_jax.core.config import ConfigError
from hrm_jax.core.errors import UserError
from hrm_jax.core.files import InUse
from hrm_jax.data.corpus.packages import PackageError
from hrm_jax.data.sudoku.puzzle_files import PuzzleFileError
from hrm_jax.data.sudoku.rules import PuzzleError
from hrm_jax.evaluation.evaluate import ResumeError
from hrm_jax.evaluation.judge.toolchains import ToolchainMissing
from hrm_jax.evaluation.sandbox.base import SandboxUnavailable
from hrm_jax.evaluation.suites.problems import SuiteError
from hrm_jax.inference.text.prompts import PromptError
from hrm_jax.training.divergence import Diverged
from hrm_jax.training.loop import Ended
from hrm_jax.training.run import RunError
from hrm_jax.training.run_log import RunLogError
from hrm_jax.training.state_arrays import CheckpointError

ANCESTRY = {
    ValueError: (
        *(ConfigError, WeightsError, PuzzleFileError, PuzzleError),
        *(ResumeError, SuiteError, PromptError),
    ),
    RuntimeError: (Diverged, Ended, SandboxUnavailable, ToolchainMissing),
    OSError: (InUse,),
    Exception: (PackageError, RunError, RunLogError, CheckpointError),
}


@pytest.mark.parametrize("base", ANCESTRY)
def test_errors_for_users_keep_their_ancestry(base):
    for error in ANCESTRY[base]:
        assert issubclass(error, UserError)
        assert issubclass(error, base)
