"""Tables in CSV files, plain or packed by gzip; a row that cannot be read is named by its line."""

import csv
import dataclasses
import gzip
import io
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from hrm_jax.core.errors import UserError
from hrm_jax.core.files import decode_text, what_came

_GZIP = b"\x1f\x8b"
_FIELD_CHARACTERS = 1 << 24  # descriptions of issues hold whole logs; csv's own limit is 131,072


class TableError(UserError, ValueError):
    """A file is no table with the columns or values that it must have."""


@dataclasses.dataclass(frozen=True)
class Table:
    """Rows of text under named columns.

    Attributes:
      path: the file; errors name it.
      columns: the names of the columns.
      rows: one tuple for each row, as long as `columns`.
      lines: for each row, the line of the file that it ends on.
    """

    path: Path
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def texts(self, column: str) -> list[str]:
        """Returns a column as text."""
        place = self.columns.index(column)
        return [row[place] for row in self.rows]

    def optional(self, column: str) -> list[str]:
        """Returns a column as text; empty texts where there is no such column."""
        return self.texts(column) if column in self.columns else [""] * len(self)

    def numbers(self, column: str, *, at_least: float | None = None) -> np.ndarray:
        """Returns a column as float64 [rows].

        Raises:
          TableError: a value is no finite number, or too small; the message names its line.
        """
        texts = self.texts(column)
        return np.array(
            [self._number(row, column, text, at_least) for row, text in enumerate(texts)]
        )

    def _number(self, row: int, column: str, text: str, at_least: float | None) -> float:
        try:
            value = float(text)
        # Refused below with the same message as what is no finite number.
        except ValueError:
            value = float("nan")
        if not np.isfinite(value) or (at_least is not None and value < at_least):
            allowed = "a number" if at_least is None else f"a number of {at_least:g} or more"
            raise self.error(row, column, allowed, text)
        return value

    def error(self, row: int, column: str, expected: str, came: str) -> TableError:
        """Returns an error about one value of a row."""
        return TableError(
            f"{self.path}, line {self.lines[row]}: {column}: expected {expected}, "
            f"got {came!r:.60}; correct the value or take the row out"
        )


def read_table(
    path: Path, required: Sequence[str], *, unquoted: str = "", lenient: bool = False
) -> Table:
    """Returns the rows of a CSV file with a heading.

    Args:
      path: the file, `.csv` or packed by gzip.
      required: columns that it must have.
      unquoted: a column of free text that was written without a rule for quotes. In such a file a
        quote is a character like others, and where a row has too many fields, those in the place
        of this column are joined to one again.
      lenient: replace bytes that are no UTF-8, as in names that were cut within a character.

    Raises:
      TableError: the file is cut, empty or no such table; the message names file and line.
      TextError: it is in another encoding.
      OSError: it cannot be read.
    """
    content = _unpacked(path)
    text = content.decode("utf-8", "replace") if lenient else decode_text(content, str(path))
    # A mark of byte order, as spreadsheets write it, is no part of the first column's name.
    if text[:1] == "\ufeff":
        text = text[1:]
    columns, rows, lines = None, [], []
    # The limit is one of the whole process: what stood before is put back.
    limit = csv.field_size_limit(_FIELD_CHARACTERS)
    quoting = csv.QUOTE_NONE if unquoted else csv.QUOTE_MINIMAL
    reader = csv.reader(io.StringIO(text, newline=""), strict=True, quoting=quoting)
    try:
        for fields in reader:
            if not fields:
                continue
            # The first row that is not empty is the heading.
            if columns is None:
                columns = _heading(path, fields, required)
                continue
            rows.append(_fitted(path, reader.line_num, fields, columns, unquoted))
            lines.append(reader.line_num)
    except csv.Error as error:
        raise TableError(
            f"{path}, line {reader.line_num}: expected rows of a CSV file, got {error}; "
            "a quote may be open, or the file is cut: write or fetch it anew"
        ) from error
    finally:
        csv.field_size_limit(limit)
    if columns is None or not rows:
        raise TableError(f"{path}: expected a heading and rows, got none; is it the right file?")
    return Table(path, columns, tuple(rows), tuple(lines))


def projects_with(folder: Path, ending: str) -> list[str]:
    """Returns the projects of a folder that have a file `<project><ending>.csv`, packed or not.

    Raises:
      TableError: there are none.
    """
    found = {path.name.split(f"{ending}.csv")[0] for path in folder.glob(f"*{ending}.csv*")}
    if not found:
        raise TableError(
            f"{folder}: expected files <project>{ending}.csv.gz, got none; name their folder"
        )
    return sorted(found)


def plain_or_packed(folder: Path, stem: str) -> Path:
    """Returns the path of a table in a folder: `<stem>.csv` if it is there, else `.csv.gz`."""
    plain = folder / f"{stem}.csv"
    return plain if plain.exists() else folder / f"{stem}.csv.gz"


def _unpacked(path: Path) -> bytes:
    content = path.read_bytes()
    if not content.startswith(_GZIP):
        return content
    try:
        return gzip.decompress(content)
    except (EOFError, OSError, zlib.error) as error:
        raise TableError(
            f"{path}: expected a whole gzip file, got {error}; fetch it anew"
        ) from error


def _heading(path: Path, fields: list[str], required: Sequence[str]) -> tuple[str, ...]:
    columns = tuple(name.strip() for name in fields)
    missing = [name for name in required if name not in columns]
    if missing:
        came = what_came(",".join(columns), f"columns {', '.join(columns):.200}")
        raise TableError(
            f"{path}, line 1: expected columns {', '.join(required)}, got {came}; "
            f"add {', '.join(missing)}"
        )
    twice = sorted({name for name in columns if columns.count(name) > 1})
    if twice:
        raise TableError(
            f"{path}, line 1: expected each column once, got {', '.join(twice)} twice; "
            "rename or remove one"
        )
    return columns


def _fitted(
    path: Path, line: int, fields: list[str], columns: tuple[str, ...], unquoted: str
) -> tuple[str, ...]:
    extra = len(fields) - len(columns)
    if extra > 0 and unquoted:
        # Too many fields can only come of commas in the free text.
        place = columns.index(unquoted)
        joined = ",".join(fields[place : place + extra + 1])
        fields = [*fields[:place], joined, *fields[place + extra + 1 :]]
    if len(fields) != len(columns):
        raise TableError(
            f"{path}, line {line}: expected {len(columns)} fields, got {len(fields)}; "
            "put quotes around text that has commas or line breaks"
        )
    return tuple(fields)
