"""Models of one set of variables as a single model, each with puzzles of its own.

Weights that know only relations fit boards of every size, whose states have other shapes. Trained
together, all sizes take a step at each update.
"""

import dataclasses
from typing import Any

import jax
from jaxtyping import PRNGKeyArray

from hrm_jax.core.types import Batch, Carry, Outputs, Variables
from hrm_jax.models.puzzle_model import PuzzleModel


@dataclasses.dataclass(frozen=True)
class Together:
    """A `core.protocols.RecurrentModel` whose batches, carries and outputs are tuples.

    Attributes:
      models: they take the same variables; entry i of a tuple is that of model i.
    """

    models: tuple[PuzzleModel, ...]

    def init(self, key: PRNGKeyArray) -> Variables:
        """Returns fresh variables."""
        # The same of all: no weight's shape depends on the size of a puzzle.
        return self.models[0].init(key)

    def initial_carry(self, variables: Variables, batch: tuple[Batch, ...]) -> tuple[Carry, ...]:
        """Returns the carries before the first step."""
        pairs = zip(self.models, batch, strict=True)
        return tuple(model.initial_carry(variables, part) for model, part in pairs)

    def begin(
        self,
        variables: Variables,
        carry: tuple[Carry, ...],
        batch: tuple[Batch, ...],
        *,
        key: PRNGKeyArray,
    ) -> tuple[Any, Any]:
        """Returns what a step starts from and its random draws; see `PuzzleModel.begin`."""
        # A key each, so that puzzles of different models do not explore alike.
        keys = jax.random.split(key, len(self.models))
        begun = [
            model.begin(variables, state, part, key=own)
            for model, state, part, own in zip(self.models, carry, batch, keys, strict=True)
        ]
        carries, draws = zip(*begun, strict=True)
        return carries, draws

    def think(
        self,
        variables: Variables,
        begun: tuple[Carry, ...],
        /,
        *,
        draws: Any = None,
        row_offsets: None = None,
    ) -> tuple[tuple[Carry, ...], tuple[Outputs, ...]]:
        """Takes a step with every model; see `PuzzleModel.think`. There are no puzzle rows."""
        del row_offsets
        parts = zip(self.models, begun, draws or [None] * len(begun), strict=True)
        stepped = [model.think(variables, state, draws=own) for model, state, own in parts]
        carries, outputs = zip(*stepped, strict=True)
        return carries, outputs
