"""Code models: trains one, lets it write, measures what it writes."""

import importlib
import sys
from collections.abc import Sequence

from absl import flags

from experiments.common import command, process

if __name__ == "__main__":
    process.keep_heap()  # before JAX is imported: it re-executes the program once
    process.keep_lapack_to_one_thread()

import jax
from rich.console import Console

from experiments.common import distributed
from experiments.common.terminal import make_console
from hrm_jax.core.protocols import Completer

FLAGS = flags.FLAGS
MODES = {
    "train": ("experiments.codegen.training",),
    "generate": (
        "experiments.codegen.writer",
        "experiments.codegen.prompts",
        "experiments.codegen.judging",
        "experiments.codegen.verifying",
        "experiments.codegen.generation",
    ),
    "models": ("experiments.codegen.models",),
    "eval": (
        "experiments.codegen.writer",
        "experiments.codegen.judging",
        "experiments.codegen.measuring",
    ),
    "choose": (
        "experiments.codegen.judging",
        "experiments.codegen.measuring",
        "experiments.codegen.choosing",
    ),
}
"""The modules of each mode.

Importing one defines its flags, so only those of the chosen mode are imported: flags of other modes
would be in --help, and their imports take time.
"""
_LONGEST_SOLUTION_TOKENS = 512
"""Default of --max_tokens where solutions of problems are asked for."""

flags.DEFINE_enum("mode", "train", list(MODES), "what to do; each mode has flags of its own")
flags.DEFINE_bool("resume", False, "train, eval: go on with what a folder holds")


def main() -> int:
    """Runs the mode; returns the exit code."""
    # Before the first question to JAX about devices, which `process_index` below is.
    distributed.join()
    console = make_console(markup=False, quiet=jax.process_index() != 0)
    run = {
        "train": train,
        "generate": generate,
        "models": list_models,
        "eval": measure,
        "choose": choose,
    }
    return run[FLAGS.mode](console)


def train(console: Console) -> int:
    """Trains a model, and shows what it writes before and after; returns the exit code."""
    from experiments.codegen import training

    return training.run(console)


def generate(console: Console) -> int:
    """Writes with a model; returns the exit code."""
    from experiments.codegen import generation

    return generation.run(console)


def list_models(console: Console) -> int:
    """Lists the models that have names; returns the exit code."""
    from experiments.codegen import models

    return models.run(console)


def measure(console: Console) -> int:
    """Measures what a model writes; returns the exit code.

    The model has to be named, as measuring one takes hours.
    """
    from experiments.codegen import measuring, writer
    from experiments.common import language_model

    # One default of --max_tokens serves two modes; solutions of problems are longer.
    if FLAGS["max_tokens"].using_default_value:
        FLAGS.max_tokens = _LONGEST_SOLUTION_TOKENS

    def load_model() -> tuple[Completer, str]:
        name = f"{FLAGS.model}, {writer.named_settings()}"
        return writer.make_completer(language_model.load_model(), chat=FLAGS.form == "chat"), name

    # An unset --model would take the best model that is there: fine to generate, not for hours.
    named = not FLAGS["model"].using_default_value
    return measuring.run(console, load_model if named else None)


def choose(console: Console) -> int:
    """Measures how samples are chosen among; returns the exit code."""
    from experiments.codegen import choosing

    return choosing.run(console)


def define_flags(argv: Sequence[str]) -> None:
    """Imports the modules of the mode that the command line names, and adopts their flags."""
    named = flags.FlagValues()
    flags.DEFINE_enum("mode", "train", list(MODES), "", flag_values=named)
    # A parser of its own: the other flags on the command line are not defined yet.
    command.parse_flags(argv, named, known_only=True)
    for module in MODES[str(named["mode"].value)]:
        flags.adopt_module_key_flags(importlib.import_module(module))


if __name__ == "__main__":
    define_flags(sys.argv)
    command.run(main, extras="codegen,foundation")
