"""Computing over a batch in equal parts, one after another."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, PyTree

from hrm_jax.core.config import check


def sum_over_parts(
    function: Callable[[PyTree[Any]], tuple[Any, Any, Any]],
    rows: PyTree[Any],
    parts: int,
    *,
    zeros: PyTree[Any],
) -> tuple[Any, Any, Any]:
    """Returns `function(rows)`, computed over equal parts of the rows.

    What one part keeps for its gradient is all that is held, and that is faster where it fits into
    a processor's cache. The result differs from that of the whole by rounding alone.

    Args:
      function: returns two sums over the rows, of which the first may be large, and a pytree of
        leaves [B, ...].
      rows: leaves [B, ...].
      parts: number of parts; 1 calls the function once.
      zeros: like the first sum, to which those of the parts are added in place.

    Raises:
      ConfigError: the devices cannot take their rows in so many equal parts.
    """
    if parts == 1:
        return function(rows)
    check_parts(jax.tree.leaves(rows)[0].shape[0], parts, _devices())

    def add_part(total: Any, part: PyTree[Any]) -> tuple[Any, Any]:
        large, small, of_rows = function(part)
        return jax.tree.map(jnp.add, total, large), (small, of_rows)

    divided = jax.tree.map(lambda leaf: _split(leaf, parts), rows)
    # Two parts that do not wait for each other keep two cores busy, where a product of one part is
    # too small for two.
    total, (small, of_rows) = jax.lax.scan(add_part, zeros, divided, unroll=math.gcd(parts, 2))
    small = jax.tree.map(lambda leaf: leaf.sum(0), small)
    return total, small, jax.tree.map(lambda leaf: _join(leaf, parts), of_rows)


def check_parts(batch_size: int, parts: int, devices: int) -> None:
    """Raises ConfigError unless every device can take its rows of a batch in equal parts."""
    check(
        batch_size % (parts * devices) == 0,
        "loop.batch_parts",
        expected=f"parts that divide the {batch_size // devices} rows of a device equally",
        got=parts,
        remedy="change it, or the batch's size",
    )


def _split(leaf: Array, parts: int) -> Array:
    """Returns [B, ...] as [parts, B / parts, ...]; part i is the i-th of each device."""
    # Rows so stay on their device.
    by_device = leaf.reshape(_devices(), parts, -1, *leaf.shape[1:])
    return jnp.swapaxes(by_device, 0, 1).reshape(parts, -1, *leaf.shape[1:])


def _join(leaf: Array, parts: int) -> Array:
    """Returns what `_split` has split as it was."""
    by_part = leaf.reshape(parts, _devices(), -1, *leaf.shape[2:])
    return jnp.swapaxes(by_part, 0, 1).reshape(-1, *leaf.shape[2:])


def _devices() -> int:
    """Returns the number of devices that share a batch, by the ambient mesh."""
    return dict(jax.sharding.get_abstract_mesh().shape).get("data", 1)
