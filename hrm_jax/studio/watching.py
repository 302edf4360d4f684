"""What is known of every run: its state, its last records, and its curves once asked for."""

import contextlib
import math
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

from hrm_jax.studio import forms, states
from hrm_jax.studio.folders import Runs, checkpoints, read_object
from hrm_jax.studio.foreign import ForeignLogs
from hrm_jax.studio.forms import Experiment
from hrm_jax.studio.lines import LineReader
from hrm_jax.studio.log_ends import LogEnd, losses_of
from hrm_jax.studio.losses import Losses, is_loss
from hrm_jax.studio.series import Curves, as_number
from hrm_jax.studio.states import JOB
from hrm_jax.studio.tags import read_tags
from hrm_jax.training.run_files import METRICS, PROBES, PROCESS, SIZE, TELEMETRY, parse_line

_LOGS = ((METRICS, "other"), (TELEMETRY, "telemetry"))
_FOREIGN_SECONDS = 0.1
_RESTING_SECONDS = 3.0
"""A run at rest is looked at no more often, if its logs are as they were."""
_MOST_SECONDS = 0.5
"""Time for which one request reads a long log; the page asks again for the rest."""


class Watched:
    """One run."""

    def __init__(self, name: str, folder: pathlib.Path, experiments: Mapping[str, Experiment]):
        self.name = name
        self.folder = folder
        self.generation = 0
        self._experiments = experiments
        self._curves = Curves()
        self._foreign = ForeignLogs(folder)
        self._foreign_share = 0.0
        self._readers: dict[str, LineReader] = {}
        self._config: tuple[Any, dict[str, Any], str] = (None, {}, "")
        self._ends = tuple(LogEnd(folder / log, split) for log, split in _LOGS)
        # Made once, as all runs are asked twice a second.
        self._paths = {file: os.fspath(folder / file) for file in (METRICS, PROCESS, JOB, PROBES)}
        self._losses = Losses()
        self._losses_generation = 0

    @property
    def is_foreign(self) -> bool:
        """Whether other code has written its logs: ours begins with the log of metrics."""
        return not os.path.lexists(self._paths[METRICS])

    def stamp(self) -> Any:
        """Returns a value that changes with the run's logs; cheap: it is taken twice a second."""
        if self.is_foreign:
            # A long log is read in parts: there is more to tell until its end.
            return self._foreign.stamp(), self._foreign_share
        # Whose a run is can be told once the experiments' classes are loaded.
        loaded = [one.is_loaded for one in self._experiments.values()]
        return [self._stat(name) for name in (METRICS, PROCESS, JOB)], loaded

    def summary(self) -> dict[str, Any]:
        """Returns what the page's list shows of the run, as JSON."""
        plain, experiment = self._read_config()
        last, updated, latest = self._read_foreign() if self.is_foreign else self._read_ends()
        loop = plain.get("loop")
        steps = as_number(loop.get("steps")) if isinstance(loop, dict) else None
        state = states.state_of(self.folder, is_complete=bool(steps) and last >= (steps or 0))
        return {
            "name": self.name,
            "state": state.word,
            "is_here": state.is_here,
            "message": state.message[:2000],
            "experiment": experiment,
            "description": str(plain.get("description", ""))[:500],
            "step": last,
            "steps": steps if steps and math.isfinite(steps) else None,
            "updated": updated,
            "trouble": self._losses.trouble[:300],
            "latest": latest,
            "probed_bytes": self._size(PROBES),
            "seed": _whole(plain.get("seed")),
            "parameters": _whole(read_object(self.folder / SIZE).get("parameters")),
            "tags": read_tags(self.folder),
            "checkpoint": (checkpoints(self.folder) or [""])[-1],
            "read_only": False,
        }

    def _read_ends(self) -> tuple[float, float | None, dict[str, float | None]]:
        """Returns the last step, its time, and the newest values, from the ends of the logs."""
        metrics, telemetry = self._ends
        for name, points in losses_of(metrics.read()).items():
            self._losses.add(name, *points)
        telemetry.read()
        times = [end.updated for end in self._ends if end.updated is not None]
        return metrics.step, max(times, default=None), metrics.latest | telemetry.latest

    def _read_foreign(self) -> tuple[float, float | None, dict[str, float | None]]:
        """Returns the same of other code's logs, of which a little is read at a time."""
        self._foreign_share = self._foreign.read(time.monotonic() + _FOREIGN_SECONDS)
        if self._losses_generation != self._foreign.generation:
            self._losses_generation = self._foreign.generation
            self._losses = Losses()
        for name, curve in self._foreign.curves.by_name.items():
            new = curve.points(self._losses.count(name)) if is_loss(name) else None
            if new is not None:
                self._losses.add(name, new.steps.tolist(), new.values.tolist())
        found = self._foreign.curves.latest()
        last = max((point.step for point in found.values()), default=0)
        times = [point.seconds for point in found.values() if math.isfinite(point.seconds)]
        values = list(found.items())[:100]
        latest = {name: p.value if math.isfinite(p.value) else None for name, p in values}
        return last, max(times, default=None), latest

    def config(self) -> tuple[dict[str, Any], str]:
        """Returns the run's configuration as it is in its file, and the experiment's name."""
        return self._read_config()

    def read_curves(self) -> tuple[Curves, float]:
        """Returns the curves with what is new, and the share of the logs that is read."""
        until = time.monotonic() + _MOST_SECONDS
        if self.is_foreign:
            share = self._foreign.read(until)
            self.generation = self._foreign.generation
            return self._foreign.curves, share
        share = 1.0
        for name, split in _LOGS:
            left = self._read_log(name, split, until)
            if left:
                with contextlib.suppress(OSError):
                    share = min(share, 1 - left / (self.folder / name).stat().st_size)
        return self._curves, share

    def _read_log(self, name: str, split: str, until: float) -> int:
        """Adds new records of a log; returns how many bytes are left."""
        reader = self._readers.setdefault(name, LineReader(self.folder / name))
        left = 1
        while left and time.monotonic() < until:
            try:
                found = reader.read()
            except OSError:
                return 0
            if found.restarted:
                self._restart()
                return 1
            self._curves.damaged += found.too_long
            for line in found.lines:
                record = parse_line(line)
                if record is None:
                    self._curves.damaged += 1
                else:
                    self._curves.add(record, split)
            left = found.left_bytes
        return left

    def _restart(self) -> None:
        """Forgets all curves: a resumed run has replaced its logs."""
        self.generation += 1
        self._curves = Curves()
        self._readers = {}

    def _size(self, name: str) -> int:
        return (self._stat(name) or (0,))[0]

    def _stat(self, name: str) -> tuple[int, int, int] | None:
        try:
            found = os.lstat(self._paths[name])
        except OSError:
            return None
        return found.st_size, found.st_mtime_ns, found.st_ino

    def _read_config(self) -> tuple[dict[str, Any], str]:
        path = self.folder / "config.json"
        try:
            stamp = path.stat().st_mtime_ns
        except OSError:
            return {}, ""
        # By the config's class, and the classes are loaded while pages look on already.
        stamp = stamp, [one.is_loaded for one in self._experiments.values()]
        if self._config[0] != stamp:
            plain = read_object(path)
            self._config = stamp, plain, forms.recognise(self._experiments, plain)
        return self._config[1], self._config[2]


