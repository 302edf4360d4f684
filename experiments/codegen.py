"""Writing code.

    python -m experiments.codegen --mode=generate --prompt='def fibonacci(n):'
    python -m experiments.codegen --mode=generate --prompt_file=- --stop='\\n\\n' < start.py

What can be asked: docs/generation.md. Needs extras: `pip install 'hrm-jax[codegen,foundation]'`.
"""

import sys

from absl import app, flags, logging

from experiments import process

if __name__ == "__main__":
    process.keep_heap()  # before JAX is imported: it re-executes the program once

from rich.console import Console

from experiments import code_generation, code_writer
from hrm_jax.convert.pytorch import WeightsError

flags.DEFINE_enum("mode", "generate", ["generate"], "what to do")


def main(argv: list[str]) -> int:
    """Runs the mode; returns the exit code."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; flags start with --", exitcode=2)
    logging.set_verbosity(logging.WARNING)
    try:
        return code_generation.run(Console(markup=False))
    except (ImportError, OSError, ValueError, WeightsError) as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    for module in (code_writer, code_generation):
        flags.adopt_module_key_flags(module)
    app.run(main)
