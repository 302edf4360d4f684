"""Texts as they pass between layers of the code: batches and outputs of models, and prompts.

Axes: B batch, T tokens, V vocabulary.
"""

import dataclasses

import jax
from jaxtyping import Array, Float, Int


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
