"""How the tiled TPU kernels cut a call into blocks.

Operands stay [B, L, N * K], as in `tpu_heads`; a block holds consecutive tokens of as few heads as
fill whole tiles of lanes.
"""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from hrm_kernels.blocks import cdiv
from hrm_kernels.operands import Case, Operands, ranges_of
from hrm_kernels.tpu_heads import LANES, Group, groups, merged

HELD = 1024
STREAMED = 512
"""Largest blocks, in tokens, of the side that stays in VMEM and of the side that streams past."""
MAX_VMEM_BYTES = 32 * 2**20
"""Largest `vmem_bytes` of a tiling."""


class Arrays(NamedTuple):
    """The operands as the kernels take them, or references to blocks of them.

    Attributes:
      query: [B, T, N * K].
      key: [B, S, M * K].
      value: [B, S, M * K].
      first: [B, 1, T] int32, each query's first key; T is padded to whole blocks.
      end: [B, 1, T] int32, one past its last key; padding has 0 in both.
    """

    query: Any
    key: Any
    value: Any
    first: Any
    end: Any


KINDS = Arrays("queries", "keys", "keys", "query_row", "query_row")
"""Kinds of the operands, by which `Tiling.place` finds their blocks."""


class Place(NamedTuple):
    """An array's shape, its block's shape, and what numbers its blocks along each axis.

    `axes` has a letter for each axis: b batch, h block of heads, q block of queries, k block of
    keys, 0 where there is only one block.
    """

    shape: tuple[int, ...]
    block: tuple[int, ...]
    axes: str


@dataclasses.dataclass(frozen=True)
class Tiling:
    """The blocks of a call.

    Attributes:
      case: the call.
      block_q: queries in a block.
      block_k: keys in a block.
    """

    case: Case
    block_q: int
    block_k: int

    @property
    def key_heads(self) -> int:
        """Number of key heads in a block: as few as fill whole tiles of lanes, or all."""
        M = self.case.M
        K = self.case.K
        # A block's last axis must be whole tiles of lanes, or the array's whole last axis.
        return next((m for m in range(1, M) if M % m == 0 and m * K % LANES == 0), M)

    @property
    def query_heads(self) -> int:
        """Number of query heads in a block."""
        return self.key_heads * self.case.N // self.case.M

    @property
    def head_blocks(self) -> int:
        """Number of blocks along the heads."""
        return self.case.M // self.key_heads

    @property
    def groups(self) -> list[Group]:
        """The query heads of a block, in groups."""
        return groups(self.query_heads, self.key_heads, self.case.K)

    @property
    def query_blocks(self) -> int:
        """Number of blocks along the queries."""
        return cdiv(self.case.T, self.block_q)

    @property
    def key_blocks(self) -> int:
        """Number of blocks along the keys."""
        return cdiv(self.case.S, self.block_k)

    def place(self, kind: str, B: int) -> Place:
        """Returns the place of an array of a kind.

        "queries" are [B, T, N * K], "keys" [B, S, M * K], "heads" [B, H, n, T] with the n query
        heads of H blocks, "query_row" [B, 1, T] in whole blocks.
        """
        T, S, N, M, K = dataclasses.astuple(self.case)[:5]
        H = self.head_blocks
        block_q = self.block_q
        block_k = self.block_k
        n = self.query_heads
        m = self.key_heads
        # Bounds alone are padded: they mask what blocks of the other arrays hold beyond T.
        rows = self.query_blocks * block_q
        return {
            "queries": Place((B, T, N * K), (1, block_q, n * K), "bqh"),
            "keys": Place((B, S, M * K), (1, block_k, m * K), "bkh"),
            "heads": Place((B, H, n, T), (1, 1, n, block_q), "bh0q"),
            "query_row": Place((B, 1, rows), (1, 1, block_q), "b0q"),
        }[kind]

    def arrays(self, operands: Operands) -> Arrays:
        """Returns the operands in the layout that the kernels take."""
        ranges = ranges_of(operands)
        # Queries of the padding get the empty range (0, 0), so they see nothing.
        short = self.query_blocks * self.block_q - self.case.T
        rows = (
            jax.lax.pad(row, jnp.int32(0), [(0, 0, 0), (0, short, 0)])[:, None]
            for row in (ranges.first, ranges.end)
        )
        return Arrays(*map(merged, (operands.query, operands.key, operands.value)), *rows)


def tiling_of(case: Case, *, hold_keys: bool) -> Tiling:
    """Returns a tiling with at most HELD and STREAMED tokens to a block.

    The blocks shrink where many heads lie in one, until `vmem_bytes` fits if it can; a sequence
    shorter than a block gets one of whole tiles.
    """
    # Where a quarter does not fit either, a kernel's `refuses` says so.
    tilings = [_tiling(case, hold_keys, HELD // part) for part in (1, 2, 4)]
    return next((x for x in tilings if vmem_bytes(x) <= MAX_VMEM_BYTES), tilings[-1])


def _tiling(case: Case, hold_keys: bool, held: int) -> Tiling:
    # (queries, keys), of which the held side has the larger blocks.
    most = (min(STREAMED, held), held) if hold_keys else (held, min(STREAMED, held))
    lengths = zip((case.T, case.S), most, strict=True)
    block_q, block_k = (min(block, cdiv(length, LANES) * LANES) for length, block in lengths)
    return Tiling(case, block_q, block_k)


def vmem_bytes(tiling: Tiling) -> int:
    """Returns the VMEM of the largest kernel's step, in bytes: blocks twice, sums, scores."""
    item = jnp.dtype(tiling.case.dtype).itemsize

    def numbers(heads: int, block: int) -> int:
        return cdiv(heads * tiling.case.K, LANES) * LANES * block

    queries = numbers(tiling.query_heads, tiling.block_q)
    keys = numbers(tiling.key_heads, tiling.block_k)
    # Twice, since the next blocks are fetched while these are computed. Four arrays on each side
    # and four [S, T] arrays of float32 cover the backward kernels.
    blocks = 2 * item * 4 * (queries + keys)
    sums = 4 * max(queries, 2 * keys)
    return blocks + sums + 16 * tiling.block_q * tiling.block_k
