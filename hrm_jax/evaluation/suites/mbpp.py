"""MBPP, Mostly Basic Python Problems: Austin et al., arXiv 2108.07732.

Tasks 367 and 927 of the full file fail with their own solutions.
"""

import ast
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from hrm_jax.core.texts import Prompt
from hrm_jax.evaluation.judge.exams import Exam
from hrm_jax.evaluation.suites.problems import (
    Kind,
    Problem,
    Suite,
    SuiteError,
    read_records,
)

Split = Literal["test", "validation", "train", "all"]
Style = Literal["few_shot", "instruction"]

SPLITS: dict[Split, range] = {
    "test": range(11, 511),
    "validation": range(511, 601),
    "train": range(601, 975),
    "all": range(1, 975),
}
SHOTS = (2, 3, 4)
"""Tasks that few-shot prompts show, as in the paper; none of them is in the three splits."""

_STOP: dict[Style, tuple[str, ...]] = {
    "few_shot": ("[DONE]",),
    # No "\nclass", though published: after a docstring some solutions begin with one.
    "instruction": ("\nassert", '\n"""', "\nprint", "\nif", "\n```"),
}
_FULL = "mbpp.jsonl"
_SANITIZED = "sanitized-mbpp.json"
_FIELDS: dict[str, Kind] = {
    "task_id": "a whole number",
    "code": "a text",
    "test_list": "one or more texts",
}
_OPTIONAL: dict[str, Kind] = {"test_imports": "texts", "test_setup_code": "a text"}


def load_mbpp(
    folder: Path, *, sanitized: bool = False, split: Split = "test", style: Style = "few_shot"
) -> Suite:
    """Returns the problems of a split.

    Args:
      folder: where `mbpp.jsonl` and `sanitized-mbpp.json` are, or the same with `.gz`.
      sanitized: the 427 that were looked through by hand, instead of all 974.
      split: by task id: 11 to 510 test, 511 to 600 validation, 601 to 974 train.
      style: three solved tasks before the task; or the task as a docstring, with its first test.

    Raises:
      SuiteError: as `read_records`; or a shot is not in the file.
    """
    text_field = "prompt" if sanitized else "text"
    file = _SANITIZED if sanitized else _FULL
    records = read_records(folder / file, {**_FIELDS, text_field: "a text"}, _OPTIONAL)
    # The two files name the text differently.
    records = [{**record, "text": record[text_field]} for record in records]
    shots = _full_shots(folder, records, sanitized)
    chosen = [record for record in records if record["task_id"] in SPLITS[split]]
    problems = tuple(_problem(record, shots, style) for record in chosen)
    return Suite("mbpp_sanitized" if sanitized else "mbpp", "python", problems, _STOP[style])


def _full_shots(
    folder: Path, records: Sequence[Mapping[str, Any]], sanitized: bool
) -> list[Mapping[str, Any]]:
    """Returns the few-shot tasks, in order, from the full file: the sanitized one lacks some."""
    if sanitized:
        records = read_records(folder / _FULL, {**_FIELDS, "text": "a text"}, _OPTIONAL)
    by_id = {record["task_id"]: record for record in records}
    missing = [shot for shot in SHOTS if shot not in by_id]
    if missing:
        raise SuiteError(f"expected the tasks {SHOTS} in {_FULL}, missing {missing}")
    return [by_id[shot] for shot in SHOTS]


def _problem(
    record: Mapping[str, Any], shots: Sequence[Mapping[str, Any]], style: Style
) -> Problem:
    # The published files have line ends of Windows in places.
    code = record["code"].replace("\r\n", "\n")
    lines = [*record.get("test_imports", ()), record.get("test_setup_code", "")]
    tests = "\n".join([*lines, *record["test_list"]]).replace("\r\n", "\n")
    try:
        exam = Exam("python", "", tests, remote_names(code, tests), reference=code)
    except (SyntaxError, ValueError, RecursionError) as error:  # of a null byte, or too deep
        raise SuiteError(
            f"task {record['task_id']}: expected Python in code and tests, got {error}"
        ) from error
    if style == "instruction":
        # The first test is shown, as nothing else in the prompt tells the function's name.
        prompt = f'"""\n{record["text"]}\n{record["test_list"][0]}\n"""\n'
    else:
        shown = [f"{_task(shot)}{_solution(shot)}\n[DONE]\n\n" for shot in shots]
        prompt = "".join([*shown, _task(record)])
    return Problem(str(record["task_id"]), Prompt(prompt), exam, code)


def _task(record: Mapping[str, Any]) -> str:
    tests = "\n".join(record["test_list"])
    return (
        f"You are an expert Python programmer, and here is your task: {record['text']} "
        f"Your code should pass these tests:\n\n{tests}\n[BEGIN]\n"
    )


def _solution(record: Mapping[str, Any]) -> str:
    return record["code"].replace("\r\n", "\n").rstrip()


def remote_names(code: str, tests: str) -> tuple[str, ...]:
    """Returns the names that the solution defines and the tests use."""
    with warnings.catch_warnings():  # some escapes in the suite's text are none
        warnings.simplefilter("ignore")
        solution = ast.parse(code)
        asserted = ast.parse(tests)
    used = {node.id for node in ast.walk(asserted) if isinstance(node, ast.Name)}
    defined = set()
    for node in solution.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            defined.add(node.name)
        elif isinstance(node, ast.Assign):
            defined |= {target.id for target in node.targets if isinstance(target, ast.Name)}
    return tuple(sorted(defined & used))
