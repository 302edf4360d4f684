"""What implementations of attention share: operands, static options and signatures."""

import dataclasses
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from hrm_kernels.mask import KeyRanges


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Rope:
    """Rotary tables, rotate-half form, for queries and keys that are the same tokens.

    Attributes:
      cos: [L, K] float32; the second half of K repeats the first.
      sin: [L, K] float32, likewise.
    """

    cos: Float[Array | np.ndarray, "L K"]
    sin: Float[Array | np.ndarray, "L K"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Operands:
    """The arrays of one call.

    Attributes:
      query: [B, T, N, K].
      key: [B, S, M, K], in the query's dtype; query head n reads key head `n // (N / M)`.
      value: [B, S, M, K], likewise.
      ranges: the mask; None if every query attends to every key.
      rope: rotation still to be applied to query and key, which then have T = S; None for none.
    """

    query: Float[Array, "B T N K"]
    key: Float[Array, "B S M K"]
    value: Float[Array, "B S M K"]
    ranges: KeyRanges | None = None
    rope: Rope | None = None


@dataclasses.dataclass(frozen=True)
class Case:
    """The properties of a call by which its implementation is chosen.

    Attributes:
      T: queries.
      S: keys.
      N: query heads.
      M: key heads.
      K: head size.
      dtype: name of the operands' dtype.
      masked: whether the call has key ranges.
      with_lse: whether the log-sum-exp is asked for.
      generation: of the NVIDIA card (`device.GENERATIONS`); None where there is none, or unknown.
    """

    T: int
    S: int
    N: int
    M: int
    K: int
    dtype: str
    masked: bool = False
    with_lse: bool = False
    generation: str | None = None


def case_of(operands: Operands, generation: str | None = None, with_lse: bool = False) -> Case:
    """Returns the case that a call belongs to, on a card of a generation."""
    _, T, N, K = operands.query.shape
    _, S, M, _ = operands.key.shape
    masked = operands.ranges is not None
    return Case(T, S, N, M, K, operands.query.dtype.name, masked, with_lse, generation)


def ranges_of(operands: Operands) -> KeyRanges:
    """Returns the key ranges of a call; without a mask, ranges of all keys."""
    if operands.ranges is not None:
        return operands.ranges
    zeros = jnp.zeros(operands.query.shape[:2], jnp.int32)
    return KeyRanges(zeros, zeros + operands.key.shape[1])


@dataclasses.dataclass(frozen=True)
class Options:
    """Static choices of one call; hashable.

    Attributes:
      scale: factor on the scores.
      with_lse: whether the log-sum-exp is returned.
      interpret: `interpret` of `pallas_call`: False, True, or `InterpretParams`.
      generation: of the NVIDIA card, by which blocks are cut (`gpu_tiles`).
    """

    scale: float
    with_lse: bool = False
    interpret: Any = False
    generation: str | None = None


class Forward(Protocol):
    """Signature of the forward pass.

    `out` is [B, T, N, K] in the query's dtype, zero where a query has no key; `lse` is [B, N, T]
    float32, -inf where a query has no key, and None unless `options.with_lse`.
    """

    def __call__(
        self, options: Options, operands: Operands
    ) -> tuple[Float[Array, "B T N K"], Float[Array, "B N T"] | None]:
        """Returns (out, lse)."""
        ...


class Backward(Protocol):
    """Signature of the backward pass, which returns the cotangents of query, key and value.

    They have their primals' shapes and dtypes.

    `out` and `lse` are the results of the forward pass with `with_lse`. `d_lse` is None for zero;
    where a query has no key it is finite and ignored.
    """

    def __call__(
        self,
        options: Options,
        operands: Operands,
        out: Float[Array, "B T N K"],
        lse: Float[Array, "B N T"],
        d_out: Float[Array, "B T N K"],
        d_lse: Float[Array, "B N T"] | None,
    ) -> tuple[Float[Array, "B T N K"], Float[Array, "B S M K"], Float[Array, "B S M K"]]:
        """Returns (d_query, d_key, d_value)."""
        ...


class Attend(Protocol):
    """A differentiable `Forward`."""

    def __call__(
        self, options: Options, operands: Operands
    ) -> tuple[Float[Array, "B T N K"], Float[Array, "B N T"] | None]:
        """Returns (out, lse)."""
        ...


def wants_exact_float32() -> bool:
    """Returns whether float32 products are to keep all bits (`jax_default_matmul_precision`)."""
    # Read when a kernel is traced, as a context manager may have set it for this call alone.
    asked = jax.config.values["jax_default_matmul_precision"]
    return str(asked).lower() in ("highest", "float32")


def rotate(x: Float[Array, "B L N K"], rope: Rope | None) -> Float[Array, "B L N K"]:
    """Returns `x` rotated in float32 and rounded to its dtype; `x` itself if `rope` is None."""
    if rope is None:
        return x
    wide = x.astype(jnp.float32)
    # Rotate-half pairs element i with i + K / 2, and not with its neighbour.
    first, second = jnp.split(wide, 2, axis=-1)
    rotated_half = jnp.concatenate([-second, first], axis=-1)
    turned = wide * rope.cos[None, :, None, :] + rotated_half * rope.sin[None, :, None, :]
    return turned.astype(x.dtype)


def varying_zeros(like: Array, shape: tuple[int, ...]) -> Array:
    """Returns float32 zeros, a loop's first state, with the varying manual mesh axes of `like`."""
    # Inside a `shard_map` that checks them, a loop's state must vary over the same mesh axes
    # before and after an iteration, and a plain constant varies over none.
    varying = tuple(jax.typeof(like).manual_axis_type.varying)
    zeros = jnp.zeros(shape, jnp.float32)
    return jax.lax.pcast(zeros, varying, to="varying") if varying else zeros


def result_shape(like: Array, shape: tuple[int, ...], dtype: Any) -> jax.ShapeDtypeStruct:
    """Returns the shape of a kernel's output, with the varying manual mesh axes of `like`."""
    return jax.ShapeDtypeStruct(shape, dtype, manual_axis_type=jax.typeof(like).manual_axis_type)


def expected_gradient(
    out: Float[Array, "B T N K"],
    d_out: Float[Array, "B T N K"],
    d_lse: Float[Array, "B N T"] | None,
    lse: Float[Array, "B N T"],
) -> Float[Array, "B N T"]:
    """Returns the row term of the scores' gradient: `sum_k out d_out - d_lse`, [B, N, T] float32.

    With probabilities P and dP = d_out V^T, the gradient of the scores is P (dP - this).
    """
    # This equals `sum_s P dP - d_lse` but needs no scores, so a tiled kernel can have it before
    # it has seen all keys (FlashAttention-2, arXiv 2307.08691).
    products = out.astype(jnp.float32) * d_out.astype(jnp.float32)
    expected = jnp.einsum("BTNK->BNT", products)
    # The log-sum-exp of a query without keys is the constant -inf, so it has no gradient.
    return expected if d_lse is None else expected - jnp.where(lse > -jnp.inf, d_lse, 0)
