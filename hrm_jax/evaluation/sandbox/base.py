"""The interface of sandboxes, what they promise, and what all of them share.

Inside a sandbox there are the system's programs and libraries, read-only; a private, bounded
`/tmp`; a few devices; the mounts of the job; no network, no other processes, no environment but
the job's, no file descriptor but those passed on purpose. Started by root, the command runs as an
unprivileged user of its own; started by a user, it runs as nobody of a user namespace. It has no
capabilities, and cannot gain any through the programs that it starts.
`hrm_jax.evaluation.sandbox.processes` bounds time, memory and output.
"""

import dataclasses
import os
import secrets
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from hrm_jax.core.errors import UserError
from hrm_jax.evaluation.sandbox.limits import Limits

FIRST_USER = 61_000
USERS = 4_000
"""Unprivileged users for commands started by root: the kernel counts processes by user."""

# Where a distribution has merged /bin into /usr these are links; both forms are reproduced inside.
_SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32")
_SETTINGS = ("/etc/alternatives", "/etc/ld.so.cache", "/etc/ld.so.conf", "/etc/ld.so.conf.d")


class SandboxUnavailable(UserError, RuntimeError):
    """No sandbox works on this machine, so nothing is run; the message says what to install."""


@dataclasses.dataclass(frozen=True)
class Mount:
    """A folder or file of the host that is visible inside.

    Attributes:
      source: absolute path on the host.
      target: absolute path inside.
      writable: whether it may be changed.
    """

    source: str
    target: str
    writable: bool = False


@dataclasses.dataclass(frozen=True)
class Job:
    """A command to run inside a sandbox.

    Attributes:
      argv: program, by its absolute path, and arguments.
      limits: what it may use.
      mounts: what it sees besides the system.
      environment: all of its environment.
      folder: where it starts, inside.
    """

    argv: tuple[str, ...]
    limits: Limits = dataclasses.field(default_factory=Limits)
    mounts: tuple[Mount, ...] = ()
    environment: tuple[tuple[str, str], ...] = (("PATH", "/usr/bin:/bin"), ("LANG", "C.UTF-8"))
    folder: str = "/tmp"


class Sandbox(Protocol):
    """A way to run a command in isolation."""

    @property
    def name(self) -> str:
        """The name in reports."""
        ...

    def wrap(self, job: Job) -> list[str]:
        """Returns the host's command that runs the job inside."""
        ...


def system_links() -> list[tuple[str, str]]:
    """Returns the system's folders that are links, as (path, where it points)."""
    return [(path, os.readlink(path)) for path in _SYSTEM if os.path.islink(path)]


def system_mounts() -> list[Mount]:
    """Returns the system's folders and settings that exist here, read-only, each in its place."""
    folders = [path for path in _SYSTEM if not os.path.islink(path)]
    return [Mount(path, path) for path in (*folders, *_SETTINGS) if Path(path).exists()]


def is_root() -> bool:
    """Returns whether this process may change users: only root can run commands as another user."""
    return os.geteuid() == 0


def unprivileged(argv: Sequence[str]) -> list[str]:
    """Returns the command as run by an unprivileged user of its own; for root only."""
    # A random user for each command: the kernel's bound on processes counts those of one user, so
    # commands that run side by side would otherwise share it.
    user = FIRST_USER + secrets.randbelow(USERS)
    return [
        *("setpriv", f"--reuid={user}", f"--regid={user}", "--clear-groups", "--no-new-privs"),
        *("--inh-caps=-all", "--bounding-set=-all", "--"),
        *argv,
    ]


def limited(job: Job) -> list[str]:
    """Returns the job's command under the limits that the kernel enforces for each process."""
    return ["prlimit", *job.limits.prlimit(), "--", *job.argv]
