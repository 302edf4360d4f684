"""Collections of public instances, and the best makespans known of them."""

import csv
import dataclasses
import io
import pathlib
import tarfile
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

from hrm_jax.core.files import decode_text, read_text
from hrm_jax.planning.errors import FormatError
from hrm_jax.planning.formats.mspsp import read_dzn
from hrm_jax.planning.formats.psplib import read_sm
from hrm_jax.planning.instance import Instance

_READERS: Mapping[str, Callable[[str, str], Instance]] = {".dzn": read_dzn, ".sm": read_sm}
_PUBLISHED = ("instance", "proven_optimal", "lower_bound", "makespan")
_BEST_KNOWN = ("problem", "optimum")

Item = TypeVar("Item")


@dataclasses.dataclass(frozen=True)
class Best:
    """The best makespan known of an instance, and whether it is proven optimal."""

    makespan: int
    proven: bool


def read_collection(path: pathlib.Path) -> dict[str, str]:
    """Returns the texts of all `.dzn` and `.sm` files in a folder or tar archive, sorted by name.

    Raises:
      FormatError: there are none, or it is no archive.
      OSError: it cannot be read.
    """
    if path.is_dir():
        files = [file for file in path.iterdir() if file.suffix in _READERS]
        texts = {file.name: read_text(file) for file in files}
    else:
        texts = _read_archive(path)
    if not texts:
        raise FormatError(f"{path}: expected .dzn or .sm files in it, got none; name another")
    return dict(sorted(texts.items()))


def read_instance(name: str, text: str) -> Instance:
    """Returns an instance by its file's name and text; raises FormatError as its reader does."""
    return _READERS[pathlib.Path(name).suffix](text, name)


def read_best(path: pathlib.Path) -> dict[str, Best]:
    """Returns the best known makespans of a CSV file, by the names of instances.

    It has columns `instance, proven_optimal, lower_bound, makespan`, or `problem, optimum`, where a
    range `104..105` is lower bound and best known.

    Raises:
      FormatError: columns or numbers are missing; the message names the line.
    """
    reader = csv.DictReader(io.StringIO(read_text(path)))
    try:
        columns = tuple(reader.fieldnames or ())
        rows = [(f"{path}, line {reader.line_num}", row) for row in reader]
    except csv.Error as error:
        raise FormatError(f"{path}: expected CSV, got {error}; get the file anew") from error
    is_known = set(columns) >= set(_PUBLISHED) or set(columns) >= set(_BEST_KNOWN)
    found = dict(_best(place, row) for place, row in rows) if is_known else {}
    if not found:
        raise FormatError(
            f"{path}: expected columns {', '.join(_PUBLISHED)} or {', '.join(_BEST_KNOWN)}, and "
            f"rows, got {', '.join(columns) or 'nothing'}; name the file of best makespans"
        )
    return found


def _best(place: str, row: Mapping[str, str]) -> tuple[str, Best]:
    """Returns the name of a row's instance, and what the row says of it."""
    try:
        if row.keys() >= set(_PUBLISHED):
            return row["instance"], Best(int(row["makespan"]), row["proven_optimal"] == "1")
        low, _, high = row["optimum"].partition("..")
        return row["problem"], Best(int(high or low), not high or high == low)
    # A row that is cut has None for what it lacks.
    except (AttributeError, TypeError, ValueError) as error:
        raise FormatError(f"{place}: expected whole numbers, got {row}; mend it") from error


def spread_evenly(items: Sequence[Item], limit: int) -> list[Item]:
    """Returns so many items, spread evenly over a sequence; all for 0 or a larger limit."""
    if not 0 < limit < len(items):
        return list(items)
    # The first item is always one of them.
    return [items[index * len(items) // limit] for index in range(limit)]


def serial_makespan(instance: Instance) -> int:
    """Returns the makespan of doing one task after another, at rate 100."""
    return sum(task.duration for task in instance.tasks)


def _read_archive(path: pathlib.Path) -> dict[str, str]:
    try:
        with tarfile.open(path) as archive:
            texts = {}
            for member in archive:
                # Folders of an archive do not count: instances go by the names of their files.
                name = pathlib.PurePosixPath(member.name).name
                file = archive.extractfile(member) if member.isfile() else None
                if file is not None and pathlib.PurePosixPath(name).suffix in _READERS:
                    texts[name] = decode_text(file.read(), f"{path}: {name}")
            return texts
    except (tarfile.TarError, EOFError) as error:
        raise FormatError(
            f"{path}: expected a folder or a tar archive, got {error}; get the file anew"
        ) from error
