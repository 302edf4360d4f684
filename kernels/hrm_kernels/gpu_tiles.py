"""The blocks of the GPU kernels: one table by kernel, generation of the card, dtype and head size.

`python -m experiments.bench --suite=device --parts=tiles --out=tiles` times candidates on the card
at hand and prints the rows that were fastest there, as they stand here.
"""

import contextlib
import dataclasses
from collections.abc import Iterator

from jax.experimental import pallas as pl

from hrm_kernels.operands import Case

MIN_BLOCK = 16
"""Smallest side of a block that the matrix unit takes."""


@dataclasses.dataclass(frozen=True)
class Tile:
    """The blocks of a kernel, and how a program runs.

    Attributes:
      queries: largest number of queries in a block; a power of two, as all sizes of blocks are.
      keys: largest number of keys in a block.
      warps: warps of a program.
      stages: depth of the software pipeline: blocks loaded ahead into shared memory.
    """

    queries: int
    keys: int
    warps: int
    stages: int

    def within(self, T: int, S: int) -> "Tile":
        """Returns the tile for T queries and S keys, with smaller blocks if they are fewer."""
        queries = min(self.queries, power_of_two(T))
        keys = min(self.keys, power_of_two(S))
        return dataclasses.replace(self, queries=queries, keys=keys)


def power_of_two(size: int) -> int:
    """Returns the smallest size of a block that covers `size`."""
    return max(MIN_BLOCK, pl.next_power_of_2(size))


Rows = tuple[tuple[int, int, Tile], ...]
"""Bits of an element, largest head size, tile; the first row that fits is taken."""

ANY_HEAD = 1 << 20
MEASURED = "hopper"
_WIDE_HEADS = Tile(32, 32, 4, 2)
"""For heads above 128: not measured, but compiled for every generation."""
_SMALL_SHARED: dict[str, Rows] = {
    "tiled_d_key": (
        (16, 64, Tile(64, 64, 4, 3)),
        (16, 128, Tile(64, 64, 4, 2)),
        (16, ANY_HEAD, _WIDE_HEADS),
        (32, ANY_HEAD, Tile(32, 32, 4, 2)),
    ),
}
"""For cards with 99 KiB of shared memory, of Hopper's 227: not measured, but compiled."""
LITTLE_SHARED = ("ampere_small", "ada", "blackwell_small")
"""The generations of these cards."""
TILES: dict[str, dict[str, Rows]] = {
    # Measured on an H200. The resident kernels hold 128 keys (and, backward, queries), which is
    # what they serve; in 16 bits a program holds all queries and so reads the keys once.
    "hopper": {
        "resident": ((16, ANY_HEAD, Tile(128, 128, 8, 1)), (32, ANY_HEAD, Tile(64, 128, 4, 1))),
        "resident_backward": (
            (16, ANY_HEAD, Tile(128, 128, 8, 1)),
            (32, ANY_HEAD, Tile(128, 128, 8, 1)),
        ),
        "tiled": (
            (16, 64, Tile(128, 64, 8, 2)),
            (16, 128, Tile(128, 128, 8, 2)),
            (16, ANY_HEAD, _WIDE_HEADS),
            (32, ANY_HEAD, Tile(64, 32, 8, 2)),
        ),
        "tiled_d_query": (
            (16, 64, Tile(64, 64, 4, 2)),
            (16, 128, Tile(128, 64, 8, 2)),
            (16, ANY_HEAD, _WIDE_HEADS),
            (32, ANY_HEAD, Tile(32, 32, 4, 2)),
        ),
        "tiled_d_key": (
            (16, 64, Tile(64, 64, 4, 3)),
            (16, 128, Tile(64, 128, 8, 3)),
            (16, ANY_HEAD, _WIDE_HEADS),
            (32, ANY_HEAD, Tile(32, 32, 4, 2)),
        ),
        # Not measured: as FlashAttention-3 cuts it. Its queries and warps, which attend, are fixed.
        "mosaic_tiled": (
            (16, ANY_HEAD, Tile(128, 128, 8, 2)),
            (32, ANY_HEAD, Tile(128, 128, 8, 2)),
        ),
        "mosaic_tiled_d_query": (
            (16, ANY_HEAD, Tile(128, 64, 8, 2)),
            (32, ANY_HEAD, Tile(128, 64, 8, 2)),
        ),
        "mosaic_tiled_d_key": (
            (16, ANY_HEAD, Tile(64, 128, 8, 2)),
            (32, ANY_HEAD, Tile(64, 128, 8, 2)),
        ),
    },
    # A copy for each, as `replaced` writes into the table of every generation.
    **{generation: dict(_SMALL_SHARED) for generation in LITTLE_SHARED},
}
"""Tiles by generation and kernel. What is absent takes MEASURED's."""


def tile(kernel: str, case: Case) -> Tile:
    """Returns the tile of a kernel, by the case's generation, dtype and head size."""
    bits = 32 if case.dtype == "float32" else 16
    rows = TILES.get(case.generation or MEASURED, {}).get(kernel) or TILES[MEASURED][kernel]
    return next(tile for size, most, tile in rows if size == bits and most >= case.K)


@contextlib.contextmanager
def replaced(kernel: str, new: Tile) -> Iterator[None]:
    """Takes a tile for a kernel in whatever is traced inside, on any card; for tuning."""
    before = {name: kernels.get(kernel) for name, kernels in TILES.items()}
    rows: Rows = ((16, ANY_HEAD, new), (32, ANY_HEAD, new))
    for kernels in TILES.values():
        kernels[kernel] = rows
    try:
        yield
    finally:
        for name, kernels in TILES.items():
            found = before[name]
            # The generation had no rows of its own for this kernel, and takes MEASURED's again.
            if found is None:
                del kernels[kernel]
            else:
                kernels[kernel] = found
