"""Reads puzzle files of all kinds, checking every puzzle.

`unpacking` makes lines of a file, `layouts` (with `tables` and `grids`) finds the puzzles in them,
and here they become arrays. What a file does not give is computed: a missing answer by the solver
(it must be the only one), a missing rating as in `solver`. So is a rating with a fraction, which is
of another scale. All that cannot be used is reported together, with line numbers, and left out only
on demand.
"""

import dataclasses
import itertools
import logging
import math
import pathlib
from collections.abc import Sequence
from typing import IO

import numpy as np
from jaxtyping import Bool, Int, Int32, UInt8

from hrm_jax.data.sudoku import cell_text, layouts, rules, solver
from hrm_jax.data.sudoku.puzzles import Puzzles, concatenate
from hrm_jax.data.sudoku.tables import Problem, Record
from hrm_jax.data.sudoku.unpacking import PuzzleFileError, text_lines

# Puzzles checked at once: large enough for numpy, small enough for 500 bytes of scratch each.
_CHUNK = 20_000
# Enough lines to see what is wrong; reading stops early on a file of a wrong kind.
_MOST_PROBLEMS_SHOWN = 20
_MOST_PROBLEMS = 1_000
_LARGEST_RATING = np.iinfo(np.int32).max
_UNRATED = -1
_log = logging.getLogger(__name__)
# Also where the loggers of libraries are silenced, as while TFDS prepares data.
_log.setLevel(logging.WARNING)


def read(
    path: pathlib.Path | str, *, check_unique: bool = False, skip_bad: bool = False
) -> Puzzles:
    """Reads a puzzle file; see `read_stream`.

    Raises:
      FileNotFoundError: there is no such file.
    """
    with open(path, "rb") as file:
        return read_stream(file, str(path), check_unique=check_unique, skip_bad=skip_bad)


def read_stream(
    stream: IO[bytes], source: str, *, check_unique: bool = False, skip_bad: bool = False
) -> Puzzles:
    """Reads puzzles and checks each.

    Args:
      stream: the content of a file, that can be sought.
      source: names it in errors.
      check_unique: also prove that each puzzle has one solution only, with 0.03 to 1 ms each by
        difficulty; done in any case where the answer or the rating is missing.
      skip_bad: leave out what cannot be used, and log it as a warning.

    Returns:
      The puzzles in the order of the file.

    Raises:
      PuzzleFileError: there is no puzzle; or puzzles cannot be read, or have wrong answers or
        ratings, and are not skipped; or the file cannot be unpacked.
      TextError: the text is not UTF-8.
    """
    found = layouts.find_puzzles(text_lines(stream, source))
    problems = _Problems(source)
    parts = []
    while chunk := list(itertools.islice(found, _CHUNK)):
        records = [item for item in chunk if isinstance(item, Record)]
        for item in chunk:
            if isinstance(item, Problem):
                problems.add(item.line, item.message)
        if records:
            parts.append(_check(records, check_unique, problems))
        # A file of a wrong kind has a problem in every line: reading all of it would be in vain.
        if len(problems) > _MOST_PROBLEMS and not skip_bad:
            raise problems.error(stopped=True)
    # Known only at the end of the file; until then whole numbers were taken as ratings.
    if any(part.other_scale for part in parts):
        parts = [_rate_anew(part, problems) for part in parts]
    puzzles = concatenate([part.puzzles for part in parts]) if parts else None
    # Nothing left is an error even where bad puzzles may be skipped.
    if problems and (puzzles is None or not len(puzzles) or not skip_bad):
        raise problems.error()
    if puzzles is None:
        raise PuzzleFileError(
            f"{source}: expected a puzzle, found none: give 81 characters a line, 9 lines of 9, or"
            " a table with the columns question,answer"
        )
    if problems:
        _log.warning("%s\nskipped; %d puzzle(s) are left", problems.describe(), len(puzzles))
    return puzzles


class _Problems:
    """Collects the problems of a file, the first message of every line."""

    def __init__(self, source: str) -> None:
        self._source = source
        self._messages: dict[int, str] = {}

    def __len__(self) -> int:
        return len(self._messages)

    def add(self, line: int, message: str) -> None:
        # The first message of a line is kept: later checks of the same row often follow from it.
        self._messages.setdefault(line, message)

    def describe(self) -> str:
        """Returns how many puzzles are unusable, and why the first of them are."""
        lines = sorted(self._messages)
        shown = [f"  line {line}: {self._messages[line]}" for line in lines[:_MOST_PROBLEMS_SHOWN]]
        if len(lines) > len(shown):
            shown.append(f"  and {len(lines) - len(shown)} more")
        return f"{self._source}: {len(lines)} unusable puzzle(s):\n" + "\n".join(shown)

    def error(self, stopped: bool = False) -> PuzzleFileError:
        more = f"\n  and perhaps others: reading stopped near line {max(self._messages)}"
        return PuzzleFileError(
            f"{self.describe()}{more if stopped else ''}\nCorrect or delete these lines, or leave"
            " them out (--skip_bad of experiments.sudoku and join_puzzles); nothing was read."
        )


@dataclasses.dataclass(frozen=True)
class _Part:
    """The usable puzzles of a chunk.

    Attributes:
      puzzles: with answers and ratings.
      lines: int [B], where each begins.
      rated: bool [B], whether the rating is the file's.
      other_scale: whether a rating of the chunk has a fraction; then none is `rated`.
    """

    puzzles: Puzzles
    lines: Int[np.ndarray, " B"]
    rated: Bool[np.ndarray, " B"]
    other_scale: bool


