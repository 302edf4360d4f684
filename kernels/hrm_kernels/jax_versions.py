"""Everything that differs among the supported versions of JAX.

Pallas' Triton backend is deprecated since jax 0.11, and from 0.11.2 on it warns at lowering.
"""

import importlib
import warnings
from typing import Any

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
