"""What the Mosaic GPU kernels share: blocks of 64 rows, products, rotation, and the call.

They are for Hopper's `wgmma` in 16 bits. A warpgroup (128 threads) multiplies blocks of 64 rows.
Its right operand lies in shared memory in tiles of 8 rows that the hardware knows, and a copy into
such tiles (TMA) takes lengths in multiples of 8 alone, which HRM's 82 and 97 are not. So operands
are copied as they are, rows beyond the end as zeros, and pass through registers into tiles: on this
way they are rotated, and what the mask hides becomes zero.

The interpreter has no rule for `wgmma` with its left operand in registers; there `product` is an
ordinary product of the same values. Its warpgroups wait for each other in threads of XLA, of which
there are as many as cores: start the process with `NPROC=16` in its environment.
"""

import dataclasses
import functools
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Float, Int

from hrm_kernels import jax_versions
from hrm_kernels.blocks import cdiv, query_block_ranges
from hrm_kernels.mask import KeyRanges
from hrm_kernels.operands import Case, Rope

plgpu: Any = jax_versions.mosaic_backend()
"""`jax.experimental.pallas.mosaic_gpu`, or None where JAX is too old."""

ROWS = 64
"""Rows of a block: what one warpgroup's product has."""
HEAD_SIZES = (32, 64, 128)
DTYPES = ("bfloat16", "float16")
MOST_COLUMNS = 64
"""Columns of a tile of 16-bit elements, 128 bytes; narrower blocks have narrower tiles."""


def refuses_operands(dtype: str, generation: str | None) -> str | None:
    """Returns why no kernel of Mosaic's can serve operands of a dtype on a card, or None."""
    if plgpu is None:
        return f"needs jax 0.11 or newer, here is {jax.__version__}; use backend='gpu'"
    if generation not in (None, "hopper"):
        return f"its instructions are Hopper's, the card is of {generation}; use backend='gpu'"
    if dtype not in DTYPES:
        return f"has products of 16-bit operands alone, got {dtype}; use backend='gpu'"
    return None


def refuses(case: Case) -> str | None:
    """Returns why no kernel of Mosaic's attention can serve a case, or None."""
    reason = refuses_operands(case.dtype, case.generation)
    if reason is None and case.K not in HEAD_SIZES:
        return f"has heads of {HEAD_SIZES}, got {case.K}; use backend='gpu'"
    return reason


WORKING_REGISTERS = 224
COPYING_REGISTERS = 56
"""Registers of a thread, of 65,536 for three warpgroups of 128 threads."""


def take_registers(kernel: "Kernel", copies: bool) -> None:
    """Gives registers of the warpgroup that copies to those that work; two have enough as it is."""
    if kernel.warpgroups < 3:
        return
    if copies:
        plgpu.set_max_registers(COPYING_REGISTERS, action="decrease")
    else:
        plgpu.set_max_registers(WORKING_REGISTERS, action="increase")


def row_layout() -> Any:
    """Returns the layout of a vector with an entry for each row of a block."""
    return plgpu.Layout.WGMMA.reduce(1)


def column_layout() -> Any:
    """Returns the layout of a vector with an entry for each column of a block."""
    return plgpu.Layout.WGMMA.reduce(0)


def over_columns(x: Array, columns: int) -> Array:
    """Returns a vector of the rows' entries as a block in which columns are equal."""
    return jax.lax.broadcast_in_dim(x, (x.shape[0], columns), [0])


def over_rows(x: Array, rows: int) -> Array:
    """Returns a vector of the columns' entries as a block in which rows are equal."""
    return jax.lax.broadcast_in_dim(x, (rows, x.shape[0]), [1])


def plain(shape: tuple[int, ...], dtype: Any) -> Any:
    """Returns shared memory in rows, which a copy reads or writes at any length."""
    return plgpu.SMEM(shape, dtype)


def tiled(shape: tuple[int, ...], dtype: Any, columns: int | None = None) -> Any:
    """Returns shared memory in the tiles that `wgmma` reads, of so many columns if said.

    Both operands of a product have tiles of the same number of columns.
    """
    columns = columns or tile_columns(shape[-1])
    transforms = (
        plgpu.TilingTransform((8, columns)),
        plgpu.SwizzleTransform(columns * jnp.dtype(dtype).itemsize),
    )
    return plgpu.SMEM(shape, dtype, transforms=transforms)


def tile_columns(size: int) -> int:
    """Returns the columns of a tile in a block with so many."""
    return min(MOST_COLUMNS, size)


def load(ref: Any, layout: Any = None) -> Array:
    """Returns a block or a vector in registers; a block as products take it."""
    # `optimized` would refuse memory in rows, whose reads take several turns of the banks.
    return plgpu.load(ref, layout=layout or plgpu.Layout.WGMMA, optimized=False)


