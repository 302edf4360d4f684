"""Logs of other code in a folder: TensorBoard's event files, and CSV files."""

import contextlib
import os
import pathlib
import time

from hrm_jax.studio.csv_logs import CsvLog
from hrm_jax.studio.event_files import EventReader
from hrm_jax.studio.folders import EVENTS, is_foreign_log
from hrm_jax.studio.series import Curves

_MOST_FILES = 500


class ForeignLogs:
    """Where one reader is in all logs of one folder."""

    def __init__(self, folder: pathlib.Path):
        self._folder = folder
        self._readers: dict[str, EventReader | CsvLog] = {}
        self._left: dict[str, int] = {}
        self.curves = Curves()
        self.generation = 0
        """Rises where points that were there are void."""

    def read(self, until: float) -> float:
        """Adds what is new to the curves, until a moment of `time.monotonic`.

        Returns:
          The share of the logs that is read.
        """
        total = 0
        for name, _, _ in self.stamp():
            path = self._folder / name
            if name not in self._readers:
                is_events = name.startswith(EVENTS)
                self._readers[name] = EventReader(path) if is_events else CsvLog(path)
            with contextlib.suppress(OSError):
                total += path.stat().st_size
                rest = self._left.get(name, 1)
                while time.monotonic() < until:
                    rest = self._read_part(name)
                    if not rest:
                        break
                self._left[name] = rest
        return 1 - min(1, sum(self._left.values()) / max(total, 1))

    def stamp(self) -> list[tuple[str, int, int]]:
        """Returns names, sizes and times of the logs, the oldest first."""
        found = []
        with contextlib.suppress(OSError), os.scandir(self._folder) as entries:
            for entry in entries:
                if is_foreign_log(entry.name):
                    told = entry.stat(follow_symlinks=False)
                    found.append((entry.name, told.st_size, told.st_mtime_ns))
        # Event files have the second of their begin in their names.
        return sorted(found)[:_MOST_FILES]

    def _read_part(self, name: str) -> int:
        """Reads a part of a log; returns the bytes that are left of it."""
        reader = self._readers[name]
        if isinstance(reader, EventReader):
            points, purged, damaged, left = reader.read()
            if purged is not None:
                self._void(purged)
        else:
            points, is_replaced, damaged, left = reader.read()
            if is_replaced:
                # All files once more: which points were this one's is not kept.
                self.generation += 1
                self.curves = Curves()
                self._readers = {}
                return 0
        self.curves.damaged += damaged
        for point in points:
            last = self.curves.last_step(point.name)
            if last is not None and point.step < last:
                # A run that was started again goes back without saying so.
                self._void(point.step, point.name)
            self.curves.add_point(point)
        return left

    def _void(self, step: float, name: str | None = None) -> None:
        if self.curves.cut(step, name):
            self.generation += 1
