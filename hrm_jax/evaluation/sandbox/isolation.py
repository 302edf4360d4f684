"""Finds a sandbox that works on this machine."""

from collections.abc import Sequence

from hrm_jax.evaluation.sandbox import processes
from hrm_jax.evaluation.sandbox.base import Job, Sandbox, SandboxUnavailable
from hrm_jax.evaluation.sandbox.bubblewrap import Bubblewrap
from hrm_jax.evaluation.sandbox.limits import Limits
from hrm_jax.evaluation.sandbox.namespaces import Namespaces

SANDBOXES: tuple[Sandbox, ...] = (Bubblewrap(), Namespaces())
"""All sandboxes, in order of preference."""


def find_sandbox(candidates: Sequence[Sandbox] = SANDBOXES) -> Sandbox:
    """Returns the first sandbox that can run a command here.

    Raises:
      SandboxUnavailable: none can; says what each of them said, and what to install.
    """
    problems = []
    for sandbox in candidates:
        problem = find_problem(sandbox)
        if problem is None:
            return sandbox
        problems.append(f"{sandbox.name}: {problem}")
    raise SandboxUnavailable(
        "expected a sandbox for code that a model wrote, got none "
        f"({'; '.join(problems)}); install bubblewrap (Debian, Ubuntu: apt-get install bubblewrap; "
        "Fedora: dnf install bubblewrap) and allow namespaces, which a container needs "
        "`--security-opt seccomp=unconfined` or CAP_SYS_ADMIN for. Nothing is run without walls"
    )


def find_problem(sandbox: Sandbox) -> str | None:
    """Runs a command in a sandbox; returns None if that works, otherwise the error message."""
    # Tried in earnest: a container may have the program and forbid namespaces.
    job = Job(("/bin/sh", "-c", "echo ready"), limits=Limits(wall_seconds=10))
    try:
        outcome = processes.run(sandbox, job)
    except OSError as error:
        return str(error)
    if outcome.status == 0 and outcome.stdout == b"ready\n":
        return None
    said = outcome.stderr.decode(errors="replace").strip()
    return said or f"exit status {outcome.status}"
