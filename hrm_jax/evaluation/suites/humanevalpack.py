"""HumanEval in six languages, with solutions and planted bugs.

Reference: Muennighoff et al., "OctoPack", arXiv 2308.07124 (HumanEvalSynthesize; the buggy
solutions are HumanEvalFix's).
"""

import functools
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hrm_jax.core.texts import Prompt
from hrm_jax.evaluation.judge.exams import Exam
from hrm_jax.evaluation.judge.toolchains import Language
from hrm_jax.evaluation.suites import humaneval
from hrm_jax.evaluation.suites.problems import (
    Kind,
    Problem,
    Suite,
    SuiteError,
    as_it_is,
    read_records,
    whole_blocks,
)

LANGUAGES: tuple[Language, ...] = ("python", "js", "java", "cpp", "go", "rust")

_FIELDS: dict[str, Kind] = dict.fromkeys(
    (
        *("task_id", "prompt", "declaration", "canonical_solution", "buggy_solution"),
        *("test", "entry_point"),
    ),
    "a text",
)
_FURTHER: dict[Language, dict[str, Kind]] = {"go": {"test_setup": "a text"}}
"""Fields of one language alone."""
_STOP: dict[Language, tuple[str, ...]] = {
    "python": humaneval.STOP,
    "js": ("\nconsole.", "\nmodule.", "\n/*", "\n//"),
    "java": ("\npublic class ", "\nclass "),
    "cpp": ("\nint main", "\n#include", "\n/*"),
    "go": ("\nfunc main", "\npackage ", "\nimport "),
    "rust": ("\nfn main", "\n#[cfg(test)]", "\nmod tests"),
}
_QUOTES: dict[Language, str] = {"js": "\"'`", "go": '"`'}
# What the published harness puts before a program, since the prompts leave some of it out.
_CPP_HEAD = """#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <set>
#include <string>
#include <vector>
"""


def load_humanevalpack(folder: Path, language: Language) -> Suite:
    """Returns the 164 problems of a language: continue the declaration.

    Raises:
      SuiteError: as `read_records`; or a record of the file has another form than its language's.
    """
    fields = _FIELDS | _FURTHER.get(language, {})
    records = read_records(folder / f"humanevalpack_{language}.jsonl", fields)
    problems = tuple(_problem(record, language) for record in records)
    finish = functools.partial(whole_blocks, quotes=_QUOTES.get(language, '"'))
    # Without braces there is nothing to go by but the stop sequences.
    if language == "python":
        finish = as_it_is
    return Suite(f"humanevalpack_{language}", language, problems, _STOP[language], finish)


def _problem(record: Mapping[str, Any], language: Language) -> Problem:
    reference, tests = _EXAMS[language](record)
    exam = Exam(language, "", tests, (_entry_point(record),), reference)
    prompt = record["prompt"]
    solution = record["canonical_solution"]
    before = _BEFORE.get(language, "") + prompt
    return Problem(
        record["task_id"],
        Prompt(prompt),
        exam,
        solution,
        before=before,
        buggy=record["buggy_solution"],
    )


def _entry_point(record: Mapping[str, Any]) -> str:
    """Returns the function's name as in the prompt; a few records differ in a capital letter."""
    name = record["entry_point"]
    spellings = re.findall(rf"\b{re.escape(name)}\b", record["prompt"], re.IGNORECASE)
    return name if name in spellings or not spellings else spellings[-1]


def _solved(record: Mapping[str, Any]) -> tuple[str, str]:
    return record["prompt"] + record["canonical_solution"], record["test"]


def _cpp(record: Mapping[str, Any]) -> tuple[str, str]:
    """Returns the declaration as a prototype, and the tests: tests and program compile apart.

    Raises:
      SuiteError: the declaration does not end within an open brace.
    """
    declaration = record["declaration"]
    depth = 0
    opening = -1
    for place, character in enumerate(declaration):
        # The last brace opened at depth 0 begins the function's body; earlier ones close again.
        if character == "{":
            opening = place if depth == 0 else opening
            depth += 1
        elif character == "}":
            depth -= 1
    if depth == 0:
        raise SuiteError(
            f"{record['task_id']}: expected a declaration with an open brace, got {declaration!r}"
        )
    return f"{declaration[:opening]};\n", record["test"]


def _java(record: Mapping[str, Any]) -> tuple[str, str]:
    reference, tests = _solved(record)
    # Imports of the prompt are written again, as the tests are a file of their own.
    imports = re.findall(r"^import .*;$", record["prompt"], re.MULTILINE)
    return reference, "\n".join([*imports, tests])


def _rust(record: Mapping[str, Any]) -> tuple[str, str]:
    return "", record["test"]


def _go(record: Mapping[str, Any]) -> tuple[str, str]:
    return "", f"{record['test_setup']}\n{record['test']}"


_EXAMS: dict[Language, Callable[[Mapping[str, Any]], tuple[str, str]]] = {
    "python": _solved,
    "js": _solved,
    "cpp": _cpp,
    "java": _java,
    "rust": _rust,
    "go": _go,
}
_BEFORE: dict[Language, str] = {"cpp": _CPP_HEAD, "go": "package main\n\n"}
