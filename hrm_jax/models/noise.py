"""Noise on the states from which a sequence starts."""

import jax
from jaxtyping import Array, DTypeLike, Float, PRNGKeyArray

from hrm_jax.core.types import Latents


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
