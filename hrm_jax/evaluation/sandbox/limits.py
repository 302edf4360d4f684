"""What code of unknown origin may use."""

import dataclasses

from hrm_jax.core.config import check, field

MEBIBYTE = 1 << 20


@dataclasses.dataclass(frozen=True)
class Limits:
    """Bounds of one sandboxed command.

    Attributes:
      cpu_seconds: processor time of each process.
      wall_seconds: time until everything is killed.
      memory_bytes: of each process, and of all together; the sum is looked at now and then.
      address_space: whether `memory_bytes` bounds the addresses a process reserves, too. Runtimes
        that reserve far more than they use (Java, Node, Go) cannot live with it.
      processes: processes and threads at a time.
      file_bytes: size of any file written.
      scratch_bytes: size of the private `/tmp`.
      open_files: descriptors at a time.
      output_bytes: what may be written to standard output and standard error, each.
    """

    cpu_seconds: int = field(10, help="processor time of each process")
    wall_seconds: float = field(30.0, help="time until everything is killed")
    memory_bytes: int = field(1024 * MEBIBYTE, help="memory of each process and of all together")
    address_space: bool = field(True, help="bound reserved addresses, too")
    processes: int = field(64, help="processes and threads at a time")
    file_bytes: int = field(16 * MEBIBYTE, help="size of any file written")
    scratch_bytes: int = field(64 * MEBIBYTE, help="size of the private /tmp")
    open_files: int = field(128, help="descriptors at a time")
    output_bytes: int = field(MEBIBYTE, help="standard output and error, each")

    def __post_init__(self):
        for name, value in dataclasses.asdict(self).items():
            check(
                name == "address_space" or value > 0,
                name,
                expected="a positive number",
                got=value,
                remedy="nothing runs without it; raise it",
            )

    def prlimit(self) -> list[str]:
        """Options of `prlimit`, which sets what the kernel itself enforces."""
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
