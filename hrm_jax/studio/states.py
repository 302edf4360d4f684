"""The state of a run, by the files in its folder and by whether its process is alive.

Three files speak of it: `process.json` of the run itself (`hrm_jax.training.process_record`),
`job.json` of the studio that started it, and for runs of earlier code the log alone.
"""

import dataclasses
import os
import pathlib
import socket
from typing import Any, Literal

import psutil

from hrm_jax.studio.folders import read_end, read_object
from hrm_jax.studio.series import as_number
from hrm_jax.training.run_files import PROCESS

JOB = "job.json"
OUTPUT = "output.txt"
RUN_VARIABLE = "HRM_JAX_STUDIO_RUN"
"""Environment variable of a process that a studio starts: the run's folder."""

_LOCK = ".lock"
_CLOCK_SECONDS = 2.0
"""How much a process may seem to begin later than what it wrote: clocks are corrected."""
_ENDS = ("finished", "stopped", "failed")

Word = Literal[
    "queued", "starting", "running", "finished", "stopped", "failed", "killed", "unknown"
]


@dataclasses.dataclass(frozen=True)
class RunState:
    """The state of a run.

    Attributes:
      word: its name; `unknown` for runs of earlier code that have not taken their last step.
      message: why it failed or stopped.
      pid: of its process while that is alive.
      ended_seconds: when it ended, where that is known.
    """

    word: Word
    message: str = ""
    pid: int | None = None
    ended_seconds: float | None = None

    @property
    def is_alive(self) -> bool:
        """Whether a process works on it, here or on another machine."""
        return self.word in ("starting", "running")

    @property
    def is_here(self) -> bool:
        """Whether a process of this machine works on it."""
        return self.is_alive and self.pid is not None


def state_of(folder: pathlib.Path, *, is_complete: bool) -> RunState:
    """Returns the state of a run.

    Args:
      folder: the run's.
      is_complete: whether its log has the last step.
    """
    process = read_object(folder / PROCESS)
    job = read_object(folder / JOB)
    began = _number(process, "started_seconds")
    launched = _number(job, "launched_seconds")
    if launched > began:
        return _of_job(folder, job, launched)
    if not process:
        return RunState("finished" if is_complete else "unknown")
    return _of_process(process, began)


def _of_job(folder: pathlib.Path, job: dict[str, Any], launched: float) -> RunState:
    pid = _pid(job)
    if is_alive(pid, launched):
        return RunState("starting", pid=pid)
    said = read_end(folder / OUTPUT, 4096).strip().splitlines()
    errors = [line for line in said if line.startswith("error:")]
    message = (errors or said or ["it ended without a word"])[-1]
    if job.get("stopped") is True:
        return RunState("stopped", "stopped before its first step")
    return RunState("failed", message)


def _of_process(process: dict[str, Any], began: float) -> RunState:
    word = process.get("state")
    message = str(process.get("message", ""))
    if word in _ENDS:
        return RunState(word, message, ended_seconds=_number(process, "ended_seconds") or None)
    host = str(process.get("host", ""))
    if host and host != socket.gethostname():
        return RunState("running", f"on {host}")
    pid = _pid(process)
    if is_alive(pid, began):
        return RunState("running", pid=pid)
    return RunState("killed", "its process is gone, and did not say why")


def is_alive(pid: int | None, began_seconds: float) -> bool:
    """Returns whether the process that had this number then is alive."""
    if not pid:
        return False
    try:
        process = psutil.Process(pid)
        is_old = process.create_time() <= began_seconds + _CLOCK_SECONDS
        return is_old and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False


def works_on(pid: int, folder: pathlib.Path) -> bool:
    """Returns whether a process is the one of this run, whatever the run's files say.

    It holds the run's lock, or was started by a studio for this folder.
    """
    try:
        process = psutil.Process(pid)
        held = {file.path for file in process.open_files()}
        started_for = process.environ().get(RUN_VARIABLE)
    except psutil.Error:
        return False
    real = os.path.realpath(folder)
    return os.path.join(real, _LOCK) in held or started_for == real


def _pid(fields: dict[str, Any]) -> int | None:
    pid = fields.get("pid")
    return pid if isinstance(pid, int) and 1 < pid < 1 << 31 else None


def _number(fields: dict[str, Any], name: str) -> float:
    value = as_number(fields.get(name))
    return value if value is not None and abs(value) < 1e15 else 0.0
