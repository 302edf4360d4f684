"""A sandbox by `unshare` and `mount` of util-linux, where bubblewrap is missing."""

import shlex

from hrm_jax.evaluation.sandbox.base import (
    Job,
    Mount,
    is_root,
    limited,
    system_links,
    system_mounts,
    unprivileged,
)

_DEVICES = ("null", "zero", "full", "random", "urandom")
_ROOT = "/mnt"
"""Mount point of the new root; it is covered in the command's mount namespace only."""


class Namespaces:
    """Runs commands in the kernel's namespaces, on a root folder built from bind mounts."""

    name = "unshare"

    def wrap(self, job: Job) -> list[str]:
        """Returns the host's command that runs the job inside; see `Sandbox.wrap`."""
        command = [] if is_root() else ["unshare", "--user", "--map-root-user", "--"]
        command += ["setpriv", "--pdeathsig=KILL", "--"]  # after the user changed, or it is undone
        # --fork: the child is process 1 of the PID namespace, with whose end the kernel kills all
        # others.
        command += ["unshare", "--mount", "--pid", "--net", "--ipc", "--uts", "--cgroup", "--fork"]
        command += ["--kill-child=KILL", "--propagation=private"]
        return [*command, "--", "/bin/sh", "-euc", _script(job)]


def _script(job: Job) -> str:
    """Returns a shell script that builds the root folder, changes into it and runs the job."""
    size = job.limits.scratch_bytes
    lines = [f"mount -t tmpfs -o size=1m,mode=755,nosuid,nodev none {_ROOT}", f"cd {_ROOT}"]
    lines += [f"ln -s {destination} .{path}" for path, destination in system_links()]
    for mount in system_mounts():
        lines += _bind(mount)
    # `proc` is mounted from within the namespace, or it would show the host's processes.
    lines += ["mkdir -p proc dev tmp before", "mount -t proc -o nosuid,nodev,noexec proc proc"]
    lines += [f"touch dev/{name}; mount --bind /dev/{name} dev/{name}" for name in _DEVICES]
    links = {"fd": "", "stdin": "/0", "stdout": "/1", "stderr": "/2"}
    lines += [f"ln -s /proc/self/fd{number} dev/{name}" for name, number in links.items()]
    lines += ["mkdir -p dev/shm"]
    for place in ("tmp", "dev/shm"):
        lines += [f"mount -t tmpfs -o size={size},mode=1777,nosuid,nodev none {place}"]
    for mount in job.mounts:
        lines += _bind(mount)
    # After pivot_root the host's tree is below /before; unmounted lazily, as this shell still uses
    # files of it.
    lines += ["pivot_root . before", "cd /", "umount -l before", "rmdir before"]
    lines += ["mount -o remount,bind,ro,nosuid,nodev /", f"cd {shlex.quote(job.folder)}"]
    settings = [f"{name}={value}" for name, value in job.environment]
    # A child of this shell: a namespace's first process ignores signals that it does not handle.
    inner = unprivileged(limited(job)) if is_root() else _powerless(limited(job))
    lines += [shlex.join(["env", "-i", *settings, *inner])]
    return "PATH=/usr/sbin:/usr/bin:/sbin:/bin\n" + "\n".join(lines)


def _bind(mount: Mount) -> list[str]:
    source = shlex.quote(mount.source)
    target = shlex.quote(f".{mount.target}")
    parent = shlex.quote(f".{mount.target.rpartition('/')[0]}")
    place = (
        f"if [ -d {source} ]; then mkdir -p {target}; else mkdir -p {parent}; touch {target}; fi"
    )
    access = "rw" if mount.writable else "ro"
    # A bind mount takes over the options of its source; read-only needs a remount.
    return [
        place,
        f"mount --bind {source} {target}",
        f"mount -o remount,bind,{access},nosuid,nodev {target}",
    ]


def _powerless(argv: list[str]) -> list[str]:
    """Returns the command without the capabilities of a user namespace's root."""
    return [
        *("setpriv", "--no-new-privs", "--securebits=+noroot,+noroot_locked"),
        *("--inh-caps=-all", "--bounding-set=-all", "--"),
        *argv,
    ]
