"""Stacks of blocks as levels of the recurrence."""

from flax import nnx

from hrm_jax.core.types import Relations
from hrm_jax.models.recurrence import Level
from hrm_jax.nn.block import BlockStack


def as_level(module: BlockStack, relations: Relations | None = None) -> Level:
    """Returns the stack, with the relations of a batch, as a pure function of its parameters."""
    graphdef, params = nnx.split(module)
    # The relations are arguments, not closed over: `recur` stops gradients by its arguments.
    return Level(
        (params, relations),
        lambda given, hidden, e: nnx.merge(graphdef, given[0])(hidden, e, given[1]),
    )
