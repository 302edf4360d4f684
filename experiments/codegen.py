"""Writing code: train a model for it, let it write, measure what it writes.

    python -m experiments.codegen                        # trains a small model on the code at hand
    python -m experiments.codegen --mode=generate        # writes with it
    python -m experiments.codegen --mode=eval            # runs what it writes against test suites
    python -m experiments.codegen --mode=train --help    # each mode has flags of its own

Source: arXiv 2506.21734 (HRM), HRM-Text. Needs an extra: `pip install 'hrm-jax[codegen]'`.

What the first command trains, what it shows and what came out of it: docs/codegen.md.
"""

import importlib
import sys
from collections.abc import Sequence

from absl import app, flags, logging

from experiments import process

if __name__ == "__main__":
    process.keep_heap()  # before JAX is imported: it re-executes the program once

import jax
from rich.console import Console

from experiments import distributed, runs
from hrm_jax.convert.pytorch import WeightsError
from hrm_jax.core.config import ConfigError
from hrm_jax.training.loop import Diverged, Ended
from hrm_jax.training.run_log import RunLogError
from hrm_jax.training.state_arrays import CheckpointError

MODES = {
    "train": "experiments.code_training",
}
"""Modules with `run(console) -> int`. A mode's flags are defined where its module is imported, and
only that of the mode asked for is: flags of the others would be in the way."""

flags.DEFINE_enum("mode", "train", list(MODES), "what to do; each mode has flags of its own")


def main(argv: list[str]) -> int:
    """Runs the mode; returns the exit code."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; flags start with --", exitcode=2)
    logging.set_verbosity(logging.WARNING)  # orbax tells of every save in a dozen lines
    try:
        distributed.join()
        mode = importlib.import_module(MODES[flags.FLAGS.mode])
        return mode.run(Console(markup=False, quiet=jax.process_index() != 0))
    except (
        CheckpointError,
        ConfigError,
        Diverged,
        Ended,
        ImportError,
        OSError,
        RunLogError,
        WeightsError,
        distributed.DistributedError,
        runs.RunError,
    ) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2


def define_flags(argv: Sequence[str]) -> None:
    """Imports the module of the mode that the command line names, and makes its flags ours."""
    named = flags.FlagValues()
    flags.DEFINE_enum("mode", "train", list(MODES), "", flag_values=named)
    named(argv, known_only=True)
    module = importlib.import_module(MODES[str(named["mode"].value)])
    flags.adopt_module_key_flags(module)


if __name__ == "__main__":
    define_flags(sys.argv)
    app.run(main)
