"""What the GPU kernels share: arrays of one head, read and written in blocks.

The kernels are written in Pallas' Triton dialect (`BUILD.md` says why not Mosaic GPU). Program
(i, n, b) of the grid works on head n of row b. Sizes of blocks are powers of two, as Triton
demands; loads and stores are masked, so that nothing outside of an array, nor ruled out by the
mask, is read.
"""

import copy
import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Bool, Float, Int

from hrm_kernels import jax_versions
from hrm_kernels.gpu_tiles import Tile, power_of_two
from hrm_kernels.mask import KeyRanges
from hrm_kernels.operands import wants_exact_float32

plgpu = jax_versions.triton_backend()

Product = Callable[[Array, Array], Array]
"""`[I, J], [J, K] -> [I, K]` float32."""

TF32_PRODUCTS = jax.lax.DotAlgorithmPreset.TF32_TF32_F32
HIGHEST_PRODUCTS: Any = jax.lax.DotAlgorithmPreset.TF32_TF32_F32_X3
"""Three TF32 products of the operands' high and low halves. They leave out only the product of both
low halves, 2^-22 of the result. `F32_F32_F32` is exact but does not use the matrix units."""
LOG2_E = math.log2(math.e)
"""The device's exponential is base 2; the factor is merged into the scale of the scores."""


def call(kernel: Callable[..., None], tile: Tile, **arguments: Any) -> Callable[..., Any]:
    """Returns `pallas_call(kernel, **arguments)`, compiled by Triton with the tile's settings."""
    # Here, as every kernel comes through this call when it is traced.
    jax_versions.ignore_triton_deprecation()
    params = plgpu.CompilerParams(num_warps=tile.warps, num_stages=tile.stages)
    return pl.pallas_call(kernel, compiler_params=params, **arguments)


def span(block: Any, size: int) -> Int[Array, " L"]:
    """Returns the positions that a block covers."""
    return block * size + jnp.arange(size, dtype=jnp.int32)


def matrix(
    ref: Any,
    rows: Int[Array, " L"],
    wanted: Bool[Array, " L"] | None,
    columns: range | None = None,
    head: int | None = None,
) -> Float[Array, "L W"]:
    """Returns rows of [L, K], or of one head of [L, G, K], zero where unwanted or beyond K.

    Args:
      ref: reference to the array.
      rows: positions of the rows.
      wanted: whether a row exists and is needed; None if all are.
      columns: the columns; None for all.
      head: the head, for [L, G, K].
    """
    column, exists = _columns(ref, columns)
    at = _at(rows, column, head)
    mask = None
    # Columns need a mask only where they were padded to a power of two.
    if len(columns or range(ref.shape[-1])) != column.shape[0]:
        mask = jnp.broadcast_to(exists[None, :], (rows.shape[0], column.shape[0]))
    if wanted is not None:
        mask = wanted[:, None] & exists[None, :]
    # What is masked is not read, and counts as zero: NaN in it goes nowhere.
    return plgpu.load(ref.at[at], mask=mask, other=None if mask is None else 0)


def store_matrix(
    ref: Any,
    rows: Int[Array, " L"],
    x: Float[Array, "L W"],
    columns: range | None = None,
    head: int | None = None,
) -> None:
    """Writes those rows of [L, K], or of one head of [L, G, K], that exist."""
    column, mask = _columns(ref, columns)
    exist = rows < ref.shape[0]
    at = _at(rows, column, head)
    plgpu.store(ref.at[at], x.astype(ref.dtype), mask=exist[:, None] & mask[None, :])


def vector(ref: Any, rows: Int[Array, " L"], head: int | None = None) -> Array:
    """Returns entries of [L], or of one head of [G, L]; zero beyond the end."""
    at = rows if head is None else (head, rows)
    return plgpu.load(ref.at[at], mask=rows < ref.shape[-1], other=0)


def store_vector(ref: Any, rows: Int[Array, " L"], x: Array) -> None:
    """Writes those entries of [L] that exist."""
    plgpu.store(ref.at[rows], x, mask=rows < ref.shape[0])


def ranges_of(
    ranges: KeyRanges | None, rows: Int[Array, " T"], T: int, S: int
) -> tuple[Int[Array, " T"], Int[Array, " T"]]:
    """Returns the first and the end of each query's keys; (0, 0) for queries beyond T."""
    if ranges is None:
        return jnp.zeros_like(rows), jnp.where(rows < T, S, 0)
    return vector(ranges.first, rows), vector(ranges.end, rows)


