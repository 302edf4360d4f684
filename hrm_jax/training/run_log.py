"""What a run records about itself: metrics, its resolved config and its environment.

    metrics.jsonl               one JSON object a record: step, time_seconds, split, metrics
    events.out.tfevents.*       the same for TensorBoard, as `<split>/<metric>`
    config.json                 the resolved config
    environment.json            commit, package versions, devices, command line and its folder;
                                where metrics were written as well
    size.json                   version, and how many parameters are trained and frozen

Only process 0 writes.
"""

import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
import time
import types
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np

from hrm_jax.core import config as config_lib
from hrm_jax.core import files
from hrm_jax.core.errors import UserError
from hrm_jax.core.types import Variables
from hrm_jax.training.run_files import METRICS, SIZE
from hrm_jax.training.trackers import TRACKERS, Tracker

_ENVIRONMENT = "environment.json"
_KINDS = {"step": int, "time_seconds": int | float, "split": str}
_RESERVED = tuple(_KINDS)
_PACKAGES = ("jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy")
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}


class RunLogError(UserError):
    """A metric is not a number, or a log is damaged or belongs to another run."""


class RunLog:
    """Writes metrics to `metrics.jsonl` and TensorBoard; a context manager.

    A record has reached the operating system when `write` returns, so killing the process loses
    none. Call `sync` before saving a checkpoint: then no checkpoint is ahead of its log even after
    a failure of the machine.
    """

    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        resume_step: int | None = None,
        trackers: Sequence[Tracker] = (),
    ):
        """Opens the log.

        Args:
            folder: made if absent.
            resume_step: the last step that the resumed run keeps. Records of later steps and a last
                line that is half written are dropped, so that the log becomes that of an
                uninterrupted run; -1 drops all. None starts a new run.
            trackers: what metrics are written to as well, open; they are closed with the log.

        Raises:
            RunLogError: a new run finds another's records, or a line is damaged.
        """
        self._file = self._events = None
        self._trackers = trackers
        if jax.process_index() != 0:
            return
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / METRICS
        records = read_metrics(folder) if path.exists() else []
        if resume_step is None and records:
            raise RunLogError(
                f"expected no records in {path}, found {len(records)} up to step "
                f"{records[-1]['step']}; pass resume_step to go on, or choose another folder"
            )
        kept = [r for r in records if resume_step is not None and r["step"] <= resume_step]
        files.write_atomically(path, "".join(map(_to_line, kept)))
        # Rewritten above and not merely appended to: a half-written line would join the next one.
        self._file = open(path, "a", encoding="utf-8")  # noqa: SIM115  (__exit__ closes it)
        # Imported here: where PyTorch is installed it is imported along, which takes seconds.
        import tensorboardX

        # TensorBoard hides what earlier event files say about steps from purge_step on.
        purge_step = None if resume_step is None else resume_step + 1
        self._events = tensorboardX.SummaryWriter(str(folder), purge_step=purge_step)

    def __enter__(self) -> "RunLog":
        return self

    def __exit__(self, *_: object) -> None:
        if self._file and self._events:
            self.sync()
            self._file.close()
            self._events.close()
            self._file = self._events = None
            for tracker in self._trackers:
                tracker.close()

    def write(self, step: int, metrics: Mapping[str, Any], split: str = "train") -> None:
        """Writes one record.

        Args:
            step: the training step that the metrics are of.
            metrics: names and numbers: Python's, or NumPy or JAX arrays of shape ().
            split: the data they were measured on.

        Raises:
            RunLogError: a metric is not a single number, or has the name of one of the record's
              fields.
        """
        # Complete before anything is written: a bad metric leaves no part of a record.
        record = {"step": int(step), "time_seconds": time.time(), "split": split}
        for name, value in metrics.items():
            if name in _RESERVED:
                raise RunLogError(f"{name}: a record has this field already; rename the metric")
            record[name] = _to_number(name, value)
        # Other processes check the same metrics, but have no file.
        if self._file and self._events:
            self._file.write(_to_line(record))
            self._file.flush()
            for name in metrics:
                self._events.add_scalar(
                    f"{split}/{name}", record[name], record["step"], record["time_seconds"]
                )
            for tracker in self._trackers:
                tracker.log(int(step), {f"{split}/{name}": record[name] for name in metrics})

    def sync(self) -> None:
        """Makes all records so far durable."""
        if self._file and self._events:
            os.fsync(self._file.fileno())
            self._events.flush()


