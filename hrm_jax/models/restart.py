"""How sequences start on a puzzle: their initial carry, and noise on their initial states."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, DTypeLike, Float, PRNGKeyArray

from hrm_jax.core.types import Batch, Carry, Latents


def restart(carry: Carry, where: Bool[Array, " B"], initial: Latents, batch: Batch) -> Carry:
    """Returns the carry with the chosen sequences at the start of a puzzle, the others unchanged.

    Args:
      carry: what the last step returned.
      where: the sequences that start; they have not halted, and have taken no step.
      initial: the states that they start from; rows of other sequences are not used.
      batch: their puzzles; rows of other sequences are not used.
    """

    def where_started(new: Array, old: Array) -> Array:
        # [B] against [B, ...]: as many axes of size 1 are added as the leaf has more.
        return jnp.where(where.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return Carry(
        latents=jax.tree.map(where_started, initial, carry.latents),
        steps=jnp.where(where, 0, carry.steps),
        halted=carry.halted & ~where,
        data=jax.tree.map(where_started, batch, carry.data),
    )


def draw_noise(
    key: PRNGKeyArray,
    initial: Latents,
    deviation: float | Float[Array, ""],
    dtype: DTypeLike | None = None,
) -> Latents:
    """Returns normal noise for the initial states of one sequence: leaves [L, D], in their dtype.

    Args:
      key: equal keys give equal noise.
      initial: the states, leaves [B, L, D]; their values are not used.
      deviation: standard deviation.
      dtype: what the noise is drawn in, since other dtypes give other numbers; the states' if None.
    """
    leaves, structure = jax.tree.flatten(initial)
    noise = []
    # A key for each state, or z_H and z_L would start from the same noise.
    for leaf_key, leaf in zip(jax.random.split(key, len(leaves)), leaves, strict=True):
        drawn = jax.random.normal(leaf_key, leaf.shape[1:], dtype or leaf.dtype)
        noise.append((deviation * drawn).astype(leaf.dtype))
    return jax.tree.unflatten(structure, noise)
