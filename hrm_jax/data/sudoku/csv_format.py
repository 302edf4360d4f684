"""Reads and writes puzzle files in the format of Sudoku-Extreme, checking every row.

Accepted, plain or compressed (`.gz`):

- CSV with a header that names `question`, and `answer` and `rating` where it has them; other
  columns are ignored. Sudoku-Extreme itself has `source,question,answer,rating`.
- Lines of 81 characters without a header.

What a file does not give is computed: a missing answer by the solver (it must be the only one), a
missing rating as in `solver`. A row that cannot be used is never skipped: all such rows are
reported together, with their line numbers.
"""

import csv
import dataclasses
import gzip
import itertools
import pathlib
from collections.abc import Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from hrm_jax.core.errors import UserError
from hrm_jax.data.sudoku import rules, solver
from hrm_jax.data.sudoku.puzzles import Puzzles, concatenate

# The order of Sudoku-Extreme's columns.
_HEADER = ("source", "question", "answer", "rating")
# Rows checked at once: large enough for numpy, small enough for 500 bytes of scratch a row.
_CHUNK_ROWS = 20_000
# Enough lines to see what is wrong; reading stops early on a file of a wrong kind.
_MOST_PROBLEMS_SHOWN = 20
_MOST_PROBLEMS = 1_000
_LARGEST_RATING = np.iinfo(np.int32).max


class CsvFormatError(UserError, ValueError):
    """A puzzle file cannot be used; the message lists the rows at fault and the remedy."""


@dataclasses.dataclass(frozen=True)
class _Columns:
    """Positions of the fields of a row; None for fields that the file lacks."""

    question: int
    answer: int | None
    rating: int | None
    count: int


class _Problems:
    """Collects the problems of a file, the first message of every line."""

    def __init__(self) -> None:
        self._messages: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, line: int, message: str) -> None:
        # The first message of a line is kept: later checks of the same row often follow from it.
        self._messages.setdefault(line, message)

    def error(self, path: pathlib.Path, stopped: bool = False) -> CsvFormatError:
        lines = sorted(self._messages)
        shown = [f"  line {line}: {self._messages[line]}" for line in lines[:_MOST_PROBLEMS_SHOWN]]
        if len(lines) > len(shown):
            shown.append(f"  and {len(lines) - len(shown)} more")
        if stopped:
            shown.append(f"  and perhaps others: reading stopped near line {lines[-1]}")
        return CsvFormatError(
            f"{path}: {len(lines)} unusable row(s):\n"
            + "\n".join(shown)
            + "\nCorrect or delete these lines; nothing was read."
        )


def _find_columns(first_row: list[str], path: pathlib.Path) -> _Columns | None:
    """Returns the columns a header names, or None if the first row is a puzzle, not a header."""
    # A file without a header: its only field has the length of a puzzle.
    if len(first_row) == 1 and len(first_row[0]) == rules.NUM_CELLS:
        return None
    names = [name.strip().lower() for name in first_row]
    if "question" not in names:
        raise CsvFormatError(
            f"{path}: the first line must be a header that names the column `question` (and"
            " `answer`, `rating`), or all lines must be puzzles of 81 characters, but it is"
            f" {','.join(first_row)[:100]!r}: add the header {','.join(_HEADER)!r}"
        )
    return _Columns(
        question=names.index("question"),
        answer=names.index("answer") if "answer" in names else None,
        rating=names.index("rating") if "rating" in names else None,
        count=len(names),
    )


def _read_rows(path: pathlib.Path) -> Iterator[tuple[int, list[str]]]:
    """Yields (line number from 1, fields) of every line that is not empty."""
    open_text = gzip.open if path.suffix == ".gz" else open
    # newline="" leaves line ends to the csv module, as its documentation asks.
    with open_text(path, "rt", encoding="ascii", newline="") as file:
        reader = csv.reader(file)
        try:
            for row in reader:
                if row:
                    yield reader.line_num, row
        except (UnicodeDecodeError, gzip.BadGzipFile, EOFError, csv.Error) as error:
            raise CsvFormatError(
                f"{path}: not readable as text after line {reader.line_num} ({error}): the file"
                " must be plain ASCII, compressed exactly when its name ends in .gz"
            ) from error


def _parse_column(
    texts: list[str], lines: list[int], column: str, problems: _Problems
) -> tuple[UInt8[np.ndarray, "B 81"], np.ndarray]:
    """Parses one column of puzzles; unusable rows are reported, blank and False in the mask."""
    usable = np.array([len(text) == rules.NUM_CELLS for text in texts])
    # Rows of a wrong length are replaced by blanks, so that all rows form one array and are
    # converted at once.
    joined = "".join(
        text if fits else rules.NUM_CELLS * "." for text, fits in zip(texts, usable, strict=True)
    )
    characters = np.frombuffer(joined.encode("ascii"), dtype=np.uint8)
    characters = characters.reshape(-1, rules.NUM_CELLS)
    grids = np.where(characters == ord("."), rules.BLANK, characters - ord("0")).astype(np.uint8)
    usable &= (grids <= rules.SIDE).all(axis=1)
    # The slow path is taken for faulty rows only, to get the message of `rules.parse`.
    for row in np.flatnonzero(~usable):
        try:
            rules.parse(texts[row])
            message = "spaces around the 81 characters"
        except rules.PuzzleError as error:
            message = str(error)
        problems.add(lines[row], f"{column}: {message}")
    # Values above 9 may be left in faulty rows.
    grids[~usable] = rules.BLANK
    return grids, usable


