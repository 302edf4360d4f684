"""Where a further attempt at a puzzle starts: the model's initial state, and noise of its own."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hrm_jax.core.types import Latents
from hrm_jax.models.restart import draw_noise


def disturb(
    initial: Latents,
    attempts: Int[Array, " B"],
    noise: float | Float[Array, ""],
    seed: int | Int[Array, ""],
) -> Latents:
    """Returns initial states with the noise of their attempts.

    Args:
      initial: the model's own.
      attempts: which attempt each sequence is; 0 starts from the model's own state.
      noise: standard deviation.
      seed: equal seeds and attempts give equal noise, whatever else is in the batch.
    """
    disturbed = (attempts > 0) & (jnp.asarray(noise) > 0)

    def draw(attempt: Int[Array, ""], deviation: Float[Array, ""]) -> Latents:
        key = jax.random.fold_in(jax.random.key(seed), attempt)
        # An attempt starts from the same state whatever the model computes in, up to rounding.
        return draw_noise(key, initial, deviation, jnp.float32)

    # Drawing costs as much as a layer of the model, and most steps need none.
    drawn = jax.lax.cond(
        disturbed.any(),
        lambda: jax.vmap(draw)(attempts, jnp.where(disturbed, noise, 0.0)),
        lambda: jax.tree.map(jnp.zeros_like, initial),
    )
    return jax.tree.map(jnp.add, initial, drawn)
