"""Writing code: train a model for it, let it write, measure what it writes.

    python -m experiments.codegen                                      # trains on the code at hand
    python -m experiments.codegen --mode=generate --prompt='def fibonacci(n):'
    python -m experiments.codegen --mode=generate --model=runs/mine/model --prompt_file=start.py
    python -m experiments.codegen --mode=eval --suite=humaneval --completer=canonical
    python -m experiments.codegen --mode=eval --help                   # each mode has its own flags

What the first command trains, what it shows and what came out of it: docs/codegen.md; what can be
asked of a model: docs/generation.md; what is measured, and how: docs/measuring.md.

Source: arXiv 2605.20613 (HRM-Text). Extras: `pip install 'hrm-jax[codegen,foundation]'`.
"""

import importlib
import sys
from collections.abc import Sequence

from absl import app, flags, logging

from experiments.common import process

if __name__ == "__main__":
    process.keep_heap()  # before JAX is imported: it re-executes the program once

import jax
from rich.console import Console

from experiments.common import distributed
from experiments.common.terminal import make_console
from hrm_jax.core.errors import UserError
from hrm_jax.core.protocols import Completer

FLAGS = flags.FLAGS
MODES = {
    "train": ("experiments.codegen.training",),
    "generate": ("experiments.codegen.writer", "experiments.codegen.generation"),
    "eval": ("experiments.codegen.writer", "experiments.codegen.measuring"),
}
"""The modules of each mode. Importing one defines its flags; those of other modes would be in the
way, and so would what they import."""
_LONGEST_SOLUTION_TOKENS = 512
"""Default of --max_tokens where solutions of problems are asked for."""

flags.DEFINE_enum("mode", "train", list(MODES), "what to do; each mode has flags of its own")
flags.DEFINE_bool("resume", False, "train, eval: go on with what a folder holds")


def main(argv: list[str]) -> int:
    """Runs the mode; returns the exit code."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; flags start with --", exitcode=2)
    logging.set_verbosity(logging.WARNING)  # orbax tells of every save in a dozen lines
    try:
        distributed.join()
        console = make_console(markup=False, quiet=jax.process_index() != 0)
        return {"train": train, "generate": generate, "eval": measure}[FLAGS.mode](console)
    except (UserError, ImportError, OSError) as error:
        print(f"{type(error).__name__}: {error}{_remedy(error)}", file=sys.stderr)
        return 2


def _remedy(error: Exception) -> str:
    """Returns what to do where a package is missing that only an extra installs."""
    missing = isinstance(error, ModuleNotFoundError)
    return "; pip install 'hrm-jax[codegen,foundation]'" if missing else ""


def train(console: Console) -> int:
    """Trains a model, and shows what it writes before and after."""
    from experiments.codegen import training

    return training.run(console)


def generate(console: Console) -> int:
    """Writes with a model."""
    from experiments.codegen import generation

    return generation.run(console)


def measure(console: Console) -> int:
    """Measures what a model writes, which has to be named: to measure one takes hours."""
    from experiments.codegen import measuring, writer

    if FLAGS["max_tokens"].using_default_value:
        FLAGS.max_tokens = _LONGEST_SOLUTION_TOKENS

    def load_model() -> tuple[Completer, str]:
        name = f"{FLAGS.model}, {writer.sampling()}"
        return writer.load_writer().complete, name

    named = not FLAGS["model"].using_default_value
    return measuring.run(console, load_model if named else None)


def define_flags(argv: Sequence[str]) -> None:
    """Imports the modules of the mode that the command line names, and makes their flags ours."""
    named = flags.FlagValues()
    flags.DEFINE_enum("mode", "train", list(MODES), "", flag_values=named)
    named(argv, known_only=True)
    for module in MODES[str(named["mode"].value)]:
        flags.adopt_module_key_flags(importlib.import_module(module))


if __name__ == "__main__":
    define_flags(sys.argv)
    app.run(main)
