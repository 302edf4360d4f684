"""Where runs lie: names to paths that never leave the runs folder, and files read with care.

What is in a run's folder may come from anyone. A name is a relative path of one or two parts; links
are not followed, neither as folders nor as files; only regular files are opened, and no more of
them is read than is asked for. Folders elsewhere may be shown beside them; those are only read.
"""

import contextlib
import dataclasses
import errno
import json
import os
import pathlib
import re
import stat
from collections.abc import Iterator, Mapping
from typing import Any, BinaryIO

from hrm_jax.core.errors import UserError

STUDIO = ".studio"
BIN = ".bin"
CHECKPOINTS = "checkpoints"
MOST_JSON_BYTES = 1 << 20
_DEPTH = 2
_DEPTH_BESIDE = 4
"""Other code lays its logs deeper, such as `logs/fit/<time>/train`."""
_PART = re.compile(r"[^./\\\0][^/\\\0]*")
_CHECKPOINT = re.compile(r"step_\d{8,12}")
_MARKS = ("config.json", "metrics.jsonl", "job.json")
"""Files of which a run's folder has at least one, if not a log of other code."""
EVENTS = "events.out.tfevents."
CSV = ".csv"
"""How names of other code's logs begin, and end."""


class UnknownRun(UserError, LookupError):
    """There is no run of this name."""


class UnreadableRuns(UserError, OSError):
    """The folder of all runs is there and cannot be read."""


def reason_of(error: Exception) -> str:
    """Returns what a page is told of an error: for those of the system what to do about them."""
    if isinstance(error, UserError) or not isinstance(error, OSError):
        return str(error)
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "the disk of the runs is full; make room on it, and try again"
    place = error.filename or "the folder of the runs"
    return f"{place}: {error.strerror or error}; see whether it may be read and written"


@dataclasses.dataclass(frozen=True)
class Runs:
    """The folder of all runs, which need not exist yet, and folders that are only read.

    Attributes:
      root: its absolute path.
      beside: absolute paths of folders that are shown as well, by the first part of the names of
        the runs in them. Each is a run or has runs in it.
    """

    root: pathlib.Path
    beside: Mapping[str, pathlib.Path] = dataclasses.field(default_factory=dict)

    def path(self, name: str) -> pathlib.Path:
        """Returns the folder that a run of this name has or would have, to be written into.

        Raises:
          UnknownRun: no run can have this name, or it is only read.
        """
        if name.partition("/")[0] in self.beside:
            raise UnknownRun(f"{name!r} is only read here; choose a run in {self.root}")
        return _inside(self.root, name, self.root)

    def own(self, name: str) -> pathlib.Path:
        """Returns the folder of a run that may be changed.

        Raises:
          UnknownRun: there is none of this name, or it is only read.
        """
        return self._existing(self.path(name), name)

    def find(self, name: str) -> pathlib.Path:
        """Returns the folder of a run, to be read.

        Raises:
          UnknownRun: there is none of this name.
        """
        first, _, rest = name.partition("/")
        folder = self.beside.get(first)
        if folder is None:
            return self.own(name)
        path = _inside(folder, rest, folder, _DEPTH_BESIDE) if rest else folder
        return self._existing(path, name)

    def is_own(self, name: str) -> bool:
        """Returns whether a run may be changed."""
        return name.partition("/")[0] not in self.beside

    def names(self) -> list[str]:
        """Returns the names of all runs, those inside other folders as `folder/name`.

        Raises:
          UnreadableRuns: the folder of all runs is there and cannot be read. Without the error
            that would look like a first visit; folders inside that cannot be read are left out.
        """
        try:
            os.scandir(self.root).close()
        except FileNotFoundError:
            pass  # made with the first run
        except OSError as error:
            raise UnreadableRuns(
                f"--runs={self.root}: expected a folder that can be read, got {error.strerror}; "
                "change its permissions, or choose another"
            ) from error
        found = [name for name in _below(self.root) if self.is_own(name)]
        for first, folder in self.beside.items():
            is_run = _is_run(folder)
            found += [first] if is_run else []
            if not is_run or not _is_ours(folder):
                inside = _below(folder, _DEPTH_BESIDE)
                found += [f"{first}/{name}" for name in inside]
        return sorted(found)

    def aside(self, name: str) -> pathlib.Path:
        """Returns a folder of the studio's own, `STUDIO` or `BIN`, made if absent."""
        folder = self.root / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _existing(self, path: pathlib.Path, name: str) -> pathlib.Path:
        if not _is_run(path):
            raise UnknownRun(f"there is no run {name!r} in {self.root} (any more)")
        return path