class Rows:
    """A block of queries, and the blocks of keys that it visits.

    The blocks of keys in the middle are seen whole by every query of the block that has keys. They
    need no masks, and make up most of the work on a long sequence.

    Attributes:
      alive: [T], whether a query exists and has keys.
    """

    def __init__(self, ranges: tuple[Array, Array], S: int, block_k: int):
        self._first, self._end = ranges
        self._block_k = block_k
        self.alive: Bool[Array, " T"] = self._first < self._end
        # All queries together see keys in [_low, _high); each of them sees [_whole_low,
        # _whole_high).
        self._low = jnp.min(jnp.where(self.alive, self._first, S))
        self._high = jnp.max(jnp.where(self.alive, self._end, 0))
        # Queries without keys do not shrink the whole part; a kernel drops what they sum over it.
        self._whole_low = jnp.max(jnp.where(self.alive, self._first, 0))
        self._whole_high = jnp.min(jnp.where(self.alive, self._end, S))

    def clipped(self, low: Any, high: Any) -> "Rows":
        """Returns the same queries, with only the keys `low <= key < high`."""
        # The queries' ranges stay; only the bounds of the blocks to visit are narrowed.
        clipped = copy.copy(self)
        clipped._low = jnp.maximum(self._low, low)
        clipped._high = jnp.minimum(self._high, high)
        return clipped

    def seen(self, keys: Int[Array, " S"]) -> Bool[Array, " S"]:
        """Returns which keys any of the queries may see; no others may be read."""
        return (self._low <= keys) & (keys < self._high)

    def allowed(self, keys: Int[Array, " S"]) -> Bool[Array, "T S"]:
        """Returns which query sees which key."""
        within = (self._first[:, None] <= keys[None]) & (keys[None] < self._end[:, None])
        # `seen` adds the bounds of a clipped block, of which a query's own range does not know.
        return within & self.seen(keys)[None]

    def visit_blocks(self, visit: Callable[[bool, Any, Any], Any], state: Any) -> Any:
        """Folds `visit(masked, block, state)` over the blocks of keys, in order."""
        block_k = self._block_k
        first = self._low // block_k
        # Three loops, with masks before and after the whole blocks. `div` truncates as Triton's
        # integer division does; all of its operands here are non-negative, so it rounds up as
        # intended. The clips order the four bounds even where there are no keys or no whole blocks.
        end = jax.lax.div(self._high + block_k - 1, block_k)
        whole_first = jax.lax.div(self._whole_low + block_k - 1, block_k)
        whole_first = jnp.clip(whole_first, first, jnp.maximum(first, end))
        whole_end = jnp.minimum(self._whole_high, self._high) // block_k
        whole_end = jnp.maximum(whole_first, whole_end)
        masked = functools.partial(visit, True)
        state = jax.lax.fori_loop(first, jnp.minimum(whole_first, end), masked, state)
        state = jax.lax.fori_loop(whole_first, whole_end, functools.partial(visit, False), state)
        return jax.lax.fori_loop(jnp.maximum(whole_end, first), end, masked, state)


def product_of(dtype: Any, interpret: Any) -> Product:
    """Returns the matrix product of a kernel with operands of a dtype.

    16-bit operands are multiplied exactly and summed in float32. Products of float32 follow
    `jax_default_matmul_precision`, as XLA's own do: TF32 by default, which keeps 10 bits of each
    operand, and `HIGHEST_PRODUCTS` for "highest" or "float32". The interpreter on a CPU, which
    has no TF32, computes them in float32.
    """
    # Products of 16-bit operands are exact in float32 as they are.
    precision = None
    if jnp.dtype(dtype) == jnp.float32:
        precision = HIGHEST_PRODUCTS if wants_exact_float32() else TF32_PRODUCTS
        if interpret:
            precision = jax.lax.Precision.HIGHEST

    def product(left: Float[Array, "I J"], right: Float[Array, "J K"]) -> Float[Array, "I K"]:
        return jnp.dot(left, right, precision=precision, preferred_element_type=jnp.float32)

    return product


def tokens(L: int, K: int, head: Any, heads: int | None = None) -> pl.BlockSpec:
    """Returns the block of all tokens of [B, L, heads, K] in row b, of head `head(n)`.

    With `heads`, the block has that many consecutive heads, from `heads * head(n)` on.
    """
    # All tokens of a row: kernels read by position what they need of it.
    return pl.BlockSpec((None, L, heads, K), lambda i, n, b: (b, 0, head(n), 0))


def per_query(T: int, heads: int | None = None) -> pl.BlockSpec:
    """Returns the block of all queries of [B, heads, T], of head n or of a run of heads."""
    return pl.BlockSpec((None, heads, T), lambda i, n, b: (b, n, 0))


def per_row(x: Any) -> Any:
    """Returns the block of a row of each [B, length] in a pytree."""
    return jax.tree.map(lambda leaf: pl.BlockSpec((None, leaf.shape[1]), _row), x)


def _row(i, n, b):
    return b, 0


def _at(rows: Array, column: Array, head: int | None) -> tuple[Any, ...]:
    """Returns the index at which rows and columns cross."""
    at = rows[:, None], column[None, :]
    return at if head is None else (at[0], head, at[1])


def _columns(ref: Any, columns: range | None) -> tuple[Int[Array, " W"], Bool[Array, " W"]]:
    """Returns the columns of a block, padded to a power of two, and which of them exist."""
    columns = columns or range(ref.shape[-1])
    # Triton's blocks are powers of two, so there may be columns beyond the head, which do not
    # exist.
    column = columns.start + jnp.arange(power_of_two(len(columns)), dtype=jnp.int32)
    return column, column < columns.stop
