"""Where a further attempt at a puzzle starts: the model's initial state, and noise of its own."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hrm_jax.core.types import Latents


def disturb(
    initial: Latents,
    attempts: Int[Array, " B"],
    noise: float | Float[Array, ""],
    seed: int | Int[Array, ""],
) -> Latents:
    """Initial states with the noise of their attempts.

    Args:
      initial: the model's own.
      attempts: which attempt each sequence is; 0 starts from the model's own state.
      noise: standard deviation.
      seed: equal seeds and attempts give equal noise, whatever else is in the batch.
    """
    disturbed = (attempts > 0) & (jnp.asarray(noise) > 0)
    leaves, structure = jax.tree.flatten(initial)

    def draw_one(attempt: Int[Array, ""], size: Float[Array, ""]) -> list[Array]:
        key = jax.random.fold_in(jax.random.key(seed), attempt)
        keys = jax.random.split(key, len(leaves))
        drawn = [jax.random.normal(k, x.shape[1:]) for k, x in zip(keys, leaves, strict=True)]
        return [(size * e).astype(x.dtype) for e, x in zip(drawn, leaves, strict=True)]

    # Drawing costs as much as a layer of the model, and most steps need none.
    drawn = jax.lax.cond(
        disturbed.any(),
        lambda: jax.vmap(draw_one)(attempts, jnp.where(disturbed, noise, 0.0)),
        lambda: [jnp.zeros_like(x) for x in leaves],
    )
    return jax.tree.unflatten(structure, [x + e for x, e in zip(leaves, drawn, strict=True)])
