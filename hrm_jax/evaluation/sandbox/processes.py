"""Runs sandboxed commands: writes their input, reads their output, and enforces their limits."""

import contextlib
import dataclasses
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from hrm_jax.evaluation.sandbox.base import Job, Sandbox
from hrm_jax.evaluation.sandbox.limits import Limits

OUT_OF_TIME = 128 + signal.SIGXCPU
"""Exit status of a sandbox whose command used up its processor time."""

Stopped = Literal["", "time", "memory", "output"]
# How often limits are checked; and how long processes may take to end by themselves.
_TICK_SECONDS = 0.02
_PATIENCE_SECONDS = 0.5
_CHUNK_BYTES = 1 << 16


@dataclasses.dataclass(frozen=True)
class Outcome:
    """How a command ended.

    Attributes:
      status: its exit status; negative: the signal that ended it.
      stdout, stderr: what it wrote, up to the limit.
      stopped: which limit it was killed for; empty if it ended by itself.
      seconds: wall-clock time.
    """

    status: int
    stdout: bytes
    stderr: bytes
    stopped: Stopped
    seconds: float


def run(sandbox: Sandbox, job: Job, text: bytes = b"") -> Outcome:
    """Runs a job to its end or its limits, with `text` on its standard input."""
    return watch(start(sandbox, job), job.limits, text)


def start(
    sandbox: Sandbox,
    job: Job,
    *,
    stdin: int = subprocess.PIPE,
    stdout: int = subprocess.PIPE,
    pass_fds: Sequence[int] = (),
) -> "subprocess.Popen[bytes]":
    """Starts a job; standard error is always a pipe.

    Of the caller's environment only PATH is passed on, for the sandbox's own program.
    """
    return subprocess.Popen(
        sandbox.wrap(job),
        stdin=stdin,
        stdout=stdout,
        stderr=subprocess.PIPE,
        pass_fds=tuple(pass_fds),
        cwd="/",
        env={"PATH": os.environ.get("PATH", os.defpath)},
        # `bufsize=0`: the pipes are read and written by `os.read` and `os.write`, past Python's
        # buffers.
        bufsize=0,
    )


def watch(
    main: "subprocess.Popen[bytes]",
    limits: Limits,
    text: bytes = b"",
    companions: Sequence["subprocess.Popen[bytes]"] = (),
) -> Outcome:
    """Waits for `main` to end or to exceed a limit, then ends its companions too.

    Args:
      main: the process to wait for; its pipes are read, and `text` is written to its standard
        input.
      limits: time and memory, of all processes together, and output, of each pipe.
      text: for the standard input of `main`.
      companions: other processes; what they write to standard error is read, and dropped.

    Returns:
      The outcome of `main`; `stopped` where any of them exceeded a limit.
    """
    begun = time.monotonic()
    everyone = (main, *companions)
    pipes = _Pipes(main, companions, text)
    stopped: Stopped = ""
    with _ending(everyone), pipes:
        # A process may end while its children hold its pipes open, and may close its pipes before
        # it ends: both have to be over.
        while not stopped and not (pipes.silent and main.poll() is not None):
            pipes.turn(_TICK_SECONDS)
            if time.monotonic() - begun > limits.wall_seconds:
                stopped = "time"
            elif pipes.longest > limits.output_bytes:
                stopped = "output"
            elif sum(resident_bytes(process.pid) for process in everyone) > limits.memory_bytes:
                stopped = "memory"
        # Killing bwrap or unshare kills all that is inside; `_ending` waits for it.
        for process in everyone if stopped else ():
            process.kill()
    stdout, stderr = pipes.written
    return Outcome(main.returncode, stdout, stderr, stopped, time.monotonic() - begun)


class _Pipes:
    """The pipes of several processes, read and written without blocking on any of them."""

    def __init__(self, main, companions, text: bytes):
        self._selector = selectors.DefaultSelector()
        self._text = memoryview(text)
        self._main = [pipe for pipe in (main.stdout, main.stderr) if pipe]
        self._stdin = main.stdin
        self._read = {pipe.fileno(): bytearray() for pipe in self._main}
        self._open = set(self._read)
        self.longest = 0
        # Outputs that are not kept (the companions') are read as well: a full pipe would block its
        # writer.
        for pipe in (*self._main, *(companion.stderr for companion in companions)):
            self._watch(pipe, selectors.EVENT_READ)
        if self._stdin:
            self._watch(self._stdin, selectors.EVENT_WRITE)
        self._numbers = [pipe.fileno() for pipe in self._main]

    def __enter__(self) -> "_Pipes":
        return self

    def __exit__(self, *error: object) -> None:
        for key in list(self._selector.get_map().values()):
            self._close(key.fileobj)
        self._selector.close()

    @property
    def silent(self) -> bool:
        """Whether the main process has closed its outputs."""
        return not self._open

    @property
    def written(self) -> tuple[bytes, bytes]:
        """Standard output and standard error of the main process."""
        stdout, stderr = (bytes(self._read[number]) for number in self._numbers)
        return stdout, stderr

    def turn(self, seconds: float) -> None:
        """Reads and writes what is ready; waits `seconds` at most."""
        # Without any pipe left this only waits.
        for key, _ in self._selector.select(seconds):
            if key.fileobj is self._stdin:
                self._feed()
            else:
                self._drain(key)

    def _watch(self, pipe, event: int) -> None:
        os.set_blocking(pipe.fileno(), False)
        self._selector.register(pipe, event)

    def _feed(self) -> None:
        try:
            self._text = self._text[os.write(self._stdin.fileno(), self._text[:_CHUNK_BYTES]) :]
        # The process may end, or close its input, without having read all of it.
        except BrokenPipeError:
            self._text = self._text[:0]
        if not self._text:
            self._close(self._stdin)

    def _drain(self, key: selectors.SelectorKey) -> None:
        chunk = os.read(key.fd, _CHUNK_BYTES)
        if not chunk:
            self._open.discard(key.fd)
            self._close(key.fileobj)
        elif key.fd in self._read:
            self._read[key.fd] += chunk
            self.longest = max(self.longest, len(self._read[key.fd]))

    def _close(self, pipe) -> None:
        self._selector.unregister(pipe)
        pipe.close()


@contextlib.contextmanager
def _ending(processes: Sequence["subprocess.Popen[bytes]"]):
    """Waits a moment for the processes to end after the block, then kills them.

    A sandbox that is killed takes all processes inside with it. After an error they are killed at
    once.
    """
    patience = 0.0
    try:
        yield
        patience = _PATIENCE_SECONDS
    finally:
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(patience)
            process.kill()
            process.wait()


def resident_bytes(pid: int) -> int:
    """Returns the memory that a process and its descendants have in use; ended ones count 0."""
    total = 0
    # Processes may end between listing and reading.
    with contextlib.suppress(OSError, ValueError, IndexError):
        total += int(Path(f"/proc/{pid}/statm").read_bytes().split()[1]) * os.sysconf("SC_PAGESIZE")
        for task in os.listdir(f"/proc/{pid}/task"):
            children = Path(f"/proc/{pid}/task/{task}/children").read_bytes().split()
            total += sum(resident_bytes(int(child)) for child in children)
    return total
