"""The machine under a measurement: what it is, how fast it multiplies matrices and copies."""

import dataclasses
import os
import pathlib
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from experiments.benchmarks import alternate
from hrm_jax.core.machine import cores


@dataclasses.dataclass(frozen=True)
class Machine:
    """The processor's name, the cores and memory that this process may use, and the peak.

    `matmul_flops` maps a library to its measured float32 matrix multiplication peak in FLOP/s.
    """

    cpu: str
    cores: int
    ram_bytes: int
    matmul_flops: dict[str, float]

    @property
    def peak_flops(self) -> float:
        """The greatest FLOP/s that any of the libraries reached."""
        return max(self.matmul_flops.values())


def describe(pythons: Sequence[str] = (sys.executable,)) -> Machine:
    """Describes this machine, measuring every library that one of the interpreters has."""
    peaks: dict[str, float] = {}
    for library in ("numpy", "jax", "torch"):
        python = next((path for path in pythons if alternate.importable(library, path)), None)
        if python is not None:
            # Each library in a process of its own: interpreters may differ, and thread pools would
            # compete.
            with alternate.Worker(python) as worker:
                peaks[library] = worker.call(f"{__name__}:matmul_peak", library=library)
    return Machine(_cpu_name(), cores(), _ram_bytes(), peaks)


def matmul_peak(library: str, sizes: Sequence[int] = (512, 1024, 2048), repeats: int = 7) -> float:
    """Returns the float32 matrix multiplication peak of a library in FLOP/s.

    Args:
        library: "numpy", "jax" or "torch".
        sizes: edge lengths n of the square matrices, 2 n^3 FLOP a product; the best one counts.
        repeats: timed products of each size, of which the median counts.
    """
    prepare = {"numpy": _numpy_matmul, "jax": _jax_matmul, "torch": _torch_matmul}[library]
    rng = np.random.default_rng(0)
    peaks = []
    for size in sizes:
        multiply = prepare(*rng.standard_normal((2, size, size), dtype=np.float32))
        # The first product is not timed: it starts threads, or compiles.
        multiply()
        seconds = [_seconds(multiply) for _ in range(repeats)]
        peaks.append(2 * size**3 / statistics.median(seconds))
    return max(peaks)


def copy_bandwidth(size_bytes: int = 1 << 28, repeats: int = 7) -> float:
    """Returns the bytes read and written per second by a compiled copy of a large float32 array."""
    import jax

    source = jax.numpy.ones(size_bytes // 4)
    # Donated: the copy writes into memory that is mapped already, as page faults would be timed
    # too.
    copy = jax.jit(lambda x, y: x.at[:].set(y), donate_argnums=0)
    target = jax.numpy.zeros_like(source)
    seconds = []
    for _ in range(repeats + 1):
        begin = time.perf_counter()
        target = copy(target, source).block_until_ready()
        seconds.append(time.perf_counter() - begin)
    return 2 * size_bytes / statistics.median(seconds[1:])


def _seconds(function: Callable[[], object]) -> float:
    begin = time.perf_counter()
    function()
    return time.perf_counter() - begin


def _numpy_matmul(a: np.ndarray, b: np.ndarray) -> Callable[[], object]:
    return lambda: a @ b


def _jax_matmul(a: np.ndarray, b: np.ndarray) -> Callable[[], object]:
    import jax

    multiply = jax.jit(jax.numpy.matmul)
    left = jax.device_put(a)
    right = jax.device_put(b)
    return lambda: multiply(left, right).block_until_ready()


def _torch_matmul(a: np.ndarray, b: np.ndarray) -> Callable[[], object]:
    import torch

    left = torch.from_numpy(a)
    right = torch.from_numpy(b)
    return lambda: left @ right


def _cpu_name() -> str:
    if sys.platform == "darwin":
        command = ["sysctl", "-n", "machdep.cpu.brand_string"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    cpuinfo = pathlib.Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _ram_bytes() -> int:
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
