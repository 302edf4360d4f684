"""Everything that differs among the supported versions of JAX.

Pallas' Triton backend is deprecated since jax 0.11, and from 0.11.2 on it warns at lowering.
"""

import importlib
import warnings
from typing import Any

import jax

UNOPTIMISED: dict[str, Any] = {
    "xla_backend_optimization_level": 0,
    # Parts of a program that are compiled beside each other each set up a compiler of their own.
    "xla_cpu_parallel_codegen_split_count": 1,
}
"""Options of XLA's compiler for programs that run for milliseconds, as those of tests do: they are
compiled in less than half the time."""
AS_USERS: dict[str, Any] = {}
"""Options that leave of those only what changes no value: for tests of what is equal to the bit
among different programs, whose operations are fused, and rounded, differently without."""
if jax.__version_info__ < (0, 11, 2):
    # Its newer way to write the code of fused operations, the only one since, makes an MLIR context
    # for each of them, which takes longer than all else.
    UNOPTIMISED["xla_cpu_use_fusion_emitters"] = False
    AS_USERS["xla_cpu_use_fusion_emitters"] = True

TRITON_DEPRECATED = r"(The Pallas Triton backend|jax\.experimental\.pallas\.triton) is deprecated"
"""Matches the start of the deprecation warnings of Pallas' Triton backend, and nothing else."""


def ignore_triton_deprecation() -> None:
    """Ignores the deprecation of Pallas' Triton backend, even where warnings are errors.

    Call it wherever a kernel is traced. Lowering, which warns, happens later and in JAX's code, and
    filters set once at import may be gone by then: pytest restores them after each test.
    """
    warnings.filterwarnings("ignore", TRITON_DEPRECATED, DeprecationWarning)


def triton_backend() -> Any:
    """Returns the module `jax.experimental.pallas.triton`, whose import may warn as well."""
    ignore_triton_deprecation()
    return importlib.import_module("jax.experimental.pallas.triton")


def mosaic_backend() -> Any:
    """Returns the module `jax.experimental.pallas.mosaic_gpu`, or None where ours is too old.

    Before jax 0.11 nothing of it can be proven without a device: its interpreter comes with 0.11.
    """
    if jax.__version_info__ < (0, 11):
        return None
    return importlib.import_module("jax.experimental.pallas.mosaic_gpu")


def mosaic_store(ref: Any, x: Any) -> None:
    """Writes a block to shared memory in rows, which takes several turns of the banks.

    Since jax 0.12 that has to be said; `plgpu.store`, which says it, is not in 0.11.
    """
    store = getattr(mosaic_backend(), "store", None)
    if store is None:
        ref[...] = x
    else:
        store(ref, x, optimized=False)
