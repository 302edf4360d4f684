"""Finds the files of a project that a document is likely to use."""

import os
import pathlib
import time
from collections.abc import Sequence, Set

from hrm_jax.context.choosing import stems

MOST_FILES = 16
MOST_BYTES = 50_000
"""Of a file that is looked at: larger ones are mostly tables."""
_LISTED = 20_000
"""Files of a project that are looked for at most."""
_KEPT_SECONDS = 60.0
_LEFT_OUT = {"node_modules", "__pycache__", "venv", "build", "dist", "target", "site-packages"}
"""Folders, besides those whose names begin with a dot."""


class Project:
    """Lists the files below a folder, and remembers them for a while."""

    def __init__(self) -> None:
        """Begins without any."""
        self._listed: tuple[pathlib.Path, float, list[pathlib.Path]] | None = None

    def near(
        self, path: pathlib.Path, root: pathlib.Path, imported: Set[str]
    ) -> Sequence[pathlib.Path]:
        """Returns files with a file's ending: those that imports name, then its folder's.

        Args:
          path: the file.
          root: the project's folder.
          imported: the names in the file's imports.
        """
        alike = [one for one in self._files(root) if one.suffix == path.suffix and one != path]
        named = [one for one in alike if stems(one.relative_to(root).as_posix()) & imported]
        beside = [one for one in alike if one.parent == path.parent]
        return list(dict.fromkeys([*named, *beside]))[:MOST_FILES]

    def _files(self, root: pathlib.Path) -> list[pathlib.Path]:
        now = time.monotonic()
        if self._listed is None or self._listed[0] != root or now > self._listed[1]:
            self._listed = (root, now + _KEPT_SECONDS, _below(root))
        return self._listed[2]


def read(path: pathlib.Path) -> str | None:
    """Returns a file's text; None where it is large, no text, or cannot be read."""
    try:
        if path.stat().st_size > MOST_BYTES:
            return None
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def _below(root: pathlib.Path) -> list[pathlib.Path]:
    found: list[pathlib.Path] = []
    for folder, folders, names in os.walk(root):
        # In place, which keeps `os.walk` out of the others; sorted, so that the limit leaves the
        # same.
        folders[:] = sorted(one for one in folders if one[0] != "." and one not in _LEFT_OUT)
        found += [pathlib.Path(folder, name) for name in sorted(names)]
        if len(found) > _LISTED:
            break
    return found[:_LISTED]
