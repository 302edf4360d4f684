"""Adam-atan2: Adam with its division replaced by atan2, independent of epsilon and gradient scale.

Source: Everett et al., arXiv 2407.05872. As in HRM's optimiser, the bias correction of the first
moment is outside the atan2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from hrm_jax.core.numerics import arctan2_right
from hrm_jax.core.types import Params
from hrm_jax.optim.schedules import rate_at


class AdamAtan2State(NamedTuple):
    """State of `adam_atan2`.

    Attributes:
      count: updates done, int32.
      mu: first moments, shaped as the parameters.
      nu: second moments, shaped as the parameters.
    """

    count: Int[Array, ""]
    mu: Params
    nu: Params


def adam_atan2(
    learning_rate: optax.ScalarOrSchedule,
    b1: float = 0.9,
    b2: float = 0.95,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Returns the transformation of Adam-atan2 with decoupled weight decay.

    `p <- p (1 - lr wd) - lr / (1 - b1^t) * atan2(mu, sqrt(nu) / sqrt(1 - b2^t))`

    Args:
      learning_rate: a number, or a schedule called with the number of updates done before.
      b1: decay of the first moment.
      b2: decay of the second moment.
      weight_decay: decoupled weight decay, multiplied by the learning rate.

    Returns:
      The transformation; its `update` needs the parameters.
    """

    def init(params: Params) -> AdamAtan2State:
        # Two trees of their own: the state is donated, and no buffer can be donated twice.
        mu, nu = (jax.tree.map(jnp.zeros_like, params) for _ in range(2))
        return AdamAtan2State(jnp.zeros([], jnp.int32), mu, nu)

    def update(updates, state, params=None):
        if params is None:
            raise ValueError("adam_atan2 needs the parameters: call update(grads, state, params)")
        rate = rate_at(learning_rate, state.count)
        # From here on this update counts too; the schedule counts those before it.
        count = state.count + 1
        mu = jax.tree.map(lambda m, g: m + (1 - b1) * (g - m), state.mu, updates)
        nu = jax.tree.map(lambda v, g: v + (1 - b2) * (jnp.square(g) - v), state.nu, updates)
        step_size = rate / (1 - b1**count)
        root_correction = jax.lax.rsqrt(1 - b2**count)

        def delta(m, v, p):
            direction = arctan2_right(m, jnp.sqrt(v) * root_correction)
            return -rate * weight_decay * p - step_size * direction

        return jax.tree.map(delta, mu, nu, params), AdamAtan2State(count, mu, nu)

    return optax.GradientTransformation(init, update)
