"""Adapts a language model to the training step: a text is one step, and leaves no carry."""

import dataclasses
from typing import Any

from jaxtyping import Array, PRNGKeyArray

from hrm_jax.core.texts import TextBatch, TextOutputs
from hrm_jax.core.types import Variables
from hrm_jax.models.recurrence import Schedule
from hrm_jax.models.text_model import TextModel


@dataclasses.dataclass(frozen=True)
class TextStep:
    """A `core.protocols.RecurrentModel` made of a language model.

    Hashable and equal by its fields: steps of one `TextStep` share a compiled program.

    Attributes:
      model: of text.
      schedule: calls and truncation of gradients in place of the config's, for a model that recurs.
    """

    model: TextModel[Any]
    schedule: Schedule | None = None

    def init(self, key: PRNGKeyArray) -> Variables:
        """Returns fresh variables."""
        return self.model.init(key)

    def initial_carry(self, variables: Variables, batch: TextBatch) -> None:
        """Returns None, as a text is a single step."""

    def begin(
        self, variables: Variables, carry: None, batch: TextBatch, *, key: PRNGKeyArray
    ) -> tuple[TextBatch, None]:
        """Returns the texts, and no draws: nothing is random."""
        del variables, carry, key
        return batch, None

    def think(
        self,
        variables: Variables,
        begun: TextBatch,
        *,
        draws: None = None,
        row_offsets: Array | None = None,
    ) -> tuple[None, TextOutputs]:
        """Returns no carry, and the logits of every token; draws and row_offsets are not used."""
        del draws, row_offsets
        logits = self.model.logits(
            variables,
            begun.tokens,
            token_types=begun.token_types,
            segment_ids=begun.segment_ids,
            schedule=self.schedule,
        )
        return None, TextOutputs(logits, begun.labels)
