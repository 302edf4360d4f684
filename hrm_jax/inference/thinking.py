"""Records a model's proposal after every step of thought."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from hrm_jax.core.numerics import stablemax_scores
from hrm_jax.core.types import Batch, Carry, Outputs, Variables
from hrm_jax.inference.attempts import disturb
from hrm_jax.models.puzzle_model import PuzzleModel


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Thoughts:
    """What a model proposed at each of the `halt_max_steps` steps.

    Attributes:
      tokens: the most likely token of each cell after each step, int32.
      confidence: the halting head's belief that the proposal is right in every cell, in [0, 1].
      wants_to_halt: whether the halting head would stop here.
      cell_confidence: probability of each of `tokens` under the model's output distribution;
        float32, in [1 / V, 1].
      probabilities: of all tokens, float32; None where nobody needs them.
    """

    tokens: Int[Array, "steps B T"]
    confidence: Float[Array, "steps B"]
    wants_to_halt: Bool[Array, "steps B"]
    cell_confidence: Float[Array, "steps B T"]
    probabilities: Float[Array, "steps B T V"] | None = None

    @property
    def steps(self) -> Int[Array, " B"]:
        """Steps until the model first wants to halt; all of them if it never does."""
        steps = self.tokens.shape[0]
        # `argmax` of booleans is the first True; it is 0 as well where there is none.
        first = jnp.argmax(self.wants_to_halt, axis=0) + 1
        return jnp.where(self.wants_to_halt.any(0), first, steps)


@functools.partial(jax.jit, static_argnums=0)
def think(
    model: PuzzleModel,
    variables: Variables,
    batch: Batch,
    attempts: Int[Array, " B"] | None = None,
    noise: float = 0.0,
    seed: int = 0,
) -> Thoughts:
    """Runs every puzzle for the full `halt_max_steps`, and returns each step's proposals.

    The originals evaluate so.

    Args:
      model: the model; static.
      variables: its values.
      batch: the puzzles; labels are not used.
      attempts: number of each row's attempt; None for first attempts, which have no noise.
      noise: standard deviation of further attempts' noise, see `attempts.disturb`.
      seed: seed of the noise.
    """

    def one_step(carry: Carry, _: None) -> tuple[Carry, Thoughts]:
        carry, outputs = model.think(variables, carry)
        return carry, thoughts_of(model, outputs)

    carry = model.initial_carry(variables, batch)
    initial = carry.latents
    if attempts is not None:
        initial = disturb(initial, attempts, noise, seed)
    # All have halted in an initial carry, so all of them start.
    carry = carry.restart(carry.halted, initial, batch)
    return jax.lax.scan(one_step, carry, length=model.config.halt_max_steps)[1]


def thoughts_of(model: PuzzleModel, outputs: Outputs) -> Thoughts:
    """Returns what a model proposed at one step, with leaves [B] and [B, T]."""
    return Thoughts(
        tokens=outputs.logits.argmax(-1).astype(jnp.int32),
        confidence=jax.nn.sigmoid(outputs.q_halt_logits),
        wants_to_halt=model.wants_to_halt(outputs),
        cell_confidence=_probabilities(outputs.logits, model.config.distribution).max(-1),
    )


def beliefs_of(model: PuzzleModel, outputs: Outputs) -> Thoughts:
    """Returns `thoughts_of` with the probabilities of all tokens."""
    probabilities = _probabilities(outputs.logits, model.config.distribution)
    return dataclasses.replace(thoughts_of(model, outputs), probabilities=probabilities)


def _probabilities(logits: Float[Array, "B T V"], distribution: str) -> Float[Array, "B T V"]:
    logits = logits.astype(jnp.float32)
    if distribution == "softmax":
        return jax.nn.softmax(logits)
    scores = stablemax_scores(logits)
    return scores / scores.sum(-1, keepdims=True)