def _check(records: Sequence[Record], check_unique: bool, problems: _Problems) -> _Part:
    """Returns those puzzles of a chunk that can be used, complete with answers and ratings."""
    lines = np.array([record.line for record in records])
    questions, usable = _parse([record.question for record in records], lines, "", problems)
    # Each check of grids runs on what passed those before it, so that a line is reported once.
    answered = np.array([record.answer is not None for record in records])
    answers, readable = _parse(
        [record.answer or record.question for record in records], lines, "answer: ", problems
    )
    usable &= readable | ~answered
    wrong = usable & answered & ~rules.is_solution(answers, questions)
    for row in np.flatnonzero(wrong):
        problems.add(int(lines[row]), f"answer: {_explain(questions[row], answers[row])}")
    ratings, readable, whole = _parse_ratings(records, problems)
    usable &= ~wrong & readable
    rated = ratings != _UNRATED
    part = _Part(Puzzles(questions, answers, ratings), lines, rated, other_scale=not whole)
    # The solver is the expensive part: it runs only where something is missing or is to be proved.
    unsure = check_unique | ~answered | ~rated
    return _solve(_take(part, usable), unsure[usable], problems)


def _take(part: _Part, rows: Bool[np.ndarray, " B"]) -> _Part:
    return dataclasses.replace(
        part, puzzles=part.puzzles.take(rows), lines=part.lines[rows], rated=part.rated[rows]
    )


def _rate_anew(part: _Part, problems: _Problems) -> _Part:
    """Returns a part with computed ratings in place of those of the file."""
    unrated = dataclasses.replace(part, rated=np.zeros_like(part.rated))
    return _solve(unrated, part.rated, problems)


def _solve(part: _Part, rows: Bool[np.ndarray, " B"], problems: _Problems) -> _Part:
    """Returns a part with computed answers in some rows, and ratings where there are none.

    Those of the rows that have not one solution are left out and reported.
    """
    chosen = np.flatnonzero(rows)
    questions = part.puzzles.questions
    solved = solver.search_many(questions[chosen])
    usable = np.ones(len(rows), dtype=bool)
    for row, count in zip(chosen, solved.counts, strict=True):
        if count != 1:
            problems.add(int(part.lines[row]), _explain_count(questions[row], count))
            usable[row] = False
    answers = part.puzzles.answers.copy()
    answers[chosen] = solved.solutions
    ratings = part.puzzles.ratings.copy()
    ratings[chosen] = np.where(part.rated[chosen], ratings[chosen], solved.guesses)
    solved_part = dataclasses.replace(part, puzzles=Puzzles(questions, answers, ratings))
    return _take(solved_part, usable)


def _parse(
    texts: list[str], lines: np.ndarray, what: str, problems: _Problems
) -> tuple[UInt8[np.ndarray, "B 81"], Bool[np.ndarray, " B"]]:
    """Parses texts of cells, with or without separators; reports what is no puzzle."""
    # Most texts are plain runs of 81 characters: only the others are compacted one by one.
    grids, usable = cell_text.parse_many(texts)
    faulty = np.flatnonzero(~usable)
    if faulty.size:
        # Only where plain parsing failed: separators are looked for text by text, which takes
        # longer.
        compact = [cell_text.compact(texts[row]) for row in faulty]
        grids[faulty], usable[faulty] = cell_text.parse_many(compact)
        for row, text in zip(faulty, compact, strict=True):
            if not usable[row]:
                problems.add(int(lines[row]), what + cell_text.explain(text))
    return grids, usable


def _parse_ratings(
    records: Sequence[Record], problems: _Problems
) -> tuple[Int32[np.ndarray, " B"], Bool[np.ndarray, " B"], bool]:
    """Returns ratings, `_UNRATED` where none is used; which texts are usable; if all are whole."""
    values = [_number(record.rating) for record in records]
    ratings = np.full(len(records), _UNRATED, dtype=np.int32)
    usable = np.ones(len(records), dtype=bool)
    # One fraction tells that all are of another scale, also those that happen to be whole.
    whole = all(value is None or value == int(value) for value in values)
    for row, value in enumerate(values):
        if value is None and records[row].rating is not None:
            message = f"rating: expected a number of at least 0, not {records[row].rating!r}"
            problems.add(records[row].line, message)
            usable[row] = False
        elif value is not None and whole:
            ratings[row] = int(value)
    return ratings, usable, whole


def _number(text: str | None) -> float | None:
    """Returns the number that a text is, or None if it is none that a rating may be."""
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if math.isfinite(value) and 0 <= value <= _LARGEST_RATING else None


def _explain_count(question: np.ndarray, count: int) -> str:
    """Returns why a puzzle has not one solution."""
    if count > 1:
        return "the puzzle has more than one solution: it lacks givens, so no answer is the answer"
    try:
        rules.require_consistent(question)
    except rules.ConflictingGivensError as error:
        return str(error)
    return "the puzzle has no solution: check its givens"


def _explain(question: np.ndarray, answer: np.ndarray) -> str:
    """Returns why an answer is not a solution of its question."""
    # The first cell that is wrong by itself, before cells that are wrong together.
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
