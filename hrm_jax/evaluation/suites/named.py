"""Finds suites by name."""

import functools
import os
from collections.abc import Callable
from pathlib import Path

from hrm_jax.evaluation.suites import cruxeval, humaneval, humanevalpack, mbpp
from hrm_jax.evaluation.suites.mbpp import Split, Style
from hrm_jax.evaluation.suites.problems import Suite, SuiteError

DATA_VARIABLE = "HRM_JAX_CODE_DATA"
"""Environment variable with the folder of the suites' files."""

_IN_FILES: dict[str, Callable[[Path], Suite]] = {
    "humaneval_infilling": functools.partial(humaneval.load_infilling, hole="single_line"),
    "humaneval_infilling_random_span": functools.partial(
        humaneval.load_infilling, hole="random_span"
    ),
    "cruxeval_output": cruxeval.load_cruxeval,
    **{
        f"humanevalpack_{language}": functools.partial(
            humanevalpack.load_humanevalpack, language=language
        )
        for language in humanevalpack.LANGUAGES
    },
}
NAMES = ("humaneval", "mbpp", "mbpp_sanitized", *_IN_FILES)


def data_folder(named: str | None) -> Path | None:
    """Returns the folder of the suites' files: `named`, or that of `DATA_VARIABLE`, or None."""
    named = named or os.environ.get(DATA_VARIABLE)
    return Path(named) if named else None


def load_suite(
    name: str, folder: Path | None, *, split: Split = "test", style: Style = "few_shot"
) -> Suite:
    """Returns the suite of a name.

    Args:
      name: one of `NAMES`.
      folder: where the files are; HumanEval needs none.
      split, style: of MBPP.

    Raises:
      SuiteError: the name is unknown, there is no folder, or as the suite's own loader.
    """
    if name not in NAMES:
        raise SuiteError(f"expected a suite of {', '.join(NAMES)}, got {name!r}")
    if name == "humaneval":
        return humaneval.load_humaneval()
    if folder is None:
        raise SuiteError(
            f"{name}: expected the folder of its file; set --suite_data or {DATA_VARIABLE}"
        )
    if name in _IN_FILES:
        return _IN_FILES[name](folder)
    return mbpp.load_mbpp(folder, sanitized=name == "mbpp_sanitized", split=split, style=style)
