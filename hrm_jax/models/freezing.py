"""Training a part of a model: what is frozen goes among the buffers, saved and never trained.

Neither gradients nor optimiser moments of frozen parameters are ever made.
"""

import dataclasses
from collections.abc import Sequence

from flax import nnx

from hrm_jax.core.types import Variables


def freeze(variables: Variables, modules: Sequence[str]) -> Variables:
    """Moves the parameters of some top-level modules among the buffers.

    Args:
      variables: the model's, as nnx states.
      modules: names of attributes of the model's module, such as `("foundation",)`.

    Raises:
      ValueError: if the model has no parameters under one of the names.
    """
    missing = [name for name in modules if name not in variables.params]
    if missing:
        known = sorted(map(str, variables.params))
        raise ValueError(f"modules to freeze: expected some of {known}, got {missing}")
    trained, frozen = nnx.split_state(variables.params, lambda path, _: path[0] not in modules, ...)
    buffers = nnx.merge_state(variables.buffers, frozen)
    return dataclasses.replace(variables, params=trained, buffers=buffers)


def thaw(variables: Variables) -> Variables:
    """The inverse of `freeze`: all parameters in their place, as the model takes them."""
    frozen, buffers = nnx.split_state(variables.buffers, nnx.Param, ...)
    params = nnx.merge_state(variables.params, frozen)
    return dataclasses.replace(variables, params=params, buffers=buffers)
