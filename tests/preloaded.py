"""A process that has imported what commands import, and becomes one of them each time it is asked.

    python -P tests/preloaded.py FD PATH...

Modules are searched in PATHs as well. The socket FD brings a command (JSON) with its three standard
streams. A fork runs it as `python` would, and becomes a child of who asked: see `tests.commands`.
The process ends with the socket.
"""

import contextlib
import functools
import gc
import importlib
import json
import os
import runpy
import signal
import socket
import sys
from typing import Any

IMPORTED = (
    "absl.app",
    "flax.nnx",
    "grain",
    "jax",
    "matplotlib.pyplot",
    "numba",
    "optax",
    "orbax.checkpoint",
    "rich.progress",
    "rich.table",
    "safetensors.numpy",
    "tensorboardX",
    "hrm_jax.convert.language",
    "hrm_jax.planning.dispatching",
    "hrm_jax.tasks.code.task",
    "hrm_jax.tasks.sudoku.task",
    "hrm_jax.training.run",
)
"""What most commands import, but for `experiments`: there modules define flags."""

LARGEST = 1 << 20
"""Bytes of a request, at most: all variables of the environment are in it."""


def reuse_lowering_context() -> None:
    """Lets the programs that are traced share one context of MLIR, where JAX makes it as expected.

    Each would make its own, which for a program of one operation takes a quarter of the time.
    """
    from jax._src.interpreters import mlir

    if hasattr(mlir, "make_ir_context"):
        mlir.make_ir_context = functools.cache(mlir.make_ir_context)


def serve(requests: socket.socket) -> dict[str, Any] | None:
    """Forks for every request; returns it in the fork, and None where no more come."""
    while True:
        message, streams, _, _ = socket.recv_fds(requests, LARGEST, 3)
        if not message:
            return None
        between = os.fork()
        if between:
            os.waitpid(between, 0)
            for stream in streams:
                os.close(stream)
            # Only now who asked has inherited the command's process.
            requests.send(b"inherited")
            continue
        # A process whose parent has ended is inherited by an ancestor that asked for it.
        command = os.fork()
        if command:
            requests.send(str(command).encode())
            os._exit(0)
        requests.close()
        for standard, stream in enumerate(streams):
            os.dup2(stream, standard)
            os.close(stream)
        return json.loads(message)


def become(request: dict[str, Any]) -> None:
    """Makes this process what `python -m MODULE` or `-c PROGRAM` would be, and runs it."""
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    paths = os.environ.get("PYTHONPATH", "")
    sys.path[:0] = [os.getcwd(), *filter(None, paths.split(os.pathsep))]
    kind, what, *flags = request["command"]
    sys.orig_argv = [sys.executable, *request["command"]]
    if kind == "-c":
        sys.argv = ["-c", *flags]
        exec(compile(what, "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv = [what, *flags]
        runpy.run_module(what, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    sys.path[:0] = sys.argv[2:]
    for name in IMPORTED:
        # What is absent is missed by commands that need it.
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    reuse_lowering_context()
    if "numba" in sys.modules:
        # What Numba reads before it compiles or loads anything.
        sys.modules["numba"].njit(lambda: None)()
    del sys.path[: len(sys.argv[2:])]
    # What is imported stays as it is, and is walked through in no fork.
    gc.freeze()
    # An interrupt of the tests ends them, and this process with them.
    usual = signal.signal(signal.SIGINT, signal.SIG_IGN)
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    if asked is not None:
        signal.signal(signal.SIGINT, usual)
        become(asked)