def write_size(folder: str | os.PathLike[str], variables: Variables) -> None:
    """Writes `size.json` into an existing folder: the numbers of a model's parameters.

    Those that are trained include puzzle rows; frozen ones are buffers, such as a foundation's.
    """
    if jax.process_index() != 0:
        return
    trained = jax.tree.leaves((variables.params, variables.puzzle_rows))
    counted = {"parameters": trained, "frozen": jax.tree.leaves(variables.buffers)}
    sizes = {name: sum(leaf.size for leaf in leaves) for name, leaves in counted.items()}
    files.write_atomically(Path(folder) / SIZE, json.dumps({"version": 1, **sizes}) + "\n")


def read_metrics(folder: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Returns the records of a run, which may be running: a half-written last one is left out.

    Raises:
        FileNotFoundError: there is no log.
        RunLogError: a line before the last is damaged.
    """
    path = Path(folder) / METRICS
    # A line that ends within a character is damaged like any other, and no error of decoding.
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    records = []
    for number, line in enumerate(lines, start=1):
        record = _from_line(line)
        if record is not None:
            records.append(record)
        # Only the last line can be half written; one before it was whole once.
        elif number < len(lines):
            raise RunLogError(
                f"{path}:{number}: expected a JSON object with {', '.join(_RESERVED)} (two numbers "
                f"and a text), got {line[:80]!r}; remove the line"
            )
    return records


def write_run_info(
    folder: str | os.PathLike[str], config: Any, trackers: Sequence[str] = ()
) -> None:
    """Writes `config.json` and `environment.json` into `folder`, which is made if absent.

    Args:
        folder: the run's.
        config: what it was resolved to.
        trackers: names of those that metrics are written to as well.

    Raises:
        ConfigError: the config holds what JSON cannot.
    """
    if jax.process_index() != 0:
        return
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    files.write_atomically(folder / "config.json", config_lib.to_json(config))
    environment = {
        # The commit of this code, wherever the command was given.
        "git": _git_state(Path(__file__).parent),
        "packages": {name: _version(name) for name in _PACKAGES},
        "python": platform.python_version(),
        "platform": platform.platform(),
        "devices": dict(Counter(device.device_kind for device in jax.devices())),
        "process_count": jax.process_count(),
        "command": sys.argv,
        "working_folder": os.getcwd(),
        "log_to": list(trackers),
    }
    text = json.dumps(environment, indent=2) + "\n"
    files.write_atomically(folder / _ENVIRONMENT, text)


def working_folder(folder: Path) -> Path | None:
    """Returns where the command of a run was last given; None for a run that does not say so."""
    try:
        environment = files.read_json_object(folder / _ENVIRONMENT)
        return Path(environment["working_folder"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def trackers_of(folder: Path) -> list[str]:
    """Returns the trackers that a run's metrics were written to last; none if it does not say."""
    try:
        names = files.read_json_object(folder / _ENVIRONMENT)["log_to"]
        return [name for name in TRACKERS if name in names]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _to_number(name: str, value: Any) -> bool | int | float:
    array = np.asarray(value)
    number = array.item() if array.shape == () else None
    if not isinstance(number, (bool, int, float)):
        raise RunLogError(
            f"{name}: expected one number, got {array.dtype}{list(array.shape)} {value!r}; reduce "
            "it first, as with jnp.mean"
        )
    return number


def _to_line(record: dict[str, Any]) -> str:
    # JSON has no infinities or NaN, and parsers in other languages reject Python's spelling, so
    # they are written as strings, which `_from_line` turns back.
    plain = {
        k: json.dumps(v) if isinstance(v, float) and not math.isfinite(v) else v
        for k, v in record.items()
    }
    return json.dumps(plain, allow_nan=False) + "\n"


def _from_line(line: str) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(record, dict) or not all(
        _is_kind(record.get(name), kind) for name, kind in _KINDS.items()
    ):
        return None
    # The strings that `_to_line` wrote in place of floats that JSON lacks.
    for name in record.keys() - {*_RESERVED}:
        if isinstance(record[name], str):
            record[name] = _NON_FINITE.get(record[name], record[name])
    return record


def _is_kind(value: Any, kind: type | types.UnionType) -> bool:
    # True and False are whole numbers to Python.
    return isinstance(value, kind) and not isinstance(value, bool)


def _git_state(folder: Path) -> dict[str, Any] | None:
    """Returns the commit and whether files differ from it; None outside a checkout."""
    try:
        commit = _git(folder, "rev-parse", "HEAD")
        return {"commit": commit, "dirty": bool(_git(folder, "status", "--porcelain"))}
    except (OSError, subprocess.SubprocessError):
        return None


def _git(folder: Path, *arguments: str) -> str:
    command = ["git", "-C", str(folder), *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=30)
    return done.stdout.strip()


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