class Watching:
    """All runs of a folder; used by one thread at a time."""

    def __init__(self, runs: Runs, experiments: Mapping[str, Experiment]):
        self._runs = runs
        self._experiments = experiments
        self._watched: dict[str, Watched] = {}
        self._settled: dict[str, tuple[float, Any, dict[str, Any]]] = {}

    def get(self, name: str) -> Watched:
        """Returns a run; raises UnknownRun."""
        folder = self._runs.find(name)
        if name not in self._watched:
            self._watched[name] = Watched(name, folder, self._experiments)
        return self._watched[name]

    def summaries(self) -> dict[str, dict[str, Any]]:
        """Returns the summaries of all runs, by name."""
        names = self._runs.names()
        for gone in self._watched.keys() - set(names):
            self._watched.pop(gone)
            self._settled.pop(gone, None)
        return {name: self._summary(name) for name in names}

    def _summary(self, name: str) -> dict[str, Any]:
        now = time.monotonic()
        looked, before, found = self._settled.get(name, (0.0, None, {}))
        # It was listed just now: that its folder is a run's is not asked once more.
        watched = self._watched.get(name) or self.get(name)
        stamp = watched.stamp()
        # A run without a process of ours is looked at whole where its log grew; less often else.
        is_at_rest = found and found["state"] not in ("running", "starting") and stamp == before
        if is_at_rest and now - looked < _RESTING_SECONDS:
            return found
        found = watched.summary() | {"read_only": not self._runs.is_own(name)}
        self._settled[name] = now, stamp, found
        return found

    def forget(self, name: str) -> None:
        """Looks at a run anew, whatever its state was."""
        self._settled.pop(name, None)


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and abs(value) < 1 << 53 else None
