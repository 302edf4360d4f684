"""How correct a model's proposals are, for losses, metrics and halting."""

import dataclasses

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from hrm_jax.core.types import IGNORE_LABEL, Batch


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Correctness:
    """Correctness of the proposals, per sequence.

    Attributes:
      cells: share of labelled cells that are right, float32 in [0, 1]; 0 without labels.
      exact: whether every labelled cell is right.
      labelled: whether there is at least one label.
    """

    cells: Float[Array, " B"]
    exact: Bool[Array, " B"]
    labelled: Bool[Array, " B"]


def correctness(logits: Float[Array, "B T V"], batch: Batch) -> Correctness:
    """Compares the most likely tokens with the labels, and returns how correct they are."""
    valid = batch.labels != IGNORE_LABEL
    right = valid & (logits.argmax(-1) == batch.labels)
    num_valid = valid.sum(-1)
    num_right = right.sum(-1)
    # A sequence without labels has a share of 0 and not NaN.
    share = num_right / jnp.maximum(num_valid, 1)
    # Without labels nothing is wrong, so those who count ask for `labelled` as well.
    return Correctness(share, num_right == num_valid, num_valid > 0)
