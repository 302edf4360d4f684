"""An exponential moving average of the parameters, as the last transformation of an optax chain."""

from typing import NamedTuple

import jax
import optax

from hrm_jax.core.types import Params


class EMAState(NamedTuple):
    """State of `params_ema`: the averaged parameters."""

    ema: Params


def params_ema(decay: float) -> optax.GradientTransformation:
    """Returns a transformation that averages: `ema <- decay * ema + (1 - decay) * p`.

    p are the parameters after each update. Put it last in `optax.chain`: it returns the updates
    unchanged, and adds them to the parameters to know the new ones. The average starts at the
    initial parameters (TRM: decay 0.999).

    Args:
      decay: in [0, 1).

    Returns:
      The transformation; read the average with `averaged_params`.

    Raises:
      ValueError: if `decay` is outside [0, 1).
    """
    if not 0 <= decay < 1:
        raise ValueError(f"decay of the average: expected at least 0 and below 1, got {decay}")

    def init(params: Params) -> EMAState:
        # A copy: the average must not share buffers with parameters that are donated.
        return EMAState(jax.tree.map(lambda p: p.copy(), params))

    def update(updates, state, params=None):
        if params is None:
            raise ValueError("params_ema needs the parameters: call update(updates, state, params)")
        moved = optax.apply_updates(params, updates)
        return updates, EMAState(optax.incremental_update(moved, state.ema, 1 - decay))

    return optax.GradientTransformation(init, update)


def averaged_params(opt_state: optax.OptState, params: Params) -> Params:
    """Returns the average kept in an optimiser state, or `params` if none is kept."""
    return optax.tree_utils.tree_get(opt_state, "ema", default=params)