def _parse_ratings(texts: list[str], lines: list[int], problems: _Problems) -> np.ndarray:
    ratings = np.zeros(len(texts), dtype=np.int32)
    for row, text in enumerate(texts):
        if text.isdecimal() and int(text) <= _LARGEST_RATING:
            ratings[row] = int(text)
        else:
            problems.add(lines[row], f"rating: expected an integer of at least 0, not {text!r}")
    return ratings


def _report_counts(counts: np.ndarray, lines: np.ndarray, problems: _Problems) -> None:
    for row in np.flatnonzero(counts != 1):
        found = "no solution" if counts[row] == 0 else "more than one solution"
        problems.add(int(lines[row]), f"question: has {found}")


def _check_chunk(
    rows: list[list[str]],
    lines: list[int],
    columns: _Columns,
    check_unique: bool,
    problems: _Problems,
) -> Puzzles:
    """Parses and checks a chunk of rows, all with the right number of fields."""
    questions, usable = _parse_column(
        [row[columns.question] for row in rows], lines, "question", problems
    )
    # Each check of grids runs on the rows that passed those before it, so that a row is reported
    # once.
    answers = np.zeros_like(questions)
    if columns.answer is not None:
        texts = [row[columns.answer] for row in rows]
        answers, readable = _parse_column(texts, lines, "answer", problems)
        usable &= readable
        wrong = usable & ~rules.is_solution(answers, questions)
        for row in np.flatnonzero(wrong):
            problems.add(lines[row], f"answer: {_explain(questions[row], answers[row])}")
        usable &= ~wrong
    ratings = np.zeros(len(rows), dtype=np.int32)
    # The solver is the expensive part: it runs only where something is missing or is to be proved.
    if columns.answer is None or columns.rating is None or check_unique:
        solved = solver.search_many(questions[usable])
        _report_counts(solved.counts, np.array(lines)[usable], problems)
        ratings[usable] = solved.guesses
        answers[usable] = solved.solutions if columns.answer is None else answers[usable]
    if columns.rating is not None:
        ratings = _parse_ratings([row[columns.rating] for row in rows], lines, problems)
    return Puzzles(questions, answers, ratings)


def _explain(question: np.ndarray, answer: np.ndarray) -> str:
    """Returns why an answer is not a solution of its question."""
    for cell in range(rules.NUM_CELLS):
        if answer[cell] == rules.BLANK:
            return f"{rules.cell_name(cell)} is blank"
        if question[cell] not in (rules.BLANK, answer[cell]):
            return (
                f"{rules.cell_name(cell)} is {answer[cell]}, but the question gives"
                f" {question[cell]}"
            )
    repeated = [rules.cell_name(int(cell)) for cell in np.flatnonzero(rules.conflicts(answer))]
    return f"breaks the rules at {', '.join(repeated[:6])}"


def read(path: pathlib.Path | str, check_unique: bool = False) -> Puzzles:
    """Reads a puzzle file and checks every row; the accepted forms are in the module's text.

    Args:
      path: the file, compressed if its name ends in `.gz`.
      check_unique: also prove that each puzzle has one solution only, with 0.03 to 1 ms a row by
        difficulty; done in any case where the answer or the rating is missing.

    Returns:
      The puzzles in the order of the file; blank lines are passed over.

    Raises:
      FileNotFoundError: there is no such file.
      CsvFormatError: the file is empty, has no usable header or no rows, cannot be decoded, or has
        rows with a wrong length, character, number of fields, answer or rating.
    """
    path = pathlib.Path(path)
    rows = _read_rows(path)
    first = next(rows, None)
    if first is None:
        raise CsvFormatError(f"{path}: the file is empty; expected puzzles, one a line")
    columns = _find_columns(first[1], path)
    if columns is None:
        # The first line was a puzzle, so it is put back in front of the rest.
        rows = itertools.chain([first], rows)
        columns = _Columns(question=0, answer=None, rating=None, count=1)
    problems = _Problems()
    parts = []
    while chunk := list(itertools.islice(rows, _CHUNK_ROWS)):
        complete = []
        for line, row in chunk:
            if len(row) == columns.count:
                complete.append((line, row))
            else:
                problems.add(line, f"has {len(row)} field(s), expected {columns.count}")
        if complete:
            lines, fields = map(list, zip(*complete, strict=True))
            parts.append(_check_chunk(fields, lines, columns, check_unique, problems))
        # A file of a wrong kind has a problem in every row: reading all of it would be in vain.
        if len(problems) > _MOST_PROBLEMS:
            raise problems.error(path, stopped=True)
    if problems:
        raise problems.error(path)
    if not parts:
        raise CsvFormatError(f"{path}: there is a header but no puzzle below it")
    return concatenate(parts)


def write(path: pathlib.Path | str, puzzles: Puzzles, sources: Sequence[str]) -> None:
    """Writes puzzles as `source,question,answer,rating`; equal content gives equal bytes.

    Args:
      path: the file, compressed if its name ends in `.gz`.
      puzzles: [B] puzzles.
      sources: [B] the origin of each, without commas.

    Raises:
      ValueError: the numbers of puzzles and sources differ, or a source has a comma, a quote or a
        line break.
    """
    path = pathlib.Path(path)
    lines = [",".join(_HEADER)]
    for source, question, answer, rating in zip(
        sources, puzzles.questions, puzzles.answers, puzzles.ratings, strict=True
    ):
        if any(character in source for character in ',"\n\r'):
            raise ValueError(f"a source has no comma, quote or line break, but one is {source!r}")
        lines.append(f"{source},{rules.format_grid(question)},{rules.format_grid(answer)},{rating}")
    text = ("\n".join(lines) + "\n").encode("ascii")
    # A time stamp in the header would make the bytes depend on the day.
    packed = gzip.compress(text, compresslevel=9, mtime=0) if path.suffix == ".gz" else text
    path.write_bytes(packed)
