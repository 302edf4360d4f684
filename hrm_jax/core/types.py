"""The values that pass between layers of the code: variables, batches, carries and outputs.

Axes: B batch, T puzzle tokens, P puzzle-embedding prefix, L = P + T, D hidden, V vocabulary,
I puzzle identifiers, E width of a puzzle row.
"""

import dataclasses
from collections.abc import Mapping
from typing import TypeAlias

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PyTree

from hrm_jax.core.graphs import Hops

IGNORE_LABEL = -100
"""The label that losses and metrics ignore."""

Params: TypeAlias = PyTree
"""A pytree of trained parameters: an `nnx.State`, or any tree of arrays."""


class Buffer(nnx.Variable):
    """A value saved with the model but never trained (H_init, L_init)."""


class PuzzleRows(nnx.Variable):
    """The puzzle-embedding table [I, E], trained row by row by its own optimiser."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Variables:
    """All values of one model, separated by what may change them.

    Attributes:
      params: trained by gradient; float32 leaves.
      buffers: fixed at initialisation; float32 leaves.
      puzzle_rows: the puzzle-embedding table, float32, updated by the sparse optimiser only; None
        for a model without puzzle embedding.
    """

    params: Params
    buffers: Params
    puzzle_rows: Float[Array, "I E"] | None


Relations: TypeAlias = Mapping[str, Hops]
"""Relations that come with puzzles, by name."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
    """Puzzles from the data pipeline.

    Attributes:
      inputs: tokens of the puzzle, int32 in [0, V).
      labels: tokens of the solution, int32 in [0, V), or `IGNORE_LABEL`.
      puzzle_identifiers: row of the puzzle-embedding table, int32 in [0, I).
      relations: between cells, by the names in `CandidateGrid.edges`; None where there are none.
    """

    inputs: Int[Array, "B T"]
    labels: Int[Array, "B T"]
    puzzle_identifiers: Int[Array, " B"]
    relations: Relations | None = None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Latents:
    """The latent states of both levels.

    Attributes:
      z_H: the slow, high-level state, in the compute dtype.
      z_L: the fast, low-level state, in the compute dtype.
    """

    z_H: Float[Array, "B L D"]
    z_L: Float[Array, "B L D"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Carry:
    """What one step passes on to the next.

    Attributes:
      latents: the latent states after the step, without gradient.
      steps: number of steps taken on the current puzzle, int32 in [0, halt_max_steps].
      halted: whether the sequence is done, so that the next step gives it a new puzzle.
      data: the puzzle that each sequence is working on.
    """

    latents: Latents
    steps: Int[Array, " B"]
    halted: Bool[Array, " B"]
    data: Batch

    def restart(self, where: Bool[Array, " B"], initial: Latents, batch: Batch) -> "Carry":
        """Returns the carry with the chosen sequences at the start of a puzzle.

        Args:
          where: the sequences that start, with no step taken; the others stay as they are.
          initial: the states that they start from; rows of other sequences are not used.
          batch: their puzzles; rows of other sequences are not used.
        """

        def where_started(new: Array, old: Array) -> Array:
            # [B] against [B, ...]: as many axes of size 1 are added as the leaf has more.
            return jnp.where(where.reshape(-1, *[1] * (new.ndim - 1)), new, old)

        return Carry(
            latents=jax.tree.map(where_started, initial, self.latents),
            steps=jnp.where(where, 0, self.steps),
            halted=self.halted & ~where,
            data=jax.tree.map(where_started, batch, self.data),
        )


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Outputs:
    """The outputs of one step.

    Attributes:
      logits: scores of each cell's tokens, in the compute dtype.
      q_halt_logits: float32; above zero where the answer is believed to be right.
      q_continue_logits: float32; the predicted value of a further step.
      target_q_continue: float32 in [0, 1], without gradient; the target of `q_continue_logits`.
        None outside training and for models without Q-continue.
    """

    logits: Float[Array, "B T V"]
    q_halt_logits: Float[Array, " B"]
    q_continue_logits: Float[Array, " B"]
    target_q_continue: Float[Array, " B"] | None
