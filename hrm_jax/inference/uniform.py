"""A proposer that knows nothing: what rules and search alone are worth."""

import dataclasses

import jax.numpy as jnp
from jaxtyping import Array, Bool

from hrm_jax.core.types import Batch, Carry, Outputs, Variables
from hrm_jax.models.puzzle_config import PuzzleModelConfig
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.nn.relational import token_logits


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Takes a relational model's place, and says of each cell that all symbols are as likely.

    In a tree of assumptions the cell with the fewest symbols then branches first, as classical
    solvers do it.
    """

    model: PuzzleModel

    @property
    def config(self) -> PuzzleModelConfig:
        """The model's."""
        return self.model.config

    def initial_carry(self, variables: Variables, batch: Batch) -> Carry:
        """Returns the model's."""
        return self.model.initial_carry(variables, batch)

    def think(self, variables: Variables, carry: Carry) -> tuple[Carry, Outputs]:
        """Returns a carry one step on, and what is always said."""
        del variables
        grid = self.model.grid
        assert grid is not None
        B = len(carry.steps)
        scores = jnp.zeros((B, grid.num_candidates))
        never = jnp.full(B, -5.0)
        steps = carry.steps + 1
        halted = steps >= self.config.halt_max_steps
        outputs = Outputs(token_logits(grid, scores, self.config.vocab_size), never, never, None)
        return Carry(carry.latents, steps, halted, carry.data), outputs

    def wants_to_halt(self, outputs: Outputs) -> Bool[Array, " B"]:
        """Returns False throughout."""
        return jnp.zeros(outputs.q_halt_logits.shape, bool)
