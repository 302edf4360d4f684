"""Part "tiles": times candidates for the blocks of each GPU kernel, for `hrm_kernels.gpu_tiles`.

It is not among the parts that run by default: it compiles a program for each candidate.
"""

import dataclasses
import functools
import itertools
from collections.abc import Iterator
from typing import Any

import jax

from experiments.benchmarks import aot_cases
from experiments.benchmarks.aot_cases import AotCase
from experiments.benchmarks.device.card import Program, take_turns
from experiments.benchmarks.device.part import Part, Result, Setting, table_of
from hrm_kernels import gpu_tiles
from hrm_kernels.device import device_of
from hrm_kernels.gpu_tiles import Tile

RESIDENT = ("resident", "resident_backward")
HRM: dict[str, Any] = {"mask": "full", "B": 768, "T": 82, "N": 8, "M": 8, "rope": True}
LONG: dict[str, Any] = {"mask": "causal", "B": 1, "T": 8192, "N": 8, "M": 2}
SIZES = (("bfloat16", 64), ("bfloat16", 128), ("float32", 64))
ROUNDS = 3


@dataclasses.dataclass(frozen=True)
class Row:
    """One row of the table of tiles, and the call that it is tuned by."""

    kernel: str
    dtype: str
    K: int

    def __str__(self) -> str:
        return f"{self.kernel} {self.dtype} K={self.K}"

    @property
    def call(self) -> AotCase:
        """A call in which the kernel takes most of the time."""
        sizes = HRM if self.kernel in RESIDENT else LONG
        return AotCase(str(self), K=self.K, dtype=self.dtype, **sizes)


def candidates(kernel: str) -> Iterator[Tile]:
    """Yields the tiles to try: all that the kernel can be cut into."""
    warps = (4, 8)
    if kernel == "resident":
        queries = (32, 64, 128)
        yield from (Tile(q, 128, w, 1) for q, w in itertools.product(queries, warps))
    elif kernel == "resident_backward":
        yield from (Tile(128, 128, w, 1) for w in warps)
    elif kernel == "mosaic_tiled_d_key":
        yield from (Tile(64, 128, 8, stages) for stages in (1, 2, 3, 4))
    elif kernel.startswith("mosaic"):
        yield from (Tile(128, k, 8, stages) for k in (64, 128) for stages in (2, 3, 4))
    else:
        sides = (32, 64, 128)
        for q, k, w, stages in itertools.product(sides, sides, warps, (1, 2, 3)):
            yield Tile(q, k, w, stages)


def run(setting: Setting) -> Result:
    """Times every candidate of every row; those that do not compile are left out of the row."""
    result = Result([])
    generation = device_of().generation or gpu_tiles.MEASURED
    kernels = tuple(gpu_tiles.TILES[gpu_tiles.MEASURED])
    rows = [
        Row(kernel, *size)
        for kernel, size in itertools.product(kernels, SIZES)
        if not (kernel.startswith("mosaic") and size[0] == "float32")  # has no such products
    ]
    for row in rows[:1] if setting.small else rows:
        if setting.late:
            result.left_out.append(str(row))
            continue
        found = _fastest(setting, row, generation)
        if found is None:
            result.left_out.append(f"{row}: no candidate runs here")
        else:
            result.rows.append(found)
    return result


def _fastest(setting: Setting, row: Row, generation: str) -> dict[str, Any] | None:
    """Returns the fastest tile of a row, or None where no candidate runs."""
    call = row.call
    tiles = list(candidates(row.kernel))
    if setting.small:
        call = dataclasses.replace(call, B=1, T=5, N=1, M=1, K=16)
        tiles = tiles[:2]
    programs = {}
    for tile in tiles:
        try:
            programs[str(tile)] = _program(setting, row, call, tile)
        except Exception:  # too much shared memory, most often; the others are compared
            continue
    if not programs:
        return None
    # In turn, so that a drift of the card's clock meets all candidates alike.
    seconds = take_turns(programs, ROUNDS)
    best = min(seconds, key=lambda name: seconds[name])
    bits = 32 if row.dtype == "float32" else 16
    return {
        "row": str(row),
        "generation": generation,
        "line": f"{row.kernel}: ({bits}, {row.K}, {best})",
        "microseconds": 1e6 * seconds[best],
        "tried": len(seconds),
        "seconds": seconds,
    }


def _program(setting: Setting, row: Row, call: AotCase, tile: Tile) -> Program:
    """Returns the call's forward pass or gradient with a tile, compiled, run once."""
    backend = "gpu_resident" if row.kernel in RESIDENT else "gpu_tiled"
    if row.kernel.startswith("mosaic"):
        backend = "mosaic_tiled"
    attend = aot_cases.ours(call, backend, interpret=setting.small)
    operands = call.operands()
    if row.kernel not in ("resident", "tiled", "mosaic_tiled"):
        attend = aot_cases.gradient(attend)
        # The cotangent of the values comes first, in the queries' shape.
        operands = (operands[0], *operands)
    keys = jax.random.split(jax.random.key(0), len(operands))
    arrays = [jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, operands, strict=True)]
    # The tile is read while the call is traced; the compiled program keeps it.
    with gpu_tiles.replaced(row.kernel, tile):
        compiled = jax.jit(attend).lower(*arrays).compile()
    jax.block_until_ready(compiled(*arrays))
    return Program(functools.partial(compiled, *arrays))


def _table(rows: list[dict[str, Any]]):
    columns = {"fastest": "{line}", "us": "{microseconds:.1f}", "tried": "{tried}"}
    return table_of(f"tiles on {rows[0]['generation']}", columns, rows)


PART = Part("the blocks that are fastest on this card", 6.0, run, _table)