@dataclasses.dataclass(frozen=True)
class Kernel:
    """A kernel of programs with some warpgroups each.

    Attributes:
      name: of the kernel.
      warpgroups: of a program.
      interpret: as in `operands.Options`.
    """

    name: str
    warpgroups: int
    interpret: Any

    def call(
        self,
        body: Callable[..., None],
        grid: tuple[int, ...],
        out_type: Sequence[Any],
        scratch: Sequence[Any],
        axes: Sequence[str] = ("head", "row", "block"),
    ) -> Callable[..., Any]:
        """Returns `body` as a function of arrays.

        The axis of warpgroups is `warpgroup`; `axes` are those of the grid, as far as it has any.
        """
        interpret = self.interpret
        if interpret is True:
            interpret = plgpu.InterpretGPUParams()
        params = plgpu.CompilerParams(
            approx_math=True,
            # The other semantics infer tiles for memory that is to stay in rows.
            lowering_semantics=plgpu.LoweringSemantics.Lane,
        )
        return plgpu.kernel(
            body,
            out_type=tuple(out_type),
            scratch_types=list(scratch),
            grid=grid,
            grid_names=tuple(axes[: len(grid)]),
            num_threads=self.warpgroups,
            thread_name="warpgroup",
            kernel_name=self.name,
            compiler_params=params,
            interpret=interpret or None,
        )

    def product(
        self, shape: tuple[int, int], *pairs: tuple[Any, Callable[[], Any]], onto: Any = None
    ) -> Float[Array, "I J"]:
        """Returns the sum of products in float32, or adds it to `onto`.

        Args:
          shape: of the result.
          *pairs: left operands, in registers or a function that returns tiled memory, and functions
            that return the right ones in tiled memory.
          onto: what to add to, in registers.
        """
        return self.products((self.zeros(shape) if onto is None else onto, *pairs))[0]

    def products(self, *sums: tuple[Any, ...]) -> tuple[Float[Array, "I J"], ...]:
        """Returns sums of products that do not need each other, waiting for them once.

        Each is a block to add to, in registers, and pairs as `product` takes them.
        """
        if self.interpret:
            found = [functools.reduce(_plain_product, pairs, total) for total, *pairs in sums]
            # `wgmma` reads as copies do, and what it has read they may write over. A plain read
            # must be followed by a fence, or the interpreter reports a race.
            plgpu.commit_smem()
            return tuple(found)

        def multiply(accumulators):
            # References are made here: one from outside would be a constant of the loop over state.
            for accumulator, (_, *pairs) in zip(accumulators, sums, strict=True):
                for left, right in pairs:
                    plgpu.wgmma(accumulator, left() if callable(left) else left, right())

        return pl.run_state(multiply)(tuple(plgpu.ACC.init(total) for total, *_ in sums))

    def meet(self, barrier: Any) -> None:
        """Waits for all warpgroups, after which each sees what the others wrote before."""
        plgpu.commit_smem()
        if self.warpgroups > 1:
            plgpu.barrier_arrive(barrier)
            plgpu.barrier_wait(barrier)

    def zeros(self, shape: tuple[int, int]) -> Float[Array, "I J"]:
        """Returns zeros as products add to them."""
        return plgpu.layout_cast(jnp.zeros(shape, jnp.float32), plgpu.Layout.WGMMA)


def _plain_product(total: Array, pair: tuple[Any, Callable[[], Any]]) -> Array:
    """Returns a block with a product added as the interpreter can compute it."""
    left, right = pair
    block: Any = left()[...] if callable(left) else left  # pyright: ignore[reportIndexIssue]
    return total + jnp.dot(block, right()[...], preferred_element_type=jnp.float32)


