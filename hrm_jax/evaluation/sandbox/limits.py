"""Limits for code of unknown origin."""

from hrm_jax.core.config import configclass, field

MEBIBYTE = 1 << 20


_REMEDY = "nothing runs without it; raise it"


@configclass
class Limits:
    """Bounds of one sandboxed command."""

    cpu_seconds: int = field(10, help="processor time of each process", at_least=1, remedy=_REMEDY)
    wall_seconds: float = field(
        30.0, help="time until everything is killed", more_than=0, remedy=_REMEDY
    )
    memory_bytes: int = field(
        1024 * MEBIBYTE,
        help="memory of each process and of all together; the sum is looked at now and then",
        at_least=1,
        remedy=_REMEDY,
    )
    address_space: bool = field(
        True,
        help="memory_bytes bounds the addresses a process reserves, too; runtimes that reserve far "
        "more than they use (Java, Node, Go) cannot live with it",
    )
    processes: int = field(64, help="processes and threads at a time", at_least=1, remedy=_REMEDY)
    file_bytes: int = field(
        16 * MEBIBYTE, help="size of any file written", at_least=1, remedy=_REMEDY
    )
    scratch_bytes: int = field(
        64 * MEBIBYTE, help="size of the private /tmp", at_least=1, remedy=_REMEDY
    )
    open_files: int = field(128, help="descriptors at a time", at_least=1, remedy=_REMEDY)
    output_bytes: int = field(
        MEBIBYTE,
        help="what may be written to standard output and standard error, each",
        at_least=1,
        remedy=_REMEDY,
    )

    def prlimit(self) -> list[str]:
        """Returns options of `prlimit`, which sets what the kernel itself enforces."""
        # One second between the soft and the hard limit: SIGXCPU ends the process first, and its
        # status tells that time was the reason.
        values = {
            "cpu": f"{self.cpu_seconds}:{self.cpu_seconds + 1}",
            "data": self.memory_bytes,
            "nproc": self.processes,
            "fsize": self.file_bytes,
            "nofile": self.open_files,
            "core": 0,
        }
        if self.address_space:
            values["as"] = self.memory_bytes
        return [f"--{name}={value}" for name, value in values.items()]
