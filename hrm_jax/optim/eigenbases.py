"""Eigenbases of the gradients of a matrix, block by block, in which SOAP counts second moments.

A parameter [..., rows, columns] is cut into equal blocks. Of each block's gradients G there are
running averages of `G G^T` and `G^T G`, and orthogonal matrices whose columns approximate the
eigenvectors of these, the one with the largest eigenvalue first.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

_NOISE = 2.0**-16
"""Share of a block's largest root mean square below which a component is taken for rounding.

Turning a float32 gradient into a basis leaves up to about 2^-20 of its largest component in
directions that no gradient has. Adam would enlarge that to full steps.
"""


class Side(NamedTuple):
    """One side of every block: its rows, or its columns.

    Attributes:
      average: running average of `G G^T` for rows, of `G^T G` for columns, float32.
      basis: orthogonal; its columns are the directions, float32.
    """

    average: Float[Array, "blocks size size"]
    basis: Float[Array, "blocks size size"]


class Bases(NamedTuple):
    """Both sides of a parameter's blocks.

    The arrays do not have the parameter's axes, and so are not split over devices as it is.
    """

    rows: Side
    columns: Side

    @property
    def blocks_shape(self) -> tuple[int, int, int]:
        """Number of blocks, rows and columns of each."""
        blocks, rows, _ = self.rows.basis.shape
        return blocks, rows, self.columns.basis.shape[-1]


class _TurnedSide(NamedTuple):
    """A side with a new basis.

    Attributes:
      side: the side.
      order: the places that the directions had in the old basis, int32.
    """

    side: Side
    order: Int[Array, "blocks size"]


def identity_bases(shape: Sequence[int], largest_block: int) -> Bases:
    """Returns identities, and averages of zero, for a parameter of this shape.

    A block's side is the largest divisor of the parameter's side that is at most `largest_block`.
    """
    rows, columns = (_largest_divisor(size, largest_block) for size in shape[-2:])
    blocks = math.prod(shape) // (rows * columns)

    def side(size: int) -> Side:
        identities = jnp.tile(jnp.eye(size, dtype=jnp.float32), (blocks, 1, 1))
        return Side(jnp.zeros_like(identities), identities)

    return Bases(side(rows), side(columns))


def _largest_divisor(size: int, limit: int) -> int:
    # It ends at 1, which divides every size.
    return next(divisor for divisor in range(min(size, limit), 0, -1) if size % divisor == 0)


def observe(bases: Bases, gradient: Float[Array, "*shape"], decay: float) -> Bases:
    """Returns the bases with a parameter's gradient added to the averages of both sides."""
    blocks = _to_blocks(gradient, bases)

    def moved(side: Side, products: Float[Array, "blocks size size"]) -> Side:
        return side._replace(average=side.average + (1 - decay) * (products - side.average))

    return Bases(
        rows=moved(bases.rows, _product(blocks, blocks.mT)),
        columns=moved(bases.columns, _product(blocks.mT, blocks)),
    )


def turn_in(bases: Bases, x: Float[Array, "*shape"]) -> Float[Array, "blocks rows columns"]:
    """Returns what is shaped as the parameter in blocks, in the coordinates of their bases."""
    return _product(_product(bases.rows.basis.mT, _to_blocks(x, bases)), bases.columns.basis)


