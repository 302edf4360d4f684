"""The values that flow between the floors: variables, batches, carries and outputs.

Axes: B batch, T puzzle tokens, P puzzle-embedding prefix, L = P + T, D hidden, V vocabulary,
I puzzle identifiers, E width of a puzzle row.
"""

import dataclasses
from typing import TypeAlias

import jax
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PyTree

IGNORE_LABEL = -100
"""A label that neither the loss nor any metric counts."""

Params: TypeAlias = PyTree
"""A pytree of trained parameters: an `nnx.State`, or any tree of arrays."""


class Buffer(nnx.Variable):
    """A value saved with the model but never trained (H_init, L_init)."""


class PuzzleRows(nnx.Variable):
    """The puzzle-embedding table [I, E], trained row by row by its own optimiser."""


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Variables:
    """All values of one model, by who may change them.

    Attributes:
      params: trained by gradient; float32 leaves.
      buffers: fixed at initialisation; float32 leaves.
      puzzle_rows: the puzzle-embedding table, float32; None for a model without puzzle embedding.
        Written by the sparse optimiser only.
    """

    params: Params
    buffers: Params
    puzzle_rows: Float[Array, "I E"] | None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Batch:
    """Puzzles as they come from the data pipeline.

    Attributes:
      inputs: tokens of the puzzle, int32 in [0, V).
      labels: tokens of the solution, int32 in [0, V), or `IGNORE_LABEL`.
      puzzle_identifiers: row of the puzzle-embedding table, int32 in [0, I).
    """

    inputs: Int[Array, "B T"]
    labels: Int[Array, "B T"]
    puzzle_identifiers: Int[Array, " B"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Latents:
    """The state of thought.

    Attributes:
      z_H: the slow, high-level state, in the compute dtype.
      z_L: the fast, low-level state, in the compute dtype.
    """

    z_H: Float[Array, "B L D"]
    z_L: Float[Array, "B L D"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Carry:
    """What one step hands to the next. Written by the step alone.

    Attributes:
      latents: the state of thought after the step, without gradient.
      steps: steps taken on the present puzzle, int32 in [0, halt_max_steps].
      halted: the sequence is done: the next step gives it a new puzzle.
      data: the puzzle each sequence is working on.
    """

    latents: Latents
    steps: Int[Array, " B"]
    halted: Bool[Array, " B"]
    data: Batch


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Outputs:
    """What one step computes.

    Attributes:
      logits: scores of each cell's tokens, in the compute dtype.
      q_halt_logits: float32; above zero: the answer is believed right.
      q_continue_logits: float32; the believed value of thinking on.
      target_q_continue: float32 in (0, 1); what `q_continue_logits` should have said, without
        gradient. None outside training and for models without Q-continue.
    """

    logits: Float[Array, "B T V"]
    q_halt_logits: Float[Array, " B"]
    q_continue_logits: Float[Array, " B"]
    target_q_continue: Float[Array, " B"] | None


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TextBatch:
    """Texts packed into rows, as they come from the data pipeline.

    Attributes:
      tokens: int32 in [0, V); anything in padding.
      labels: the token after each one, int32 in [0, V), or `IGNORE_LABEL` where the loss does not
        count it: in padding, at the end of a text, and in a prefix that is not to be learned.
      token_types: int32, 1 in a prefix, whose tokens see each other; 0 elsewhere.
      segment_ids: int32, which text of its row a token belongs to, 1 and up; 0 in padding.
    """

    tokens: Int[Array, "B T"]
    labels: Int[Array, "B T"]
    token_types: Int[Array, "B T"]
    segment_ids: Int[Array, "B T"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TextOutputs:
    """What a language model says of a batch, and what is to be learned from it.

    Attributes:
      logits: scores of the token after each one, in the compute dtype.
      labels: as in `TextBatch`.
    """

    logits: Float[Array, "B T V"]
    labels: Int[Array, "B T"]


@dataclasses.dataclass(frozen=True)
class Prompt:
    """What a text is to be written after, and before.

    Attributes:
      prefix: the text so far.
      suffix: what is to follow, for fill-in-the-middle; None where the text is to be continued.
    """

    prefix: str
    suffix: str | None = None
