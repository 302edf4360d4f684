"""The entry point of products of activations with matrices in a few bits, and its choice."""

import importlib
import logging
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hrm_kernels import native
from hrm_kernels.choice import UnsupportedError, warn_of_fallback
from hrm_kernels.device import PLATFORMS, device_of
from hrm_kernels.quantized_matrix import ACCELERATOR, CPU, QuantizedMatrix, dequantize

_LOG = logging.getLogger(__name__)
BACKENDS = ("xla", "cpu", "tpu", "gpu", "mosaic")


def quantized_product(
    x: Float[Array, "*axes D"],
    matrix: QuantizedMatrix,
    *,
    backend: str | None = None,
    interpret: Any = False,
) -> Float[Array, "*axes V"]:
    """Returns `x @ matrix.T` in the dtype of `x`.

    Args:
      x: activations.
      matrix: the weights; they get no gradient.
      backend: "xla" widens the matrix; "cpu" rounds the activations to 8 bits and multiplies
        integers; "tpu" and "gpu" multiply the codes as they are with activations in parts of
        bfloat16 (`quantized_rows`), "mosaic" on Hopper with activations in 16 bits as they are. All
        but "xla" take time bounded by reading the matrix where there are few rows. None for the
        platform's, which is never "mosaic": that has run on no device yet.
      interpret: as in `attention`; for "tpu", "gpu" and "mosaic".

    Raises:
      UnsupportedError: `backend` cannot serve these operands, saying why.
      ValueError: there is no such backend, or the shapes do not fit together.
    """
    if x.shape[-1] != matrix.inputs:
        raise ValueError(f"quantized_product: x {x.shape} does not fit a matrix {matrix.shape}")
    if backend is not None and backend not in BACKENDS:
        expected = ", ".join(map(repr, BACKENDS))
        raise ValueError(f"quantized_product: expected None or one of {expected}, got {backend!r}")
    platform = jax.default_backend()
    chosen = backend or PLATFORMS.get(platform, "cpu")
    reason = _refuses(chosen, x.dtype, matrix)
    if reason is not None:
        if backend is not None:
            raise UnsupportedError(f"quantized_product: {reason}")
        if platform in PLATFORMS:
            warn_of_fallback("quantized_product", platform, (reason,))
        chosen = "xla"
    _LOG.info("quantized_product %s on %s: %s; %s", matrix.shape, platform, chosen, reason)
    return _differentiable(chosen, interpret, x, matrix)


def refuses_quantized() -> str | None:
    """Returns why this machine has no fast product of quantised matrices, or None if it has."""
    platform = jax.default_backend()
    if platform in PLATFORMS:
        return None
    if platform != "cpu":
        return f"there are kernels for CPU, TPU and GPU, not for {platform}"
    return native.refuses()


def rows_are_independent() -> bool:
    """Returns whether a row's bits depend on that row alone, whatever stands beside it.

    The kernels in C++ sum every row in one order: products, norms and attention to the cache.
    Elsewhere the order may change with the number of rows.
    """
    return jax.default_backend() == "cpu" and native.refuses() is None


def _refuses(backend: str, dtype: Any, matrix: QuantizedMatrix) -> str | None:
    """Returns why a backend cannot take activations of a dtype and a matrix, or None."""
    if backend == "xla":
        return None
    wanted = CPU if backend == "cpu" else ACCELERATOR
    if matrix.layout != wanted:
        return f"{backend!r} reads {wanted}, got {matrix.layout}; pack the matrix in that layout"
    if backend == "mosaic":
        return _kernel(backend).refuses(jnp.dtype(dtype).name, device_of().generation)
    if backend != "cpu":
        return None
    if jax.default_backend() != "cpu":
        return "the kernel in C++ runs on CPUs"
    return native.refuses()


def _kernel(backend: str) -> Any:
    """Returns the module of a kernel, imported at its first use, as it imports Pallas."""
    return importlib.import_module(f"hrm_kernels.{backend}_quantized")


def _multiply(backend: str, interpret: Any, x: Array, matrix: QuantizedMatrix) -> Array:
    if backend == "xla":
        return (x @ dequantize(matrix).T.astype(x.dtype)).astype(x.dtype)
    rows = x.reshape(-1, matrix.inputs)
    if backend == "cpu":
        out = _native_product(rows.astype(jnp.float32), matrix).astype(x.dtype)
    else:
        out = _kernel(backend).product(rows, matrix, interpret=interpret)
    return out.reshape(*x.shape[:-1], matrix.outputs)


_differentiable = jax.custom_vjp(_multiply, nondiff_argnums=(0, 1))


def _forward(
    backend: str, interpret: Any, x: Array, matrix: QuantizedMatrix
) -> tuple[Array, QuantizedMatrix]:
    return _multiply(backend, interpret, x, matrix), matrix


def _backward(
    backend: str, interpret: Any, matrix: QuantizedMatrix, d_out: Array
) -> tuple[Array, Any]:
    del backend, interpret
    return d_out @ dequantize(matrix).astype(d_out.dtype), None


_differentiable.defvjp(_forward, _backward)


def _native_product(x: Float[Array, "R D"], matrix: QuantizedMatrix) -> Float[Array, "R V"]:
    absent = jnp.zeros(0, jnp.float16)
    low, *high = matrix.planes
    P, _, n = low.shape
    call = jax.ffi.ffi_call(
        native.QUANTIZED_PRODUCT, jax.ShapeDtypeStruct((x.shape[0], P * n), jnp.float32)
    )
    out = call(
        x,
        low,
        high[0] if high else jnp.zeros(0, jnp.uint32),
        matrix.scales,
        absent if matrix.offsets is None else matrix.offsets,
        absent if matrix.scale_units is None else matrix.scale_units,
        absent if matrix.offset_units is None else matrix.offset_units,
        bits=np.int64(matrix.bits),
        group=np.int64(matrix.group),
    )
    return out[:, : matrix.outputs]
