"""Finds the puzzles in the text that Sudoku programs, lists and tables hold.

- A table: its first line names columns, see `tables`.
- Otherwise a line with 81 cells is a puzzle, and nine lines of nine cells each are one. Frames,
  titles, comments, and whatever stands beside the 81 cells, are passed over. A full grid behind the
  puzzle that it solves is its answer.

What may be a puzzle and cannot be read is never passed over: it is a `Problem`.
"""

import dataclasses
import itertools
import re
from collections.abc import Iterable, Iterator, Sequence

from hrm_jax.data.sudoku import cell_text, rules, tables
from hrm_jax.data.sudoku.grids import Row, read_grids
from hrm_jax.data.sudoku.tables import Problem, Record

_COMMENT = re.compile(r"(#|//).*")
# Comments of other programs, and what spreadsheets write above a table.
_COMMENT_LINE = re.compile(r"[;%]|sep=.$")
_SECTION = re.compile(r"\[\s*([a-z][\w -]*)\]", re.IGNORECASE)
# Sections of .sdk files that hold what a player made of the puzzle.
_OTHER_SECTIONS = ("state", "candidate", "pencil", "solution", "comment", "note", "history")
# HoDoKu's :technique:candidate:cells:...; a digit behind a plus was filled in and is no given.
_LIBRARY = re.compile(r":[\w-]+:[^:]*:([^:]{81,}):")
_FILLED_IN = re.compile(r"\+[1-9]")
# A list in code without what stands around it, such as `grid = [[5, 3, ...]], dtype=int8)`.
_LIST = re.compile(r"\[.*\]|\[.*|^[^\[]*\]")
# One of strings, as in JSON: `["53..7...", "..."]`.
_LIST_OF_RUNS = re.compile(r"\[[\[\]\s]*([\"'])[^\"']{81}\1([\[\]\s,]*\1[^\"']{81}\1)*[\[\]\s,]*")
_FENCE = re.compile(r"(```|~~~)\w*")
_FRAME = re.compile(r"(?=.*[-+=|_*:\[\](){}\u2500-\u257f])[\W_]+")
# A word with a letter that is no cell, also where puzzles are larger and their cells are letters.
_TITLE_WORD = re.compile(r"(?=[a-gx]*[^\W\d_a-gx])[^\W\d_]{2,}", re.IGNORECASE)
_ROW_RUN = re.compile(r"[0-9.*_?-]{9}")
_NUMBER = re.compile(r"\d{1,4}[.:]?")
# Such as A1; the letter x alone is a blank.
_NAME = re.compile(r"(?=.*[a-wyz])[a-z]\w{0,7}[.:]?", re.IGNORECASE)
# Longer lines are no rows of a grid, but puzzles.
_LONGEST_ROW = 50
_SHORTEST_LARGE_PUZZLE = 64
_EXPLAIN_ANSWER = (
    "a full grid, which is no puzzle, nor the answer of the one before it: give the puzzles; each"
    " answer goes behind its puzzle"
)


class _Gap:
    """A blank line: it parts grids, or bands of one, or its rows."""


class _Boundary:
    """A title, a section, or the end: no grid goes on behind it."""


_Piece = Row | _Gap | _Boundary | Record | Problem


def find_puzzles(lines: Iterable[str]) -> Iterator[Record | Problem]:
    """Yields what a text holds, in its order.

    Args:
      lines: without their ends.
    """
    numbered = enumerate(lines, 1)
    for number, line in numbered:
        if cell_text.is_comment(line):
            yield from _of_comment(number, line)
            continue
        if not line.strip() or _COMMENT_LINE.match(line.strip()):
            continue
        yield from _read_from(number, line, numbered)
        return


def _read_from(
    number: int, line: str, numbered: Iterable[tuple[int, str]]
) -> Iterator[Record | Problem]:
    """Yields what the first line that is no comment begins."""
    header, numbered = _find_header(number, line, numbered)
    if header is None:
        yield from _with_answers(_read_free(itertools.chain([(number, line)], numbered)))
    else:
        yield from tables.read_rows(header, (text for _, text in numbered))


def _find_header(
    number: int, line: str, numbered: Iterable[tuple[int, str]]
) -> tuple[tables.Header | None, Iterator[tuple[int, str]]]:
    """Returns the header that a line is, or None, and the lines behind it, all of them."""
    ahead, rest = itertools.tee(numbered)
    return tables.find_header(number, line, (text for _, text in ahead)), rest


def _with_answers(found: Iterable[Record | Problem]) -> Iterator[Record | Problem]:
    """Joins a puzzle and the full grid behind it, where that solves it; others are problems."""
    waiting: Record | None = None
    for item in found:
        if waiting is not None and isinstance(item, Record) and _solves(item, waiting):
            yield dataclasses.replace(waiting, answer=item.question)
            waiting = None
            continue
        if waiting is not None:
            yield waiting
            waiting = None
        if isinstance(item, Problem):
            yield item
        elif _is_full(item.question):
            yield Problem(item.line, _EXPLAIN_ANSWER)
        else:
            waiting = item
    if waiting is not None:
        yield waiting


def _solves(full: Record, puzzle: Record) -> bool:
    """Returns whether a grid is full, and all givens of a puzzle without an answer stand in it."""
    if puzzle.answer is not None or not _is_full(full.question):
        return False
    pairs = zip(puzzle.question, full.question, strict=True)
    return all(given in (solved, *cell_text.BLANKS) for given, solved in pairs)


