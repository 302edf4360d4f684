"""The initial state of a further attempt at a puzzle: the model's own, plus the attempt's noise."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hrm_jax.core.types import Latents
from hrm_jax.models.noise import draw_noise


def disturb(
    initial: Latents,
    attempts: Int[Array, " B"],
    noise: float | Float[Array, ""],
    seed: int | Int[Array, ""],
) -> Latents:
    """Returns the initial states plus the noise of their attempts.

    Args:
      initial: the model's own states.
      attempts: number of each sequence's attempt; attempt 0 gets no noise.
      noise: standard deviation.
      seed: equal seeds and attempts give equal noise, whatever else is in the batch.
    """
    disturbed = (attempts > 0) & (jnp.asarray(noise) > 0)

    def draw(attempt: Int[Array, ""], deviation: Float[Array, ""]) -> Latents:
        key = jax.random.fold_in(jax.random.key(seed), attempt)
        # Drawn in float32 whatever the compute dtype, so that an attempt starts from the same state
        # up to rounding.
        return draw_noise(key, initial, deviation, jnp.float32)

    # Drawing costs as much as a layer of the model, and most steps need none: hence a `cond`.
    drawn = jax.lax.cond(
        disturbed.any(),
        lambda: jax.vmap(draw)(attempts, jnp.where(disturbed, noise, 0.0)),
        lambda: jax.tree.map(jnp.zeros_like, initial),
    )
    return jax.tree.map(jnp.add, initial, drawn)
