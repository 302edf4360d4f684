"""A sandbox by bubblewrap (0.8 or newer), the program that Flatpak uses."""

from collections.abc import Sequence
from pathlib import PurePosixPath

from hrm_jax.evaluation.sandbox.base import (
    Job,
    Mount,
    is_root,
    limited,
    system_links,
    system_mounts,
    unprivileged,
)

_NAMESPACES = ["--unshare-ipc", "--unshare-pid", "--unshare-net", "--unshare-uts"]


class Bubblewrap:
    """Runs commands under `bwrap`, with all namespaces unshared.

    Root needs no user namespace: the command gets a real user that owns nothing. That also keeps
    it from sharing root's exemption from the bound on processes.
    """

    name = "bubblewrap"

    def wrap(self, job: Job) -> list[str]:
        """Returns the host's command that runs the job inside; see `Sandbox.wrap`."""
        size = str(job.limits.scratch_bytes)
        command = ["bwrap", "--die-with-parent", "--new-session", "--clearenv"]
        if is_root():
            command += [*_NAMESPACES, "--unshare-cgroup-try"]
            # setpriv needs these to leave root; it then drops every capability.
            for capability in ("CAP_SETUID", "CAP_SETGID", "CAP_SETPCAP"):
                command += ["--cap-add", capability]
        else:
            command += ["--unshare-all", "--unshare-user", "--disable-userns"]
            command += ["--uid", "65534", "--gid", "65534"]
        for path, destination in system_links():
            command += ["--symlink", destination, path]
        command += _bound(system_mounts())
        command += ["--proc", "/proc", "--dev", "/dev"]
        # Before the job's mounts, which may lie below /tmp.
        for place in ("/tmp", "/dev/shm"):
            command += ["--perms", "1777", "--size", size, "--tmpfs", place]
        command += _bound(job.mounts)
        # Last, as bwrap applies its options in order: no mount point can be made in a read-only
        # root.
        command += ["--remount-ro", "/dev", "--remount-ro", "/", "--chdir", job.folder]
        for name, value in job.environment:
            command += ["--setenv", name, value]
        # The limits are set within the sandbox, so that bwrap itself does not run under them.
        inner = limited(job)
        return [*command, "--", *(unprivileged(inner) if is_root() else inner)]


def _bound(mounts: Sequence[Mount]) -> list[str]:
    """Returns options for mounts, and for the folders above them, readable by everyone.

    bwrap makes missing folders for their owner alone, whom the command is not.
    """
    above = {str(folder) for mount in mounts for folder in PurePosixPath(mount.target).parents}
    command = []
    for folder in sorted(above - {"/", "/tmp"}):
        command += ["--perms", "0755", "--dir", folder]
    for mount in mounts:
        command += ["--bind" if mount.writable else "--ro-bind", mount.source, mount.target]
    return command
