"""What the GPU kernels share: arrays of one head, read and written in blocks.

The kernels are Pallas' Triton dialect (`BUILD.md` says why not Mosaic GPU). A program of the grid
(i, n, b) works on head n of row b; sizes of blocks are powers of two, and what lies outside of an
array, or is ruled out by the mask, is masked in loads and stores, and so never read.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Bool, Float, Int

from hrm_kernels import jax_versions
from hrm_kernels.mask import KeyRanges

plgpu = jax_versions.triton_backend()

MIN_BLOCK = 16
"""Least size that a matrix unit takes."""


def call(
    kernel: Callable[..., None], *, num_warps: int, num_stages: int, **arguments: Any
) -> Callable[..., Any]:
    """Returns `pallas_call(kernel, **arguments)`, compiled by Triton.

    Args:
      kernel: reads and writes references.
      num_warps: of a program.
      num_stages: how deep Triton pipelines its loops.
      **arguments: what else `pallas_call` takes.
    """
    jax_versions.ignore_triton_deprecation()
    params = plgpu.CompilerParams(num_warps=num_warps, num_stages=num_stages)
    return pl.pallas_call(kernel, compiler_params=params, **arguments)


def power_of_two(size: int) -> int:
    """The least size of a block that covers `size`."""
    return max(MIN_BLOCK, pl.next_power_of_2(size))


def span(block: Any, size: int) -> Int[Array, " L"]:
    """The positions in a block."""
    return block * size + jnp.arange(size, dtype=jnp.int32)


def matrix(
    ref: Any,
    rows: Int[Array, " L"],
    wanted: Bool[Array, " L"],
    columns: range | None = None,
    head: int | None = None,
) -> Float[Array, "L W"]:
    """Rows of [L, K], or of one head of [L, G, K]; zeros for those not wanted, and beyond K.

    Args:
      ref: the array.
      rows: which rows.
      wanted: whether a row is in the array and of interest.
      columns: which columns; None for all.
      head: which head.
    """
    column, mask = _columns(ref, columns)
    at = _at(rows, column, head)
    return plgpu.load(ref.at[at], mask=wanted[:, None] & mask[None, :], other=0)


def store_matrix(
    ref: Any,
    rows: Int[Array, " L"],
    x: Float[Array, "L W"],
    columns: range | None = None,
    head: int | None = None,
) -> None:
    """Writes rows of [L, K], or of one head of [L, G, K]: those that exist."""
    column, mask = _columns(ref, columns)
    exist = rows < ref.shape[0]
    at = _at(rows, column, head)
    plgpu.store(ref.at[at], x.astype(ref.dtype), mask=exist[:, None] & mask[None, :])


def vector(ref: Any, rows: Int[Array, " L"], head: int | None = None) -> Array:
    """Entries of [L], or of one head of [G, L]; zeros beyond the end."""
    at = rows if head is None else (head, rows)
    return plgpu.load(ref.at[at], mask=rows < ref.shape[-1], other=0)


def store_vector(ref: Any, rows: Int[Array, " L"], x: Array) -> None:
    """Writes entries of [L], those that exist."""
    plgpu.store(ref.at[rows], x, mask=rows < ref.shape[0])


def ranges_of(
    ranges: KeyRanges | None, rows: Int[Array, " T"], T: int, S: int
) -> tuple[Int[Array, " T"], Int[Array, " T"]]:
    """First and end of the keys of each query; (0, 0) for those that do not exist."""
    if ranges is None:
        return jnp.zeros_like(rows), jnp.where(rows < T, S, 0)
    return vector(ranges.first, rows), vector(ranges.end, rows)


def product(left: Float[Array, "I J"], right: Float[Array, "J K"]) -> Float[Array, "I K"]:
    """Matrix product with a float32 result."""
    return jnp.dot(left, right, preferred_element_type=jnp.float32)


def tokens(L: int, K: int, head: Any, heads: int | None = None) -> pl.BlockSpec:
    """All tokens of [B, L, heads, K] that a program reads or writes, of head `head(n)`.

    With `heads`, of so many consecutive heads.
    """
    return pl.BlockSpec((None, L, heads, K), lambda i, n, b: (b, 0, head(n), 0))


def per_query(T: int, heads: int | None = None) -> pl.BlockSpec:
    """All queries of [B, heads, T], of a head, or of so many consecutive ones."""
    return pl.BlockSpec((None, heads, T), lambda i, n, b: (b, n, 0))


def per_row(x: Any) -> Any:
    """All of a row of each [B, length] in a pytree."""
    return jax.tree.map(lambda leaf: pl.BlockSpec((None, leaf.shape[1]), _row), x)


def _row(i, n, b):
    return b, 0


def _at(rows: Array, column: Array, head: int | None) -> tuple[Any, ...]:
    """Where rows and columns cross."""
    at = rows[:, None], column[None, :]
    return at if head is None else (at[0], head, at[1])


def _columns(ref: Any, columns: range | None) -> tuple[Int[Array, " W"], Bool[Array, " W"]]:
    """Columns of a block, and which of them exist."""
    columns = columns or range(ref.shape[-1])
    column = columns.start + jnp.arange(power_of_two(len(columns)), dtype=jnp.int32)
    return column, column < columns.stop
