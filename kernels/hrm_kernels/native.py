"""The kernels in C++: compiled for this machine at their first use, and kept in the user's cache.

They call XLA through its foreign function interface, whose headers come with jaxlib. Where there is
no compiler, or `HRM_JAX_NATIVE=0`, `refuses` says so and callers take XLA's own operations.
"""

import ctypes
import functools
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import jax

QUANTIZED_PRODUCT = "hrm_quantized_product"
"""Name under which XLA knows the product of `quantized.py`."""

SWITCH = "HRM_JAX_NATIVE"
CACHE = "HRM_JAX_CACHE"
_LOG = logging.getLogger(__name__)
_SOURCE = Path(__file__).parent / "native" / "quantized_product.cc"
_OPTIONS = ("-std=c++17", "-O3", "-DNDEBUG", "-march=native", "-ffp-contract=off", "-fPIC")
_SYMBOLS = {QUANTIZED_PRODUCT: "HrmQuantizedProduct"}
_SECONDS = 300


@functools.cache
def refuses() -> str | None:
    """Returns why the kernels cannot be called, or None; compiles and registers them if need be."""
    if os.environ.get(SWITCH) == "0":
        return f"{SWITCH}=0 switches the kernels in C++ off"
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++")
    if compiler is None:
        return "there is no C++ compiler to build the kernels with; install g++ or clang"
    try:
        library = ctypes.CDLL(str(_library(compiler)))
    except (OSError, subprocess.SubprocessError) as error:
        told = getattr(error, "stderr", None) or error
        return f"the kernels in C++ could not be built by {compiler}: {told}"
    for name, symbol in _SYMBOLS.items():
        handler = jax.ffi.pycapsule(getattr(library, symbol))
        jax.ffi.register_ffi_target(name, handler, platform="cpu")
    return None


def _library(compiler: str) -> Path:
    """Returns the library's file, built if it is not there yet."""
    command = [compiler, *_OPTIONS, "-shared", "-isystem", jax.ffi.include_dir()]
    # Anything that changes the result changes the name; the processor, as `-march=native` reads it.
    parts = [_SOURCE.read_text(), *command, jax.__version__, _processor()]
    name = hashlib.sha256("\0".join(parts).encode()).hexdigest()[:16]
    place = _cache() / f"{_SOURCE.stem}-{name}.so"
    if not place.exists():
        _LOG.info("building %s by %s, once", place, compiler)
        place.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=place.parent) as folder:
            built = Path(folder) / place.name
            subprocess.run(
                [*command, str(_SOURCE), "-o", str(built)],
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
        import platform

        return platform.machine() + platform.processor()
    return next((line for line in lines if line.startswith(("flags", "Features"))), "")
