"""Settings of an entry point's process, made before JAX starts or before it compiles.

XLA on CPU asks malloc for its temporaries anew at every step. By default glibc maps and unmaps
large ones, and the page faults cost a quarter of the step (BUILD.md, "Benchmarks"). The settings
here make it keep the memory. As glibc reads them when the process starts, an entry point sets them
and re-executes itself once.
"""

import os
import pathlib
import sys

# In order: large blocks come from the heap and not from mmap; freed memory is never given back; the
# heap grows by 256 MiB at once; all threads share one heap.
HEAP_SETTINGS = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "100000000000",
    "MALLOC_TOP_PAD_": "268435456",
    "MALLOC_ARENA_MAX": "1",
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",  # ask for huge pages: fewer misses on addresses
}
KEEP_HEAP_VARIABLE = "HRM_JAX_KEEP_HEAP"
"""Environment variable: 0 leaves malloc as it is."""


def keep_heap() -> None:
    """Re-executes the program once with malloc set to keep freed memory.

    Does nothing off Linux, where any of the settings is already in the environment, or where
    `HRM_JAX_KEEP_HEAP=0`. Call it in `__main__`, before anything else has happened.
    """
    wanted = sys.platform == "linux" and os.environ.get(KEEP_HEAP_VARIABLE, "1") != "0"
    if not wanted or any(name in os.environ for name in HEAP_SETTINGS):
        return
    # orig_argv keeps the interpreter's own options, such as -m.
    os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], os.environ | HEAP_SETTINGS)


LAPACK_THREADS_VARIABLE = "OPENBLAS_NUM_THREADS"
"""Environment variable that the library behind JAX's decompositions on CPU reads when it loads."""


def keep_lapack_to_one_thread() -> None:
    """Lets matrices be decomposed on one thread, unless the environment says on how many.

    SOAP decomposes matrices of a few hundred rows. On two threads of a busy machine, which wait for
    each other by spinning, that took 10 to 100 times as long. Call it before JAX is imported.
    """
    os.environ.setdefault(LAPACK_THREADS_VARIABLE, "1")


COMPILED_VARIABLE = "HRM_JAX_COMPILED"
"""Environment variable with the folder for compiled programs; empty for none."""


def keep_compiled() -> None:
    """Makes JAX keep compiled programs on disk, so that a repeated command need not compile.

    The folder is `~/.cache/hrm_jax/compiled` or what `HRM_JAX_COMPILED` says; a folder that was
    set by `JAX_COMPILATION_CACHE_DIR` stays. JAX's keys cover all that a program depends on, so a
    program of an older version is never used for a newer one.
    """
    import jax  # not before `keep_heap`

    folder = os.environ.get(COMPILED_VARIABLE, "~/.cache/hrm_jax/compiled")
    if not folder or jax.config.values["jax_compilation_cache_dir"]:
        return
    jax.config.update("jax_compilation_cache_dir", str(pathlib.Path(folder).expanduser()))
    # JAX's default leaves out programs that compile in under a second, which add up.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.1)