def checkpoints(folder: pathlib.Path) -> list[str]:
    """Returns the names of a run's checkpoints, the oldest first; links are left out."""
    inside = folder / CHECKPOINTS
    if inside.is_symlink():
        return []
    with contextlib.suppress(OSError), os.scandir(inside) as entries:
        found = [entry for entry in entries if _CHECKPOINT.fullmatch(entry.name)]
        return sorted(entry.name for entry in found if entry.is_dir(follow_symlinks=False))
    return []


def _inside(
    folder: pathlib.Path, name: str, root: pathlib.Path, depth: int = _DEPTH
) -> pathlib.Path:
    """Returns the path of a name within a folder; raises UnknownRun where it could lead out."""
    parts = name.split("/")
    if len(parts) > depth or not all(_PART.fullmatch(part) for part in parts):
        raise UnknownRun(
            f"{name!r}: expected a name, or two with a / between, none with a dot before it; "
            "choose another"
        )
    for part in parts:
        folder = folder / part
        if folder.is_symlink():
            raise UnknownRun(f"{name!r} is a link; only folders inside {root} are shown")
    return folder


def _below(folder: pathlib.Path | str, depth: int = _DEPTH, before: str = "") -> Iterator[str]:
    """Yields the names of the runs in a folder, each behind `before`.

    With texts for paths, as all runs are listed twice a second.
    """
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if not _PART.fullmatch(entry.name) or not entry.is_dir(follow_symlinks=False):
                continue
            is_ours = _is_ours(entry.path)
            if is_ours or _has_foreign_log(entry.path):
                yield before + entry.name
            # Other code writes logs into folders of its logs as well.
            if depth > 1 and not is_ours:
                yield from _below(entry.path, depth - 1, f"{before}{entry.name}/")


def is_foreign_log(name: str) -> bool:
    """Returns whether a file of this name is a log that other code may have written."""
    return name.startswith(EVENTS) or name.endswith(CSV)


def _is_ours(folder: pathlib.Path | str) -> bool:
    return any(os.path.lexists(os.path.join(folder, mark)) for mark in _MARKS)


def _is_run(folder: pathlib.Path) -> bool:
    return _is_ours(folder) or _has_foreign_log(folder)


def _has_foreign_log(folder: pathlib.Path | str) -> bool:
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        return any(is_foreign_log(entry.name) for entry in entries)
    return False


@contextlib.contextmanager
def open_regular(path: pathlib.Path) -> Iterator[BinaryIO]:
    """Yields a regular file for reading; raises OSError for links, pipes and devices."""
    # Without O_NONBLOCK, opening a pipe would wait for someone to write into it.
    descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(f"{path}: expected a regular file")
        yield file


def read_object(path: pathlib.Path) -> dict[str, Any]:
    """Returns the object of a small JSON file; an empty one where there is none to read."""
    try:
        with open_regular(path) as file:
            value = json.loads(file.read(MOST_JSON_BYTES))
    except (OSError, ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def read_end(path: pathlib.Path, most_bytes: int) -> str:
    """Returns the end of a text file, in whole lines; empty where there is none to read."""
    try:
        with open_regular(path) as file:
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - most_bytes))
            content = file.read(most_bytes)
    except OSError:
        return ""
    if size > most_bytes:
        content = content.partition(b"\n")[2]
    return content.decode("utf-8", "replace")
