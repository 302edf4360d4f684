"""Ends runs whose losses or parameters are no longer finite."""

import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, PyTree

from hrm_jax.core.errors import UserError
from hrm_jax.core.types import Variables

_REMEDY = (
    "The last checkpoint is from before; resume from it with a lower learning rate, or in float32 "
    "if compute_dtype is lower"
)


class Diverged(UserError, RuntimeError):
    """A loss or a parameter is not a finite number."""


def check_metrics(step: int, metrics: Mapping[str, float]) -> None:
    """Raises Diverged, which names them, if metrics of a step are not finite."""
    bad = {name: value for name, value in metrics.items() if not math.isfinite(value)}
    if bad:
        raise Diverged(f"step {step}: expected finite metrics, got {bad}. {_REMEDY}")


def check_variables(step: int, variables: Variables) -> None:
    """Raises Diverged if a parameter, a buffer or a puzzle row after a step is not finite."""
    if not _all_finite(variables):
        raise Diverged(f"step {step}: expected finite parameters after it, got others. {_REMEDY}")


@jax.jit
def _all_finite(tree: PyTree) -> Bool[Array, ""]:
    # Reduced on the devices: one boolean is fetched in place of all parameters.
    return jnp.stack([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(tree)]).all()
