"""A language model as the training step takes it: a text is one step, and leaves no carry."""

import dataclasses
from typing import Any

from jaxtyping import Array, PRNGKeyArray

from hrm_jax.core.types import TextBatch, TextOutputs, Variables
from hrm_jax.models.recurrence import Schedule


@dataclasses.dataclass(frozen=True)
class TextStep:
    """A `core.protocols.RecurrentModel` over a language model.

    Hashable and equal by its fields: steps of one `TextStep` share a compiled program.

    Attributes:
      model: a `core.protocols.LanguageModel`.
      schedule: calls and gradient border in place of the model's own, for a model that recurs.
    """

    model: Any
    schedule: Schedule | None = None

    def init(self, key: PRNGKeyArray) -> Variables:
        """Fresh variables."""
        return self.model.init(key)

    def initial_carry(self, variables: Variables, batch: TextBatch) -> None:
        """Nothing."""

    def step(
        self,
        variables: Variables,
        carry: None,
        batch: TextBatch,
        *,
        key: PRNGKeyArray | None = None,
        row_offsets: Array | None = None,
    ) -> tuple[None, TextOutputs]:
        """The logits of every token; nothing is drawn, and there are no puzzle rows."""
        del carry, key, row_offsets
        recurring = {} if self.schedule is None else {"schedule": self.schedule}
        logits = self.model.logits(
            variables,
            batch.tokens,
            token_types=batch.token_types,
            segment_ids=batch.segment_ids,
            **recurring,
        )
        return None, TextOutputs(logits, batch.labels)
