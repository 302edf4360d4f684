"""Code by language models: measure what they write.

    python -m experiments.codegen --mode=eval --suite=humaneval --completer=canonical
    python -m experiments.codegen --mode=eval --suite=humanevalpack_cpp --suite_data=DATA \\
        --completer=buggy --results=runs/cpp

What is measured, how, and how safe it is to run: docs/measuring.md.
"""

import sys

from absl import app, flags, logging
from rich.console import Console

from experiments import code_measuring
from hrm_jax.core.config import ConfigError
from hrm_jax.evaluation.code.evaluate import ResumeError
from hrm_jax.evaluation.code.problems import SuiteError
from hrm_jax.evaluation.code.sandbox import SandboxUnavailable
from hrm_jax.evaluation.code.toolchains import ToolchainMissing

FLAGS = flags.FLAGS

flags.DEFINE_enum("mode", "eval", ["eval"], "what to do")
flags.DEFINE_bool("resume", False, "go on with what a folder holds")
flags.DEFINE_integer("samples", 1, "completions of each prompt", lower_bound=1)
flags.DEFINE_integer("seed", 0, "of all that is drawn")
flags.DEFINE_integer("max_tokens", 512, "longest completion", lower_bound=1)


def main(argv: list[str]) -> int:
    """Runs the mode; returns the exit code."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; flags start with --", exitcode=2)
    logging.set_verbosity(logging.WARNING)
    try:
        return code_measuring.run(Console(markup=False), None)
    except (
        ConfigError,
        OSError,
        ResumeError,
        SandboxUnavailable,
        SuiteError,
        ToolchainMissing,
    ) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    app.run(main)