def _is_full(cells: str) -> bool:
    return set(cell_text.BLANKS).isdisjoint(cells)


def _read_free(numbered: Iterable[tuple[int, str]]) -> Iterator[Record | Problem]:
    """Yields what lines without a header hold."""
    pieces = _without_titles(list(_pieces(numbered)))
    rows = [piece for piece in pieces if isinstance(piece, Row)]
    # A line of nine dashes is a row where rows with digits have dashes, and else part of a frame.
    drawn = frozenset().union(*(row.frame_blanks for row in rows if row.usable and row.has_digit))
    groups: list[list[Row]] = [[]]
    for piece in [*pieces, _Boundary()]:
        if isinstance(piece, Row):
            if piece.has_digit or piece.frame_blanks <= drawn:
                groups[-1].append(piece)
        elif isinstance(piece, _Gap):
            groups.append([])
        else:
            yield from read_grids(groups)
            groups = [[]]
            if not isinstance(piece, _Boundary):
                yield piece


def _pieces(numbered: Iterable[tuple[int, str]]) -> Iterator[_Piece]:
    """Yields what each line is; frames, comments and sections without a puzzle are left out."""
    skipping = False
    for number, line in numbered:
        section = _SECTION.fullmatch(line.strip())
        if section:
            skipping = section[1].strip().lower().startswith(_OTHER_SECTIONS)
            yield _Boundary()
        elif not skipping:
            yield from _classify(number, line)


def _classify(number: int, line: str) -> Sequence[_Piece]:
    if cell_text.is_comment(line):
        return _of_comment(number, line)
    if not line.strip():
        return [_Gap()]
    text = _without_comment(line)
    library = _LIBRARY.match(text.strip())
    if library:
        text = _FILLED_IN.sub(".", library[1])
    runs = cell_text.find_runs(text)
    if runs:
        return _of_runs(number, text, runs)
    listed = _LIST.search(text)
    text = listed[0] if listed else text
    cells = cell_text.compact(text)
    puzzles, rest = divmod(len(cells), rules.NUM_CELLS)
    # Only brackets say that one line holds several puzzles.
    if rest == 0 and cell_text.are_cells(cells) and (puzzles == 1 or (listed and puzzles)):
        size = rules.NUM_CELLS
        return [Record(number, cells[size * i : size * (i + 1)]) for i in range(puzzles)]
    return _of_other_text(number, text.strip(), cells)


def _of_comment(number: int, line: str) -> Sequence[Problem]:
    """Returns the problem of a comment that may be a puzzle behind its number, such as #1."""
    if not cell_text.has_puzzle(line):
        return []
    return [
        Problem(
            number,
            "looks like a puzzle in a comment: delete what stands before the puzzle, or the line",
        )
    ]


def _without_comment(line: str) -> str:
    """Returns a line without the comment at its end, if that is one and holds no puzzle."""
    comment = _COMMENT.search(line)
    if comment is None or cell_text.has_puzzle(comment[0]):
        return line
    return line[: comment.start()]


def _of_runs(number: int, text: str, runs: Sequence[str]) -> Sequence[Record | Problem]:
    """Returns the puzzles of a line with runs of 81 cells."""
    if len(runs) == 1:
        return [Record(number, runs[0])]
    full = [run for run in runs if _is_full(run)]
    if len(runs) == 2 and len(full) == 1:
        question = next(run for run in runs if run != full[0])
        return [Record(number, question, answer=full[0])]
    if _LIST_OF_RUNS.fullmatch(text.strip()):
        return [Record(number, run) for run in runs]
    return [
        Problem(
            number,
            f"{len(runs)} grids stand in this line, and which of them is the puzzle is not said:"
            " name the columns in a first line, such as question,answer",
        )
    ]


def _of_other_text(number: int, text: str, cells: str) -> list[_Piece]:
    """Returns what a line is that holds no puzzle."""
    row = Row(number, cells)
    if row.usable:
        return [row]
    if _FENCE.fullmatch(text):
        return [_Boundary()]
    if _FRAME.fullmatch(text) or _COMMENT_LINE.match(text):
        return []
    if cell_text.has_candidates(text):
        return [Problem(number, cell_text.EXPLAIN_CANDIDATES)]
    large = len(cells) >= _SHORTEST_LARGE_PUZZLE and cells == text and cell_text.side_of(cells)
    if not large and _TITLE_WORD.search(text) and not _ROW_RUN.search(text):
        return [_Boundary()]
    return [row if len(cells) <= _LONGEST_ROW else Problem(number, cell_text.explain(cells))]


def _without_titles(pieces: Sequence[_Piece]) -> list[_Piece]:
    """Returns the pieces with boundaries in place of numbers and short names of grids."""
    kept: list[_Piece] = []
    after: _Piece = _Boundary()
    for piece in reversed(pieces):
        if isinstance(piece, Row) and _is_title(piece.cells, after):
            piece = _Boundary()
        if not isinstance(piece, _Gap):
            after = piece
        kept.append(piece)
    return kept[::-1]


def _is_title(cells: str, after: _Piece) -> bool:
    """Returns whether a short line is the number or name of the grid or puzzle behind it."""
    before_grid = isinstance(after, Row) and after.usable
    if _NUMBER.fullmatch(cells):
        return before_grid
    return (before_grid or isinstance(after, Record)) and _NAME.fullmatch(cells) is not None
