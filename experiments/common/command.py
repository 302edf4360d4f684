"""How every command runs: what it refuses, how it says so, and its exit code.

0: done; 1: done, and the answer is no (a puzzle unsolved, a number wrong); 2: refused, with a
message on standard error that says what was expected, what came, and what to do.
"""

import logging as standard_logging
import os
import re
import sys
from collections.abc import Callable, Sequence
from typing import Any

from absl import app, flags, logging

from hrm_jax.core.errors import UserError

TRACEBACK_VARIABLE = "HRM_JAX_TRACEBACK"
"""Environment variable: 1 shows where an error arose."""

TEXT_FLAGS = frozenset({"prompt", "suffix", "stop", "system", "stop_token"})
"""Flags that are no paths, and may begin with any character."""

_ABSENT = re.compile(r"Flag (--\w+) must have a value other than None")
"""What absl says of a required flag that is not given."""

REFUSED = 2
INTERRUPTED = 130

FORESEEN = (UserError, OSError, ImportError, ValueError)
"""What becomes a message. Any other error is a defect, and has its traceback."""


def run(main: Callable[[], int | None], extras: str = "") -> None:
    """Runs a command after its flags are read, and ends the process with its exit code.

    Args:
      main: the command; None counts as 0.
      extras: the extras of the package that it needs, such as "codegen,foundation".
    """

    def guarded(argv: list[str]) -> int:
        if len(argv) > 1:
            # absl leaves what is no flag in argv; a forgotten -- would otherwise pass unnoticed.
            return refuse(f"unexpected arguments {argv[1:]}; flags start with --")
        logging.set_verbosity(logging.WARNING)  # orbax tells of every save in a dozen lines
        logging.get_absl_handler().setFormatter(PlainFormatter())
        # What is waited for: downloads, and data that are prepared.
        for told in ("hrm_jax.data", "hrm_jax.convert.catalogue"):
            standard_logging.getLogger(told).setLevel(standard_logging.INFO)
        expand_home(flags.FLAGS)
        try:
            return main() or 0
        except app.UsageError as error:  # absl would print the whole help before it
            return refuse(f"{error}; --help shows all flags")
        except FORESEEN as error:
            if os.environ.get(TRACEBACK_VARIABLE) == "1":
                raise
            return refuse(_message(error, extras))
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return INTERRUPTED

    app.run(guarded, flags_parser=parse_flags)


class PlainFormatter(standard_logging.Formatter):
    """Writes what is logged for people: without time, thread and line of the program."""

    def format(self, record: standard_logging.LogRecord) -> str:
        """Returns the message, behind its level where it is more than information."""
        message = super().format(record)
        if record.levelno <= standard_logging.INFO:
            return message
        return f"{record.levelname.lower()}: {message}"


def parse_flags(
    argv: Sequence[str], values: flags.FlagValues = flags.FLAGS, *, known_only: bool = False
) -> list[str]:
    """Returns what is no flag in `argv`; ends the process where flags are wrong.

    Args:
      argv: the command line.
      values: the flags, which take the values.
      known_only: leave other flags in what is returned.
    """
    try:
        return values(argv, known_only=known_only)
    except flags.Error as error:
        # absl has a line for each required flag that is missing; here they become one.
        absent = _ABSENT.findall(str(error))
        told = f"expected a value of {' and '.join(sorted(absent))}" if absent else error
        sys.exit(refuse(f"{told}; --help shows all flags"))


def expand_home(values: flags.FlagValues) -> None:
    """Replaces `~/` at the beginning of flags by the home folder: a shell leaves it in `--run=~/x`.

    Flags whose values are text, `TEXT_FLAGS`, stay as they are.
    """

    def expanded(value: Any) -> Any:
        return os.path.expanduser(value) if isinstance(value, str) else value

    # A prompt may begin with ~/ and mean it.
    for name in set(values) - TEXT_FLAGS:
        flag = values[name]
        if isinstance(flag.value, list):
            flag.value = [expanded(item) for item in flag.value]
        elif isinstance(flag.value, str):
            flag.value = expanded(flag.value)


def refuse(message: str) -> int:
    """Prints why a command does nothing; returns its exit code."""
    print(f"error: {message}", file=sys.stderr)
    return REFUSED


def _message(error: BaseException, extras: str) -> str:
    if isinstance(error, ModuleNotFoundError):
        remedy = f"pip install 'hrm-jax[{extras}]'" if extras else "install it"
        return f"{error}; {remedy}"
    if isinstance(error, UserError | OSError):
        return str(error)
    # Raised by a library, or by ours for a programmer: it may not say enough.
    return f"{error} ({TRACEBACK_VARIABLE}=1 shows where)"
