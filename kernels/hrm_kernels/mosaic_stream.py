"""Blocks of rows in shared memory: those that a program owns, and those that stream past them.

One warpgroup copies the blocks of a stream, ahead of those who work on them. A stream is a ring of
slots. The copying warpgroup puts blocks into it in order; the others wait for each, in the same
order, and release it. `wgmma` reads tiles of 8 rows. A copy (TMA) goes into such tiles by itself,
if the length of the array is a multiple of 8. Else it goes into rows, and the copying warpgroup
turns them into tiles; so no length is refused, and none is padded outside.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array

from hrm_kernels import jax_versions, mosaic_blocks
from hrm_kernels.mosaic_blocks import ROWS, load, plgpu

WORKING = 2
"""Warpgroups that work on a gradient."""
OWNED = ROWS * WORKING
"""Queries, or keys, of which a program computes the gradients."""
TILE_ROWS = 8
Clean = Callable[[Array, int], Array]
"""Returns a part of a block without what may be NaN, given the part and its first row in it."""


def is_tiled(length: int) -> bool:
    """Returns whether blocks of an array of so many rows can be copied into tiles."""
    return length % TILE_ROWS == 0


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Detour:
    """What blocks pass through that the copying warpgroup has to work on; one for all its streams.

    As of `Stream`, outside of the kernel its types, inside its references.

    Attributes:
      rows: [rows, K] in rows, for blocks that cannot be copied into tiles; None where all can.
      alone: a barrier of the copying warpgroup.
    """

    rows: Any
    alone: Any

    @classmethod
    def of(cls, length: int, block: tuple[int, int], dtype: Any) -> "Detour":
        """Returns the types, for arrays of so many rows and blocks of [rows, columns]."""
        rows = None if is_tiled(length) else mosaic_blocks.plain(block, dtype)
        return cls(rows, plgpu.Barrier())


class Slots:
    """Shared memory that is written in turn, a slot once its readers have released it.

    Attributes:
      read: for each slot, a barrier at which each reader arrives once it has read what is there.
    """

    read: Any

    @property
    def count(self) -> int:
        """How many slots there are."""
        raise NotImplementedError

    def slot(self, i: Any) -> Any:
        """Returns the slot of the i-th block."""
        return jax.lax.rem(i, jnp.int32(self.count))

    def reserve(self, i: Any) -> Any:
        """Returns the slot of the i-th block, once what was there has been read."""
        pl.when(i >= self.count)(lambda: self.wait_until_read(i))
        return self.slot(i)

    def drain(self, blocks: Any) -> None:
        """Waits until all of so many blocks were read: no barrier may be left to wait for."""
        first = jnp.maximum(0, blocks - self.count)
        jax.lax.fori_loop(first, blocks, lambda i, _: self.wait_until_read(i), None)

    def wait_until_read(self, i: Any) -> None:
        """Waits until every reader has released what is in the slot of the i-th block."""
        plgpu.barrier_wait(self.read.at[self.slot(i)])

    def release(self, i: Any) -> None:
        """Lets the copying warpgroup write over the i-th block."""
        plgpu.barrier_arrive(self.read.at[self.slot(i)])


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Stream(Slots):
    """A ring of slots; outside of the kernel its types, inside its references.

    Attributes:
      slots: [stages, rows, K] in tiles, or [stages, ...] in rows for what no product reads.
      copied: for each slot, a barrier at which a block arrives.
      read: for each slot, a barrier at which each reader arrives once it has read a block.
    """

    slots: Any
    copied: Any
    read: Any

    @classmethod
    def of(cls, block: tuple[int, ...], dtype: Any, stages: int, readers: int, in_tiles=True):
        """Returns the types of a stream.

        Args:
          block: rows of a block, a multiple of ROWS, and columns; or any shape in rows.
          dtype: of the array.
          stages: slots.
          readers: warpgroups that read each block.
          in_tiles: whether products read it.
        """
        slots = mosaic_blocks.tiled if in_tiles else mosaic_blocks.plain
        return cls(
            slots=slots((stages, *block), dtype),
            copied=plgpu.Barrier(num_barriers=stages),
            read=plgpu.Barrier(num_arrivals=readers, num_barriers=stages),
        )

    @property
    def count(self) -> int:
        """How many slots there are."""
        return self.slots.shape[0]

    def put(
        self,
        i: Any,
        source: Any,
        detour: Detour | None = None,
        clean: Clean | None = None,
        is_clean: Any = None,
    ) -> None:
        """Copies the i-th block, once what was in its slot has been read.

        Args:
          i: which block, counted from 0.
          source: reference to it in the array; rows beyond the end arrive as zeros.
          detour: for blocks in tiles.
          clean: what they pass through, or None.
          is_clean: whether this one need not.
        """
        slot = self.reserve(i)
        if detour is not None and detour.rows is not None:
            self._pass(slot, source, detour.alone, detour.rows, clean)
            return
        if detour is None or clean is None:
            plgpu.copy_gmem_to_smem(source, self.slots.at[slot], self.copied.at[slot])
            return

        @pl.when(is_clean)
        def _():
            plgpu.copy_gmem_to_smem(source, self.slots.at[slot], self.copied.at[slot])

        @pl.when(jnp.logical_not(is_clean))
        def _():
            self._pass(slot, source, detour.alone, self.slots.at[slot], clean)

    def _pass(self, slot: Any, source: Any, alone: Any, by: Any, clean: Clean | None) -> None:
        """Copies a block to `by`, and from there through registers into a slot."""
        plgpu.copy_gmem_to_smem(source, by, alone)
        plgpu.barrier_wait(alone)
        for begin in range(0, self.slots.shape[1], ROWS):
            part = pl.ds(begin, ROWS)
            block = load(by.at[part])
            target = self.slots.at[slot, part]
            target[...] = block if clean is None else clean(block, begin)
        # Waits for all threads: none reads what the next copy writes.
        plgpu.commit_smem()
        plgpu.barrier_arrive(self.copied.at[slot])

    def wait(self, i: Any) -> Callable[[], Any]:
        """Waits for the i-th block, and returns a function that returns a reference to it."""
        slot = self.slot(i)
        plgpu.barrier_wait(self.copied.at[slot])
        # References are made where they are used: one from outside would be a constant of the
        # loops over state that products are.
        return lambda: self.slots.at[slot]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Owned:
    """The shared memory of what a program owns: outside the types, inside the references.

    It is read as rows, as lengths may be any, and multiplied as tiles.

    Attributes:
      rows: queries and cotangents, or keys and values, [WORKING, ROWS, K] each; then the gradients.
      tiles: the same, in tiles.
      copied: a barrier for each warpgroup and each of the two.
    """

    rows: tuple[Any, Any]
    tiles: tuple[Any, Any]
    copied: Any

    @classmethod
    def of(cls, K: int, dtype: Any) -> "Owned":
        """Returns the types."""
        shape = (WORKING, ROWS, K)
        rows = mosaic_blocks.plain(shape, dtype)
        tiles = mosaic_blocks.tiled(shape, dtype)
        return cls((rows, rows), (tiles, tiles), plgpu.Barrier(num_barriers=2 * WORKING))

    def read(self, me: Any, sources: tuple[Any, Any], clean: Callable[[Array], Array]) -> None:
        """Copies a warpgroup's part of two arrays, and puts what `clean` leaves of it in tiles."""
        barriers = [self.copied.at[WORKING * i + me] for i in range(2)]
        for source, target, barrier in zip(sources, self.rows, barriers, strict=True):
            plgpu.copy_gmem_to_smem(source, target.at[me], barrier)
        for rows, tiles, barrier in zip(self.rows, self.tiles, barriers, strict=True):
            plgpu.barrier_wait(barrier)
            tiles.at[me][...] = clean(load(rows.at[me]))
        plgpu.commit_smem()

    def write(self, me: Any, blocks: Sequence[Array], targets: Sequence[Any]) -> None:
        """Copies a warpgroup's results to their arrays."""
        for block, rows in zip(blocks, self.rows, strict=False):
            jax_versions.mosaic_store(rows.at[me], block.astype(rows.dtype))
        plgpu.commit_smem()
        for rows, target in zip(self.rows, targets, strict=False):
            plgpu.copy_smem_to_gmem(rows.at[me], target)
        plgpu.wait_smem_to_gmem(0)
