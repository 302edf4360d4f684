"""Watching a model think: its proposal after every step."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hrm_jax.core.numerics import stablemax_scores
from hrm_jax.core.types import Batch, Carry, Variables
from hrm_jax.inference.attempts import disturb
from hrm_jax.models.puzzle_model import PuzzleModel


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Thoughts:
    """What a model proposed, step by step; S = halt_max_steps.

    Attributes:
      tokens: the most likely token of each cell after each step, int32.
      confidence: the halting head's belief that the proposal is right in every cell, in (0, 1).
      wants_to_halt: the halting head would stop here.
      cell_confidence: probability of each of `tokens` under the distribution that the model is
        trained with; float32, in [1 / V, 1].
    """

    tokens: Int[Array, "S B T"]
    confidence: Float[Array, "S B"]
    wants_to_halt: Bool[Array, "S B"]
    cell_confidence: Float[Array, "S B T"]

    @property
    def steps(self) -> Int[Array, " B"]:
        """Steps until the model first wants to halt; S where it never does."""
        S = self.tokens.shape[0]
        first = jnp.argmax(self.wants_to_halt, axis=0) + 1
        return jnp.where(self.wants_to_halt.any(0), first, S)


@functools.partial(jax.jit, static_argnums=0)
def think(
    model: PuzzleModel,
    variables: Variables,
    batch: Batch,
    attempts: Int[Array, " B"] | None = None,
    noise: float = 0.0,
    seed: int = 0,
) -> Thoughts:
    """Runs every puzzle for the full `halt_max_steps`, as the originals do in evaluation.

    Args:
      model: the model; static.
      variables: its values.
      batch: the puzzles; labels are not used.
      attempts: which attempt each is; None for the first, from the model's own initial state.
      noise: of further attempts, see `attempts.disturb`.
      seed: of the noise.
    """

    def one_step(carry, _):
        carry, outputs = model.step(variables, carry, batch)
        threshold = outputs.q_continue_logits if model.config.q_continue else 0.0
        thought = Thoughts(
            tokens=outputs.logits.argmax(-1).astype(jnp.int32),
            confidence=jax.nn.sigmoid(outputs.q_halt_logits),
            wants_to_halt=outputs.q_halt_logits > threshold,
            cell_confidence=_highest_probability(outputs.logits, model.config.distribution),
        )
        return carry, thought

    carry = model.initial_carry(variables, batch)
    if attempts is not None:
        latents = disturb(carry.latents, attempts, noise, seed)
        carry = Carry(latents, carry.steps, jnp.zeros_like(carry.halted), batch)
    return jax.lax.scan(one_step, carry, length=model.config.halt_max_steps)[1]


def _highest_probability(logits: Float[Array, "B T V"], distribution: str) -> Float[Array, "B T"]:
    """Probability of the most likely token under stablemax or softmax, float32."""
    logits = logits.astype(jnp.float32)
    if distribution == "softmax":
        return jax.nn.softmax(logits).max(-1)
    scores = stablemax_scores(logits)
    return scores.max(-1) / scores.sum(-1)
