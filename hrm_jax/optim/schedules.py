"""Learning-rate schedules."""

import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int


def rate_at(learning_rate: optax.ScalarOrSchedule, count: Int[Array, ""]) -> Float[Array, ""]:
    """Returns the learning rate after `count` updates; schedules are called with it."""
    return jnp.asarray(learning_rate(count) if callable(learning_rate) else learning_rate)


def warmup_cosine(
    peak: float, *, warmup_steps: int, total_steps: int, min_ratio: float
) -> optax.Schedule:
    """Returns a linear warm-up to `peak`, then half a cosine down to `min_ratio * peak`.

    As in the originals the first update counts as step 1, so with a warm-up its rate is
    `peak / warmup_steps` and not zero.

    Args:
      peak: the highest learning rate.
      warmup_steps: number of updates until the peak is reached; 0 for none.
      total_steps: number of updates after which the cosine has reached its end.
      min_ratio: the cosine's end over its start; 1 keeps the rate constant.

    Returns:
      A function from the number of updates done before to the rate, float32.

    Raises:
      ValueError: if the numbers do not describe such a schedule.
    """
    if not (peak >= 0 and 0 <= warmup_steps <= total_steps and 0 <= min_ratio <= 1):
        raise ValueError(
            "warmup_cosine expects peak >= 0, 0 <= warmup_steps <= total_steps and "
            f"0 <= min_ratio <= 1, got {peak=}, {warmup_steps=}, {total_steps=}, {min_ratio=}"
        )

    def schedule(count):
        step = jnp.asarray(count, jnp.float32) + 1
        # Without a warm-up it is not taken, and 1 only keeps the division defined.
        warm = step / max(warmup_steps, 1)
        progress = jnp.clip((step - warmup_steps) / max(total_steps - warmup_steps, 1), 0, 1)
        cosine = min_ratio + (1 - min_ratio) * 0.5 * (1 + jnp.cos(jnp.pi * progress))
        # Both pieces are at the peak where they meet, at step `warmup_steps`.
        return peak * jnp.where(step < warmup_steps, warm, cosine)

    return schedule
