"""Reads puzzles from tables whose first line names the columns: CSV, or parted by `;` or tabs."""

import csv
import dataclasses
import itertools
from collections.abc import Iterable, Iterator, Sequence

from hrm_jax.data.sudoku import cell_text

_DELIMITERS = ",;\t"
_QUESTIONS = (
    *("question", "questions", "quiz", "quizzes", "puzzle", "puzzles"),
    *("sudoku", "problem", "unsolved", "givens"),
)
_ANSWERS = ("answer", "answers", "solution", "solutions", "solved")
_RATINGS = ("rating",)
_COMMON = frozenset((*_QUESTIONS, *_ANSWERS, *_RATINGS, "id", "source"))
# Rows that tell a header from a title; a few, because the first may be damaged.
_ROWS_SEEN = 5
_ABSENT = ("", "nan", "none", "null", "na", "n/a")
"""What programs write into a field that has no value, in small letters."""


@dataclasses.dataclass(frozen=True)
class Record:
    """A puzzle as it was found.

    Attributes:
      line: where it begins, from 1.
      question: the text of its cells.
      answer: likewise of its solution; None if none is given.
      rating: a number as text, likewise.
    """

    line: int
    question: str
    answer: str | None = None
    rating: str | None = None


@dataclasses.dataclass(frozen=True)
class Problem:
    """Something that cannot be read, and why; `line` is where it begins, from 1."""

    line: int
    message: str


@dataclasses.dataclass(frozen=True)
class Header:
    """The line that names the columns.

    Attributes:
      line: its number.
      delimiter: the character between fields.
      names: of the columns, in small letters.
    """

    line: int
    delimiter: str
    names: tuple[str, ...]

    def column(self, known: Sequence[str]) -> int | None:
        """Returns the position of the column with one of these names, or None.

        Raises:
          ValueError: several columns have one.
        """
        found = [name for name in self.names if name in known]
        if len(found) > 1:
            raise ValueError(
                f"the columns {' and '.join(found)} may each be the {known[0]}: rename all but"
                " the one that is meant"
            )
        return self.names.index(found[0]) if found else None


def find_header(line: int, text: str, behind: Iterable[str]) -> Header | None:
    """Returns the header of a table, or None if the text is none that names puzzles or answers.

    One name alone is none: what follows is a list of puzzles with a title. Neither is a title with
    a comma, such as "Sudoku, easy": no row behind it has as many fields. Nor are names of which
    none is a puzzle's, above rows with two grids: which of them is full tells what they are.

    Args:
      line: the number of the line that may be one.
      text: that line.
      behind: the lines behind it, of which as few are taken as tell what it is.
    """
    for delimiter in _DELIMITERS:
        # Split without `csv`: the text may be any line, with quotes that do not close.
        names = tuple(name.strip(" '\"\t").lower() for name in text.split(delimiter))
        if len(names) > 1 and not set(names).isdisjoint(_QUESTIONS + _ANSWERS):
            header = Header(line, delimiter, names)
            return header if _has_rows(header, behind) else None
    return None


def _has_rows(header: Header, lines: Iterable[str]) -> bool:
    """Returns whether the first rows are those of a header, as `find_header` describes."""
    reader = csv.reader(_commentless(header, lines), delimiter=header.delimiter)
    try:
        rows = list(itertools.islice(filter(None, reader), _ROWS_SEEN))
    except csv.Error:
        # A quote that is not closed: where tables have them, `read_rows` says so.
        return True
    # A heading of known names alone needs no proof; another one may be a title with commas.
    if not _COMMON.issuperset(header.names) and all(len(row) != len(header.names) for row in rows):
        return False
    # A puzzle beside its answer is known also where its column has a name that is not.
    named = not set(header.names).isdisjoint(_QUESTIONS)
    return named or all(sum(map(bool, map(cell_text.find_runs, row))) < 2 for row in rows)


def read_rows(header: Header, lines: Iterable[str]) -> Iterator[Record | Problem]:
    """Yields what stands below a header; empty lines and comments are passed over.

    A line that begins with # is a row if it has as many fields as the header, or holds a puzzle.

    Args:
      header: of the table.
      lines: those behind it, without their ends.
    """
    try:
        question = header.column(_QUESTIONS)
        answer = header.column(_ANSWERS)
        rating = header.column(_RATINGS)
    except ValueError as error:
        yield Problem(header.line, str(error))
        return
    # One problem for the file instead of one for each of its rows.
    if question is None:
        yield Problem(header.line, _explain_answers(header.names))
        return
    expected = len(header.names)
    reader = csv.reader(_commentless(header, lines), delimiter=header.delimiter)
    try:
        for row in reader:
            line = header.line + reader.line_num
            if len(row) == expected:
                yield Record(line, row[question], _field(row, answer), _field(row, rating))
            elif row:
                yield Problem(line, f"has {len(row)} field(s), expected {expected}")
    except csv.Error as error:
        # A quote that is not closed makes one field of all that follows: nothing of it is a row.
        yield Problem(header.line + reader.line_num, f"cannot be read as a table: {error}")


def _commentless(header: Header, lines: Iterable[str]) -> Iterator[str]:
    """Yields lines as `csv` takes them, empty ones in place of comments."""
    for line in lines:
        yield "\n" if _is_comment(header, line) else f"{line}\n"


def _is_comment(header: Header, line: str) -> bool:
    if not line.startswith("#") or cell_text.has_puzzle(line):
        return False
    return len(next(csv.reader([line], delimiter=header.delimiter))) != len(header.names)


def _explain_answers(names: Sequence[str]) -> str:
    return (
        f"of the columns {', '.join(names)} none is the puzzle, and answers alone are not read:"
        f" name the column with the puzzles {_QUESTIONS[0]}, or give their file"
    )


def _field(row: list[str], column: int | None) -> str | None:
    text = "" if column is None else row[column].strip()
    return None if text.lower() in _ABSENT else text