def turn_out(
    bases: Bases, turned: Float[Array, "blocks rows columns"], shape: Sequence[int]
) -> Float[Array, "*shape"]:
    """Returns blocks in the coordinates and the shape of the parameter: undoes `turn_in`."""
    _, rows, columns = turned.shape
    blocks = _product(_product(bases.rows.basis, turned), bases.columns.basis.mT)
    # The inverse of `_to_blocks`: first the places of the blocks, then those within a block.
    grid = blocks.reshape(-1, shape[-2] // rows, shape[-1] // columns, rows, columns)
    return grid.swapaxes(2, 3).reshape(shape)


def _to_blocks(x: Float[Array, "*shape"], bases: Bases) -> Float[Array, "blocks rows columns"]:
    _, rows, columns = bases.blocks_shape
    grid = x.reshape(-1, x.shape[-2] // rows, rows, x.shape[-1] // columns, columns)
    return grid.swapaxes(2, 3).reshape(bases.blocks_shape)


def above_noise(root: Float[Array, "blocks rows columns"]) -> Float[Array, "blocks rows columns"]:
    """Returns roots of second moments, raised to a small share of the largest of their block."""
    return jnp.maximum(root, _NOISE * root.max((1, 2), keepdims=True))


def refresh(
    bases: Mapping[str, Bases],
    nu: Mapping[str, Float[Array, "..."]],
    first: Bool[Array, ""],
) -> tuple[dict[str, Bases], dict[str, Float[Array, "..."]]]:
    """Returns bases that follow their averages, and second moments that follow the bases.

    Directions of the new bases stand in the order of their sizes. Second moments go with their
    directions where these change places, and are left as they are where directions turn.

    Args:
      bases: of all matrices, by name.
      nu: their second moments [blocks, rows, columns], by the same names; others are returned as
        they are.
      first: whether to take the averages' eigenvectors, as for the first bases; otherwise the
        bases take one step of orthogonal iteration (QR of the average times the basis).
    """
    turned = _by_size(
        lambda side: jax.lax.cond(first, _eigenvectors, _iterate, side),
        # Rows and columns in turns, which `pairs` puts together again.
        [side for both in bases.values() for side in both],
    )
    pairs = dict(zip(bases, zip(turned[::2], turned[1::2], strict=True), strict=True))
    new_bases = {name: Bases(rows.side, columns.side) for name, (rows, columns) in pairs.items()}
    new_nu = {
        name: _reordered(nu[name], rows.order, columns.order)
        for name, (rows, columns) in pairs.items()
    }
    return new_bases, dict(nu) | new_nu


def _reordered(
    nu: Float[Array, "blocks rows columns"],
    rows: Int[Array, "blocks rows"],
    columns: Int[Array, "blocks columns"],
) -> Float[Array, "blocks rows columns"]:
    by_row = jnp.take_along_axis(nu, rows[:, :, None], axis=1)
    return jnp.take_along_axis(by_row, columns[:, None, :], axis=2)


def _eigenvectors(side: Side) -> _TurnedSide:
    """Returns the side with eigenvectors as its basis; second moments stay where they are."""
    _, vectors = jnp.linalg.eigh(_scaled(side.average))
    order = jnp.broadcast_to(jnp.arange(side.basis.shape[-1]), side.basis.shape[:-1])
    # `eigh` sorts upwards; here the largest eigenvalue comes first.
    return _TurnedSide(side._replace(basis=vectors[..., ::-1]), order)


def _iterate(side: Side) -> _TurnedSide:
    """Returns the side after a step of orthogonal iteration."""
    product = _product(_scaled(side.average), side.basis)
    # Rayleigh quotients: the average's size along each direction of the basis.
    sizes = (side.basis * product).sum(axis=-2)
    order = jnp.argsort(-sizes, axis=-1)
    # Large columns first: each is made orthogonal to those before it, which must not be noise.
    ordered = jnp.take_along_axis(product, order[:, None, :], axis=-1)
    return _TurnedSide(side._replace(basis=jnp.linalg.qr(ordered)[0]), order)


def _scaled(average: Float[Array, "blocks size size"]) -> Float[Array, "blocks size size"]:
    """Divides by the traces: squares of tiny or huge averages could leave float32's range."""
    traces = jnp.trace(average, axis1=-2, axis2=-1)[:, None, None]
    return average / jnp.where(traces > 0, traces, 1)


def _by_size(function: Callable[[Side], _TurnedSide], sides: Sequence[Side]) -> list[_TurnedSide]:
    """Returns a function's results for all sides, those of one size computed as one batch.

    Decompositions are large programs on accelerators: one for each size compiles and runs sooner
    than one for each parameter.
    """
    sizes = [side.basis.shape[-1] for side in sides]
    results: dict[int, _TurnedSide] = {}
    for size in sorted(set(sizes)):
        places = [place for place, other in enumerate(sizes) if other == size]
        together = jax.tree.map(lambda *x: jnp.concatenate(x), *(sides[place] for place in places))
        # Where the blocks of each parameter end in the batch.
        ends = np.cumsum([len(sides[place].basis) for place in places])[:-1].tolist()
        leaves, structure = jax.tree.flatten(function(together))
        parts = zip(*(jnp.split(leaf, ends) for leaf in leaves), strict=True)
        for place, part in zip(places, parts, strict=True):
            results[place] = jax.tree.unflatten(structure, part)
    return [results[place] for place in range(len(sides))]


def _product(a: Float[Array, "..."], b: Float[Array, "..."]) -> Float[Array, "..."]:
    # With all bits: accelerators would round operands by default, and bases have to be orthogonal.
    return jnp.matmul(a, b, precision=jax.lax.Precision.HIGHEST)
