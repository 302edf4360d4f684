"""Commands as their users start them, `python -m MODULE`, each in a process of its own.

Most of what a command does in a test is to import: over a second for JAX and what stands on it, and
the tests start hundreds. So commands are forked from a process that has imported these already,
`tests.preloaded`, unless a test says otherwise or the environment differs.
"""

import atexit
import ctypes
import functools
import json
import os
import pathlib
import socket
import subprocess
import sys
import threading
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from experiments.common.process import HEAP_SETTINGS, LAPACK_THREADS_VARIABLE

ROOT = pathlib.Path(__file__).parents[1]
PATHS = (str(ROOT), str(ROOT / "kernels"))
FORKED = sys.platform == "linux"
"""Whether commands are forked unless a test says otherwise."""

TIMEOUT_SECONDS = 300
"""How long a command may run, on a machine that is busy."""

_PR_SET_CHILD_SUBREAPER = 36
_one_at_a_time = threading.Lock()
_READ_BY_IMPORTS = ("JAX_", "MPL", "NUMBA_", "PYTHON", "LD_", "OPENBLAS_")
"""Beginnings of variables that are read when Python starts or something is imported."""


def start(
    *command: object,
    environment: Mapping[str, str] = MappingProxyType({}),
    devices: int | None = None,
    cwd: pathlib.Path = ROOT,
    forked: bool = FORKED,
    **streams: Any,
) -> subprocess.Popen[str]:
    """Starts a command.

    Args:
      *command: a module that `python -m` runs, or "-c" and a program; then its arguments.
      environment: variables beside those of this process.
      devices: how many devices it sees, simulated; one, and none of them simulated, if None.
      cwd: the folder where it runs.
      forked: take a process that has imported much already, if the environment is like its own.
      **streams: of `subprocess.Popen`: where the standard streams go.
    """
    usual = {
        "PYTHONPATH": os.pathsep.join(PATHS),
        "JAX_PLATFORMS": "cpu",
    }
    if devices is not None:
        given = os.environ.get("XLA_FLAGS", "")
        usual["XLA_FLAGS"] = f"{given} --xla_force_host_platform_device_count={devices}"
    arguments = list(map(str, command))
    if arguments[0] != "-c":
        arguments.insert(0, "-m")
    return (_Forked if forked else subprocess.Popen)(
        [sys.executable, *arguments],
        env=os.environ | usual | environment,
        cwd=cwd,
        text=True,
        **streams,
    )


def run(
    *command: object, text: str | None = None, **options: Any
) -> subprocess.CompletedProcess[str]:
    """Runs a command to its end.

    Args:
      *command: as in `start`.
      text: what it reads from its standard input.
      **options: of `start`.
    """
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    if text is not None:
        pipes["stdin"] = subprocess.PIPE
    with start(*command, **pipes, **options) as process:
        try:
            output, errors = process.communicate(text, timeout=TIMEOUT_SECONDS)
        except BaseException:
            process.kill()
            raise
    return subprocess.CompletedProcess(process.args, process.returncode, output, errors)


class _Forked(subprocess.Popen):
    """A process that is forked from the preloaded one, where its environment allows that."""

    # Popen knows its child by `pid`, and waits for it as for any child of this process, which the
    # fork is by then: so all else works as it is. The order of the arguments is that of Python 3.11
    # to 3.13.
    def _execute_child(self, *arguments: Any) -> None:
        command, _, _, _, _, cwd, env, _, _, _, p2cread, _, _, c2pwrite, _, errwrite, *_ = arguments
        environment = dict(os.environ if env is None else env)
        if _relevant(environment) != _relevant(_server_environment()):
            super()._execute_child(*arguments)
            return
        streams = [
            given if given >= 0 else standard
            for standard, given in enumerate((p2cread, c2pwrite, errwrite))
        ]
        request = {
            "command": command[1:],
            "environment": HEAP_SETTINGS | environment,
            "folder": os.fspath(cwd or os.getcwd()),
        }
        try:
            self.pid = _fork(_server(), json.dumps(request).encode(), streams)
        finally:
            self._close_pipe_fds(*arguments[10:16])
        self._child_created = True


def _fork(server: socket.socket, request: bytes, streams: list[int]) -> int:
    """Returns the id of a forked process, which is a child of this one."""
    with _one_at_a_time:
        _inherit_orphans(True)
        try:
            socket.send_fds(server, [request], streams)
            pid = server.recv(100)
            inherited = server.recv(100)
        finally:
            _inherit_orphans(False)
    if not inherited:
        raise RuntimeError("the preloaded process has ended")
    return int(pid)


def _inherit_orphans(yes: bool) -> None:
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, int(yes), 0, 0, 0)


@functools.cache
def _server_environment() -> Mapping[str, str]:
    return os.environ | HEAP_SETTINGS | {"JAX_PLATFORMS": "cpu", LAPACK_THREADS_VARIABLE: "1"}


def _relevant(environment: Mapping[str, str]) -> dict[str, str]:
    """Returns the variables that have to be the preloaded process's own."""
    # Its search path is made anew, and of LAPACK's threads entry points say the same.
    free = ("PYTHONPATH", LAPACK_THREADS_VARIABLE)
    return {
        name: value
        for name, value in environment.items()
        if name.startswith(_READ_BY_IMPORTS) and name not in free
    }


@functools.cache
def _server() -> socket.socket:
    """Starts the preloaded process of this process; returns the way to it."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    environment = dict(_server_environment())
    # Each fork has a search path of its own.
    environment.pop("PYTHONPATH", None)
    process = subprocess.Popen(
        [sys.executable, "-P", ROOT / "tests" / "preloaded.py", str(theirs.fileno()), *PATHS],
        pass_fds=[theirs.fileno()],
        env=environment,
        stdin=subprocess.DEVNULL,
    )
    theirs.close()
    atexit.register(lambda: (ours.close(), process.wait()))
    return ours
