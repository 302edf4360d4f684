"""The values that pass between layers of the code: variables, batches, carries and outputs.

Axes: B batch, T puzzle tokens, P puzzle-embedding prefix, L = P + T, D hidden, V vocabulary,
I puzzle identifiers, E width of a puzzle row.
"""

import dataclasses
from collections.abc import Mapping
from typing import TypeAlias

import jax
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


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TextBatch:
    """Texts packed into rows by the data pipeline.

    Attributes:
      tokens: int32 in [0, V); arbitrary in padding.
      labels: the token after each one, int32 in [0, V), or `IGNORE_LABEL` where the loss ignores
        it: in padding, at the end of a text, and in a prefix that is not to be learned.
      token_types: int32, 1 in a prefix, whose tokens see each other; 0 elsewhere.
      segment_ids: int32, number of the row's text that a token belongs to, from 1; 0 in padding.
    """

    tokens: Int[Array, "B T"]
    labels: Int[Array, "B T"]
    token_types: Int[Array, "B T"]
    segment_ids: Int[Array, "B T"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TextOutputs:
    """A language model's logits for a batch, with the labels.

    Attributes:
      logits: scores of the token after each one, in the compute dtype.
      labels: as in `TextBatch`.
    """

    logits: Float[Array, "B T V"]
    labels: Int[Array, "B T"]


@dataclasses.dataclass(frozen=True)
class FilePlace:
    """Where a file lies, as a model is told.

    Attributes:
      path: within its project, with `/` between folders; empty where it is not told.
      project: the project's name; empty where it is not told.
    """

    path: str = ""
    project: str = ""


NO_PLACE = FilePlace()


@dataclasses.dataclass(frozen=True)
class Prompt:
    """The text before, and perhaps after, the text to be written.

    Attributes:
      prefix: the text before.
      suffix: the text after, for fill-in-the-middle; None if the prefix is to be continued.
      tokens: what the model reads, where that is more than the prefix's text: markers that are
        tokens, as of a conversation; None to encode the text.
      ends_at_token: whether the text before surely ends where a token ends, as after a template's
        opening of a turn, so that none of it has to be taken back.
      neighbours: names and texts of files near the one with the hole, which are read first.
      place: where the file with the hole lies.
    """

    prefix: str
    suffix: str | None = None
    tokens: tuple[int, ...] | None = None
    ends_at_token: bool = False
    neighbours: tuple[tuple[str, str], ...] = ()
    place: FilePlace = NO_PLACE
