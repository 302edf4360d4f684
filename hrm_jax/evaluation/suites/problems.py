"""Problems and suites, and how their files are read."""

import dataclasses
import functools
import gzip
import json
import re
import types
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal

from hrm_jax.core.errors import UserError
from hrm_jax.core.texts import Prompt
from hrm_jax.evaluation.judge.exams import Exam
from hrm_jax.evaluation.judge.toolchains import Language

_GZIP = b"\x1f\x8b"

Kind = Literal["a text", "a whole number", "texts", "one or more texts"]
"""What a field of a record holds."""


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(one, str) for one in value)


_IS: dict[Kind, Callable[[Any], bool]] = {
    "a text": lambda value: isinstance(value, str),
    "a whole number": lambda value: isinstance(value, int),
    "texts": _are_texts,
    "one or more texts": lambda value: _are_texts(value) and bool(value),
}
_NONE: Mapping[str, Kind] = types.MappingProxyType({})


class SuiteError(UserError, ValueError):
    """A suite's file is missing or has another form; the message says what was expected."""


@dataclasses.dataclass(frozen=True)
class Problem:
    """One task of a suite.

    Attributes:
      task_id: unique in its suite.
      prompt: what a model is to complete.
      exam: of `before + completion + after`; its own program is empty.
      before, after: what a completion is put between to be a program.
      canonical: the completion that the suite gives as the solution.
      buggy: a wrong one that it gives; None where it gives none.
    """

    task_id: str
    prompt: Prompt
    exam: Exam
    canonical: str
    before: str = ""
    after: str = ""
    buggy: str | None = None

    def exam_of(self, completion: str) -> Exam:
        """Returns the exam of a completion."""
        return dataclasses.replace(self.exam, program=self.before + completion + self.after)


def whole_blocks(before: str, completion: str, *, quotes: str = '"') -> str:
    """Returns a completion, in a language of braces, without a last block that was cut off.

    Args:
      before: what the completion goes on from; its braces count.
      completion: ends anywhere.
      quotes: what encloses strings; other apostrophes enclose one character, or none.

    Returns:
      The completion up to the end of the last line on which all braces are closed; all of it if
      there is none.
    """
    text = before + completion
    end = None
    depth = 0
    # One scan over prompt and completion: a comment or string may begin in one and end in the
    # other.
    for token in _tokens(quotes).finditer(text):
        depth += {"{": 1, "}": -1}.get(token[0], 0)
        # Braces of the prompt are counted as well, so depth 0 is the end of what the prompt began.
        if token[0] == "}" and depth == 0 and token.end() > len(before):
            end = token.end()
    if end is None:
        return completion
    line_end = text.find("\n", end)
    return completion if line_end < 0 else text[len(before) : line_end + 1]


@functools.cache
def _tokens(quotes: str) -> re.Pattern[str]:
    """Returns a pattern of braces, and of what may contain braces that do not count.

    These are comments, strings and characters.
    """
    strings = [rf"{quote}(?:\\.|[^{quote}\\])*{quote}" for quote in quotes]
    return re.compile(
        "|".join([r"//[^\n]*", r"/\*.*?\*/", *strings, r"'(?:\\.|[^\\'])'", "[{}]"]), re.S
    )


def as_it_is(before: str, completion: str) -> str:
    """Returns a completion unchanged."""
    del before
    return completion


@dataclasses.dataclass(frozen=True)
class Suite:
    """Problems of one language.

    Attributes:
      name: as on the command line.
      language: of all problems.
      problems: in the order of the files.
      stop: texts before which a completion is cut, for `Completer`.
      finish: from a prompt's text and its completion, the completion without what follows the
        answer, where `stop` cannot find it.
    """

    name: str
    language: Language
    problems: tuple[Problem, ...]
    stop: tuple[str, ...] = ()
    finish: Callable[[str, str], str] = as_it_is

    def exam_of(self, problem: Problem, completion: str) -> Exam:
        """Returns the exam of a completion as a completer gave it."""
        return problem.exam_of(self.finish(problem.prompt.prefix, completion))

    def take(self, count: int) -> "Suite":
        """Returns a suite of `count` problems, spread evenly over this one's; 0 for all."""
        # 0 stands for all of them, as flags have it.
        total = len(self.problems)
        if count < 0 or count > total:
            raise SuiteError(f"expected 0 to {total} problems of {self.name}, got {count}")
        if count in (0, total):
            return self
        # Evenly spread, as neighbours in a file are often alike.
        rows = [index * total // count for index in range(count)]
        return dataclasses.replace(self, problems=tuple(self.problems[row] for row in rows))


def read_records(
    path: Path, fields: Mapping[str, Kind], optional: Mapping[str, Kind] = _NONE
) -> list[dict[str, Any]]:
    """Reads a list in JSON, or a line of JSON for each record, and checks each one's fields.

    Which of them, and whether it is gzipped, is seen from the content.

    Args:
      path: the file; one of the same name with `.gz` after it does as well.
      fields: what every record must have, by name.
      optional: what it may have.

    Raises:
      SuiteError: no such file, one that cannot be read, broken JSON, or a record without one of
        the fields or with another kind of value in it.
    """
    packed_path = path.with_name(f"{path.name}.gz")
    if not path.exists() and not packed_path.exists():
        raise SuiteError(
            f"expected {path.name} or {packed_path.name} in {path.parent}, found none; name the "
            "folder that has it by --suite_data or HRM_JAX_CODE_DATA"
        )
    path = path if path.exists() else packed_path
    try:
        content = path.read_bytes()
        # A gzipped file counts as one without `.gz` in its name, too.
        packed = content.startswith(_GZIP) or path.suffix == ".gz"
        text = (gzip.decompress(content) if packed else content).decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise SuiteError(f"{path}: cannot be read ({error})") from error
    try:
        # A list is one JSON text; else each line is one.
        if text.lstrip().startswith("["):
            records = json.loads(text)
        else:
            records = [json.loads(line) for line in _lines(text)]
    except (ValueError, RecursionError) as error:
        raise SuiteError(f"{path}: expected JSON, got {error}") from error
    if not isinstance(records, list) or not records:
        got = "an empty one" if isinstance(records, list) else type(records).__name__
        raise SuiteError(f"{path}: expected a list of records, got {got}")
    check_fields(records, str(path), fields, optional)
    return records


def check_fields(
    records: list[Any],
    source: str,
    fields: Mapping[str, Kind],
    optional: Mapping[str, Kind] = _NONE,
) -> None:
    """Raises SuiteError unless every record is an object with the fields; see `read_records`."""
    for number, record in enumerate(records):
        place = f"{source}: record {number}"
        if not isinstance(record, Mapping):
            raise SuiteError(f"{place}: expected an object, got {record!r:.80}")
        missing = [name for name in fields if name not in record]
        if missing:
            raise SuiteError(
                f"{place}: expected the fields {', '.join(fields)}, missing {', '.join(missing)}; "
                "is it another suite's file?"
            )
        kinds: dict[str, Kind] = {**fields, **optional}
        for name, kind in kinds.items():
            if name in record and not _IS[kind](record[name]):
                raise SuiteError(
                    f"{place}: expected {kind} as {name}, got {record[name]!r:.80}; get the "
                    "published file anew"
                )


def _lines(text: str) -> list[str]:
    return [line for line in text.split("\n") if line.strip()]
