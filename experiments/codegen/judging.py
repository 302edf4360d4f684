"""Flags of the judge that runs written code, for generating and measuring."""

import os

from absl import flags

from hrm_jax.evaluation.judge.exams import Bounds
from hrm_jax.evaluation.judge.judge import Judge
from hrm_jax.evaluation.judge.toolchains import Language
from hrm_jax.evaluation.sandbox.isolation import find_sandbox

FLAGS = flags.FLAGS

flags.DEFINE_integer("judges", os.cpu_count() or 1, "programs run at a time", lower_bound=1)
flags.DEFINE_list(
    "allow_packages",
    [],
    "packages, such as numpy, that programs and tests in Python may import besides the standard "
    "library; read-only, as they are installed here",
)


def make_judge(language: Language, bounds: Bounds | None = None) -> Judge:
    """Returns a judge as the flags say.

    Raises:
      SandboxUnavailable, ToolchainMissing, PackageMissing: what is missing.
    """
    return Judge.of(
        language, find_sandbox(), bounds or Bounds(), FLAGS.judges, FLAGS.allow_packages
    )
