"""What a run says of its process: `process.json`, by which others know how it is.

    version            1
    pid, host          of the process that trains, or trained last
    started_seconds    when it began to train
    state              running, finished, stopped (saved before its last step), failed
    ended_seconds      when it ended; null while it runs
    message            why it failed or stopped; empty otherwise

A process that is killed leaves `running` behind: it was killed if no process of that number began
before `started_seconds`. Only process 0 of several writes.
"""

import contextlib
import json
import os
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import jax

from hrm_jax.core.files import write_atomically
from hrm_jax.training.run_files import PROCESS

VERSION = 1

State = Literal["running", "finished", "stopped", "failed"]


class ProcessRecord:
    """The record of a process that trains; set `state` and `message` before the block ends."""

    def __init__(self, folder: Path):
        self.state: State = "running"
        self.message = ""
        self._path = folder / PROCESS
        self._started_seconds = time.time()

    def stopped(self, message: str) -> None:
        """Notes that the run was stopped before its last step."""
        self.state = "stopped"
        self.message = message

    def write(self) -> None:
        """Writes the record as it is now."""
        if jax.process_index() != 0:
            return
        fields = {
            "version": VERSION,
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "started_seconds": self._started_seconds,
            "state": self.state,
            "ended_seconds": None if self.state == "running" else time.time(),
            "message": self.message,
        }
        write_atomically(self._path, json.dumps(fields, indent=2) + "\n")


@contextlib.contextmanager
def recorded_process(folder: Path) -> Iterator[ProcessRecord]:
    """Records this process in a run's folder, which exists, while the block runs and after it."""
    record = ProcessRecord(folder)
    record.write()
    try:
        yield record
    # An interrupt from the keyboard ends a run as well, and is no `Exception`.
    except BaseException as error:
        record.state = "failed"
        record.message = f"{error}" or type(error).__name__
        with contextlib.suppress(OSError):  # the disk may be full: the error itself says more
            record.write()
        raise
    # Unless `stopped` was called inside the block.
    if record.state == "running":
        record.state = "finished"
    record.write()
