"""What the TPU kernels share: heads that lie side by side along lanes, and how to separate them.

Operands are read as [B, L, N * K], which is how projections leave them: nothing is transposed or
padded in HBM. In VMEM the scores of a head are held transposed, [S, T], so that the softmax reduces
along sublanes, which costs plain vector additions, and what belongs to a query is a row [1, T]: the
bounds of its keys, the log-sum-exp.

Moving a head of 32 lanes out of its tile of 128 would cost more than its products. So heads that
share a tile stay together, as one `Group`: zeros in the other heads' lanes of one factor select a
head, which makes a product over 128 lanes the product over its K. The matrix unit processes 128
lanes at a time anyway.
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
from jax.experimental import pallas as pl
from jaxtyping import Array, Bool, Float

from hrm_kernels.blocks import cdiv
from hrm_kernels.operands import Case

LANES = 128
"""Lanes of a vector register, and the width of the matrix unit."""
SUBLANES = 8
"""Rows of a vector register."""
VMEM_LIMIT_BYTES = 64 * 2**20
"""VMEM the compiler may use: half of what TPUs since v5e have."""


@dataclasses.dataclass(frozen=True)
class Group:
    """Query heads that are computed together.

    Either as many heads as fill 128 lanes, each with a key head of its own, or all those that
    share one key head.

    Attributes:
      heads: numbers of the query heads, consecutive.
      head_size: K.
      queries: the slice of GW lanes of these query heads in [T, N * K].
      keys: the slice of W lanes of their key heads in [S, M * K].
    """

    heads: range
    head_size: int
    queries: slice
    keys: slice

    def of_query(self, x: Float[Array, "T GW"], i: int) -> Float[Array, "T W"]:
        """Returns the factor that goes with `of_key` for the i-th head; it may hold other heads."""
        # Heads that share one key head have its K lanes; others are selected by zeros in `of_key`.
        K = self.head_size
        return x[:, i * K : (i + 1) * K] if self._one_key_head else x

    def of_key(self, x: Float[Array, "S W"], i: int) -> Float[Array, "S W"]:
        """Returns keys or values as the i-th head reads them: zero in the other heads' lanes."""
        return x if self._one_key_head else jnp.where(self._lanes(x, i), x, jnp.zeros_like(x))

    def merge(self, parts: list[Float[Array, "S W"]]) -> Float[Array, "S W"]:
        """Returns the gradient of all key heads, from each head's product with `of_query`."""
        # One key head: the gradients of its query heads add up. Otherwise each product is valid
        # only in its own head's lanes, and the others' lanes are replaced.
        if self._one_key_head:
            return sum(parts[1:], parts[0])
        merged = parts[0]
        for i, part in enumerate(parts[1:], 1):
            merged = jnp.where(self._lanes(part, i), part, merged)
        return merged

    def rows(self, swapped: Float[Array, "W S"], i: int) -> Float[Array, "K S"]:
        """Returns what the i-th head reads of transposed keys or values."""
        # Transposed, heads lie along sublanes, so that this slice moves nothing across lanes.
        K = self.head_size
        return swapped if self._one_key_head else swapped[i * K : (i + 1) * K]

    def _lanes(self, like: Array, i: int) -> Bool[Array, "S W"]:
        """Returns which lanes belong to the i-th head, where each has a key head of its own."""
        lane = jax.lax.broadcasted_iota(jnp.int32, like.shape, 1)
        return (i * self.head_size <= lane) & (lane < (i + 1) * self.head_size)

    @property
    def _one_key_head(self) -> bool:
        return self.keys.stop - self.keys.start == self.head_size


def groups(N: int, M: int, K: int) -> list[Group]:
    """Returns all query heads in groups; see `Group`."""
    G = N // M
    # Heads share a tile where whole heads fill it and each has a key head of its own.
    at_once = 1 if G > 1 or LANES % K else LANES // K
    found = []
    for m in range(0, M, at_once):
        # The last group is smaller where M is no multiple.
        keys = range(m, min(m + at_once, M))
        heads = range(keys.start * G, keys.stop * G)
        lanes = (slice(h.start * K, h.stop * K) for h in (heads, keys))
        found.append(Group(heads, K, *lanes))
    return found


def merged(x: Float[Array, "B L N K"]) -> Float[Array, "B L N*K"]:
    """Returns the heads side by side; no data moves where they come from a projection."""
    return x.reshape(*x.shape[:2], -1)


def product(
    left: Float[Array, "rows inner"],
    right: Float[Array, "inner columns"],
    *,
    swap_right: bool = False,
) -> Float[Array, "rows columns"]:
    """Returns the product in float32; `swap_right` means that `right` is [columns, inner]."""
    contract = (((1,), (1 if swap_right else 0,)), ((), ()))
    return jax.lax.dot_general(left, right, contract, preferred_element_type=jnp.float32)


def rows_of_tile(dtype: Any) -> int:
    """Returns the rows of a tile: 8 of 32 bits; narrower types pack 2 or 4 rows to a sublane."""
    return 32 // jnp.dtype(dtype).itemsize


def tile_bytes(rows: int, lanes: int, dtype: Any) -> int:
    """Returns the VMEM that a matrix takes in whole tiles, in bytes."""
    size = rows_of_tile(dtype)
    # Matrices lie in whole tiles, so a part of one takes all of it.
    whole = cdiv(rows, size) * size * cdiv(lanes, LANES) * LANES
    return whole * jnp.dtype(dtype).itemsize


def cost(
    case: Case, B: int, products: int, bytes_accessed: int, share: float = 1.0
) -> pl.CostEstimate:
    """Returns the estimate of a kernel's cost by which XLA schedules around it.

    Args:
      case: the call.
      B: batch.
      products: number of matrix products of the size of the scores.
      bytes_accessed: bytes read and written.
      share: share of all scores that it computes.
    """
    scores = B * case.N * int(case.T * case.S * share)
    return pl.CostEstimate(
        flops=2 * products * scores * case.K, transcendentals=scores, bytes_accessed=bytes_accessed
    )


def nbytes(x: Any) -> int:
    """Returns the size in bytes of an array or of its abstract shape; 0 for None."""
    return 0 if x is None else x.size * x.dtype.itemsize
