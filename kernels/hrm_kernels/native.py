"""The kernels in C++: compiled for this machine at their first use, and kept in the user's cache.

They call XLA through its foreign function interface, whose headers come with jaxlib. Where there is
no compiler, or `HRM_JAX_NATIVE=0`, `refuses` says so and callers take XLA's own operations.
"""

import ctypes
import functools
import hashlib
import logging
import os
import platform
import shutil
import subprocess
import tempfile
from pathlib import Path

import jax

QUANTIZED_PRODUCT = "hrm_quantized_product"
"""Name under which XLA knows the product of `quantized.py`."""
RMS_NORM = "hrm_rms_norm"
"""Name under which XLA knows the normalisation of `norm.py`."""
CACHED_ATTENTION = "hrm_cached_attention"
"""Name under which XLA knows the attention of `native_cached.py`."""

SWITCH = "HRM_JAX_NATIVE"
CACHE = "HRM_JAX_CACHE"
_LOG = logging.getLogger(__name__)
_FOLDER = Path(__file__).parent / "native"
_SOURCES = {
    QUANTIZED_PRODUCT: (_FOLDER / "quantized_product.cc", "HrmQuantizedProduct"),
    RMS_NORM: (_FOLDER / "rms_norm.cc", "HrmRmsNorm"),
    CACHED_ATTENTION: (_FOLDER / "cached_attention.cc", "HrmCachedAttention"),
}
"""File and symbol of each kernel."""
# No contraction: a compiler that fuses products with sums as it likes would change bits.
_OPTIONS = ("-std=c++17", "-O2", "-DNDEBUG", "-ffp-contract=off", "-fPIC", "-shared", "-w")
_SECONDS = 300


# Once in a process: what could not be built is not tried again at every call.
@functools.cache
def refuses() -> str | None:
    """Returns why the kernels cannot be called, or None; compiles and registers them if need be."""
    if os.environ.get(SWITCH) == "0":
        return f"{SWITCH}=0 switches the kernels in C++ off"
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        return "there is no C++ compiler to build the kernels with; install g++ or clang"
    try:
        for name in _SOURCES:
            register(build(name, compiler), name)
    # Whatever is wrong with the compiler, XLA's own operations serve, more slowly.
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or error
        return f"the kernels in C++ could not be built by {compiler}: {told}"
    return None


def register(library: Path, name: str, alias: str | None = None) -> None:
    """Makes a kernel known to XLA, as `alias` if given; raises OSError if it cannot be loaded."""
    handler = getattr(ctypes.CDLL(str(library)), _SOURCES[name][1])
    jax.ffi.register_ffi_target(alias or name, jax.ffi.pycapsule(handler), platform="cpu")


def build(name: str, compiler: str, machine: str = "native") -> Path:
    """Returns the file of a kernel's library, built if it is not there yet.

    Args:
      name: of the kernel.
      compiler: its command.
      machine: whose instructions may be used, as the option `-march` names it.

    Raises:
      OSError: it cannot be started, or its result cannot be written.
      subprocess.SubprocessError: it fails, or takes minutes.
    """
    command = [compiler, *_OPTIONS, f"-march={machine}", "-isystem", jax.ffi.include_dir()]
    # Anything that changes the result changes the name; "native" is what the processor can do.
    source = _SOURCES[name][0]
    texts = [path.read_text() for path in (source, *sorted(_FOLDER.glob("*.h")))]
    parts = [*texts, *command, jax.__version__, _processor()]
    digest = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    place = _cache() / f"{source.stem}-{digest}.so"
    if not place.exists():
        _LOG.info("building %s by %s, once", place, compiler)
        place.parent.mkdir(parents=True, exist_ok=True)
        # On the file system of the result, where putting it into its place is a single step.
        with tempfile.TemporaryDirectory(dir=place.parent) as folder:
            built = Path(folder) / place.name
            subprocess.run(
                [*command, str(source), "-o", str(built)],
                check=True,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
            )
            # Whole or not at all, for processes that build it at the same time.
            built.replace(place)
    return place


def _cache() -> Path:
    if place := os.environ.get(CACHE):
        return Path(place).expanduser()
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(home) / "hrm_jax"


def _processor() -> str:
    """Returns what the processor can do, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine() + platform.processor()
    # x86 lists what it can do under "flags", Arm under "Features".
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