class Turn:
    """A head in parts: two halves where there is a rotation, else one.

    Attributes:
      parts: the columns of each part.
      width: columns of a part.
    """

    def __init__(self, K: int, rotated: bool):
        self.parts = (range(K // 2), range(K // 2, K)) if rotated else (range(K),)
        self.width = len(self.parts[0])
        self._rotated = rotated

    def read(self, rows: Any, tables: tuple[Any, Any] | None) -> list[Float[Array, "L P"]]:
        """Returns the parts of a block of rows, rotated by the tables of its positions."""
        parts = [load(rows.at[:, pl.ds(part.start, len(part))]) for part in self.parts]
        if tables is None:
            return parts
        dtype = parts[0].dtype
        cos, sin = (load(table) for table in tables)
        first, second = (part.astype(jnp.float32) for part in parts)
        return [
            (first * cos - second * sin).astype(dtype),
            (second * cos + first * sin).astype(dtype),
        ]

    def write(self, rows: Any, parts: Sequence[Array], tables: tuple[Any, Any] | None) -> None:
        """Writes gradients of what `read` returned, as gradients of what it had read."""
        if tables is not None:
            cos, sin = (load(table) for table in tables)
            first, second = parts
            parts = first * cos + second * sin, second * cos - first * sin
        for x, part in zip(parts, self.parts, strict=True):
            target = rows.at[:, pl.ds(part.start, len(part))]
            jax_versions.mosaic_store(target, x.astype(rows.dtype))


def blocks_of(x: Array, L: int, filler: float = 0) -> Array:
    """Returns [..., length] as [..., block, ROWS], filled up to L, a multiple of ROWS.

    For masks, tables and sums of rows, which XLA makes as it likes; operands stay as they are.
    """
    short = [(0, 0, 0)] * (x.ndim - 1) + [(0, L - x.shape[-1], 0)]
    filled = jax.lax.pad(x, jnp.asarray(filler, x.dtype), short)
    return filled.reshape(*x.shape[:-1], L // ROWS, ROWS)


def tables_of(rope: Rope | None, L: int) -> tuple[Array, ...]:
    """Returns half of the rotary tables, the other being equal, in blocks of rows; or nothing."""
    if rope is None:
        return ()
    tables = (jnp.asarray(table, jnp.float32) for table in (rope.cos, rope.sin))
    return tuple(
        jnp.einsum("KJL->JLK", blocks_of(table[:, : table.shape[1] // 2].T, L)) for table in tables
    )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Seen:
    """A mask as the kernels read it.

    Attributes:
      first: [B, J, ROWS] int32, the first key of each query, in blocks.
      end: [B, J, ROWS] int32, likewise; 0 for queries beyond the last.
      low: [B] int32, the first key that any query of a row sees.
      high: [B] int32, the end of these keys, between which `Mask` leaves no gap.
    """

    first: Int[Array, "B J L"]
    end: Int[Array, "B J L"]
    low: Int[Array, " B"]
    high: Int[Array, " B"]

    @classmethod
    def of(cls, ranges: KeyRanges | None, L: int) -> "Seen | None":
        """Returns ranges of keys in blocks of rows, filled up to L queries; None for None."""
        if ranges is None:
            return None
        low, high = query_block_ranges(ranges, ranges.first.shape[1])
        return cls(blocks_of(ranges.first, L), blocks_of(ranges.end, L), low[:, 0], high[:, 0])

    def at(self, b: Any, block: Any, layout: Any) -> tuple[Array, Array]:
        """Returns first and end of the keys of a block of queries, inside the kernel."""
        return load(self.first.at[b, block], layout), load(self.end.at[b, block], layout)

    def cleaning(self, b: Any, size: int) -> Callable[[Any], tuple[Any, Any]]:
        """Returns what makes hidden rows of keys or values zero, inside the kernel.

        Given the first row of a block of `size`, it returns a `mosaic_stream.Clean`, and whether
        the block needs none.
        """
        low = self.low[b]
        high = self.high[b]

        def of_block(begin: Any) -> tuple[Any, Any]:
            def clean(part: Array, offset: int) -> Array:
                return seen_rows(part, self, b, begin + offset)

            return clean, (low <= begin) & (begin + size <= high)

        return of_block


def sees_keys(ranges: tuple[Array, ...] | None, S: int, begin: Any, columns: int) -> Array:
    """Returns which of 64 queries sees which of so many keys from `begin` on, [ROWS, columns].

    Args:
      ranges: first and end of each query's keys, or None without a mask.
      S: keys that there are.
      begin: the first key.
      columns: how many.
    """
    position = plgpu.broadcasted_iota(jnp.int32, (ROWS, columns), 1, layout=plgpu.Layout.WGMMA)
    position = position + begin
    if ranges is None:
        return position < S
    first, end = (over_columns(x, columns) for x in ranges)
    return (first <= position) & (position < end)


def masked(scores: Array, needs_mask: Any, allowed: Callable[[], Array]) -> Array:
    """Returns scores in which those that are not allowed are -inf, if any are to be masked."""

    def mask(x):
        return jnp.where(allowed(), x, -jnp.inf)

    return jax.lax.cond(needs_mask, mask, lambda x: x, scores)


def zero_unless(wanted: Callable[[Array], Array], block: Array) -> Array:
    """Returns a block in which rows are zero unless `wanted(row)`, whatever they hold."""
    row = plgpu.broadcasted_iota(jnp.int32, block.shape, 0, layout=plgpu.Layout.WGMMA)
    return jnp.where(wanted(row), block, jnp.zeros_like(block))


def alive_rows(ranges: tuple[Array, ...] | None, block: Array) -> Array:
    """Returns a block of queries or cotangents in which queries without keys are zero."""
    if ranges is None:
        return block
    first, end = (over_columns(x, block.shape[1]) for x in ranges)
    return jnp.where(first < end, block, jnp.zeros_like(block))


def seen_rows(block: Array, seen: Any, b: Any, begin: Any) -> Array:
    """Returns keys or values from `begin` on, those that no query of row b sees being zero."""
    if seen is None:
        return block
    low = seen.low[b]
    high = seen.high[b]
    return zero_unless(lambda row: (low <= row + begin) & (row + begin < high), block)


def block_count(*lengths: int) -> int:
    """Returns the blocks of rows that cover the longest of some lengths."""
    return cdiv(max(lengths), ROWS)
