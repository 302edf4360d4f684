"""The entry points of attention: checks operands, and runs or explains the best path for them."""

import dataclasses
from typing import Any, Literal, overload

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from hrm_kernels.choice import Choice, choose, explain_case, not_chosen, run
from hrm_kernels.device import device_of
from hrm_kernels.mask import Mask, check_mask, key_ranges
from hrm_kernels.operands import Case, Operands, Options, Rope, case_of

DTYPES = ("float32", "bfloat16", "float16")


# The overloads tell type checkers that the result is a pair only with `return_lse=True`.
@overload
def attention(
    query: Array,
    key: Array,
    value: Array,
    *,
    mask: Mask | None = ...,
    scale: float | None = ...,
    rope: Rope | None = ...,
    return_lse: Literal[False] = ...,
    backend: str | None = ...,
    device: Any = ...,
    interpret: Any = ...,
) -> Array: ...


@overload
def attention(
    query: Array,
    key: Array,
    value: Array,
    *,
    mask: Mask | None = ...,
    scale: float | None = ...,
    rope: Rope | None = ...,
    return_lse: Literal[True],
    backend: str | None = ...,
    device: Any = ...,
    interpret: Any = ...,
) -> tuple[Array, Array]: ...


def attention(
    query: Float[Array, "B T N K"],
    key: Float[Array, "B S M K"],
    value: Float[Array, "B S M K"],
    *,
    mask: Mask | None = None,
    scale: float | None = None,
    rope: Rope | None = None,
    return_lse: bool = False,
    backend: str | None = None,
    device: Any = None,
    interpret: Any = False,
) -> Any:
    """Returns `softmax(scale * query key^T) value` over the keys that `mask` allows.

    Differentiable to first order, with residuals linear in T and S, and equally under `jit`,
    `vmap`, `remat`, `shard_map` and inside `lax.scan`. Scores, softmax and sums are float32
    whatever the operands' dtype. A query without any key gives zeros, and zero gradients. Keys,
    values and queries that the mask leaves unused may hold anything, NaN included.

    Args:
      query: queries; float32, bfloat16 or float16.
      key: keys, of the query's dtype. N is a multiple of M: query head n reads key head
        `n // (N / M)`.
      value: values, of the query's dtype and the key's shape.
      mask: which keys a query attends to; None for all.
      scale: factor on the scores; `1 / sqrt(K)` when None.
      rope: tables by which query and key are rotated first, a position being a token's index;
        resident kernels do it inside. Needs T = S; decoding, where it is not, rotates beforehand.
      return_lse: whether to return the log-sum-exp of each query's scores as well.
      backend: which path to take: None for the best on `device`; "xla", "tpu", "gpu", "mosaic" or
        "mps" for the best of a family; "interpret" for the TPU's kernels in Pallas' interpreter, on
        any machine; or the name of one path (`hrm_kernels.choice.PATHS`).
      device: what to choose for, a device of JAX; None for the ambient mesh's (`jax.set_mesh`), so
        that of an ahead-of-time target, or without a mesh JAX's first one.
      interpret: whether the path's Pallas kernels run in the interpreter; True, or
        `InterpretParams` for the TPU's simulator.

    Returns:
      The attended values, in the query's shape and dtype. With `return_lse` also the log-sum-exp,
      [B, N, T] float32, -inf where a query has no key.

    Raises:
      ValueError: if shapes, dtypes or the mask do not fit together.
      UnsupportedError: if `backend` cannot serve these operands, saying why.
    """
    _check(query, key, value, rope)
    B, T, _, K = query.shape
    # Whatever the conditions, a path reads two integers for each query, or None where it need not
    # mask.
    ranges = key_ranges(mask or Mask(), B, T, key.shape[1])
    operands = Operands(query, key, value, ranges, rope)
    found = device_of(device)
    name, interpreted = choose(
        case_of(operands, found.generation, return_lse), found.platform, backend
    )
    # A Python number, as options are static: hashable arguments of a `custom_vjp`.
    scale = float(K**-0.5 if scale is None else scale)
    options = Options(scale, return_lse, interpret or interpreted, found.generation)
    out, lse = run(name, options, operands)
    return (out, lse) if return_lse else out


def explain(
    query: Float[Array | jax.ShapeDtypeStruct, "B T N K"],
    key: Float[Array | jax.ShapeDtypeStruct, "B S M K"],
    value: Float[Array | jax.ShapeDtypeStruct, "B S M K"],
    mask: Mask | None = None,
    *,
    rope: Rope | None = None,
    return_lse: bool = False,
    backend: str | None = None,
    device: Any = None,
) -> Choice:
    """Returns the path that `attention` would take, and why not others; compiles and runs nothing.

    The arguments are those of `attention`; shapes (`jax.ShapeDtypeStruct`) do as well as arrays.
    `print(explain(query, key, value, mask))` shows it.

    Raises:
      ValueError: as `attention`.
    """
    _check(query, key, value, rope)
    B, T, N, K = query.shape
    S, M = key.shape[1:3]
    mask = mask or Mask()
    check_mask(mask, B, S)
    found = device_of(device)
    masked = not mask.is_full
    case = Case(T, S, N, M, K, query.dtype.name, masked, return_lse, found.generation)
    choice = explain_case(case, found.platform, backend)
    # Where a path is asked for by name, no other was passed over.
    others = not_chosen(case, found.platform) if backend is None else {}
    return dataclasses.replace(choice, not_chosen=others)


def _check(query: Any, key: Any, value: Any, rope: Rope | None) -> None:
    """Raises ValueError for operands that attention is not defined for, naming them."""
    shapes = f"query {query.shape}, key {key.shape}, value {value.shape}"
    if not query.ndim == key.ndim == value.ndim == 4:
        raise ValueError(
            f"attention expects query [B, T, N, K] and key, value [B, S, M, K]: {shapes}"
        )
    B, T, N, K = query.shape
    if key.shape != value.shape or (key.shape[0], key.shape[3]) != (B, K):
        raise ValueError(f"attention expects operands equal in B and K, and in S: {shapes}")
    # Every key head serves equally many query heads.
    if N % key.shape[2]:
        raise ValueError(f"attention expects query heads a multiple of key heads: {shapes}")
    if 0 in (*query.shape, *key.shape):
        raise ValueError(f"attention expects no empty axis: {shapes}")
    # Nothing is promoted: a mixed call would compute in a dtype that nobody asked for.
    if not query.dtype == key.dtype == value.dtype or query.dtype.name not in DTYPES:
        raise ValueError(
            f"attention expects one dtype of {DTYPES} for all operands, got "
            f"query {query.dtype}, key {key.dtype}, value {value.dtype}: cast them first"
        )
    if rope is None:
        return
    # A row of the tables is a token's index, which is the same for query and key only where T = S.
    tables = jnp.shape(rope.cos), jnp.shape(rope.sin)
    if key.shape[1] != T or tables != ((T, K), (T, K)) or K % 2:
        raise ValueError(
            f"attention expects rope tables [L, K] with L = T = S and K even, got "
            f"{tables[0]} and {tables[1]} for {shapes}"
        )
