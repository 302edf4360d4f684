"""Adaptive computation time: sequences think until they halt, then take a new puzzle."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from hrm_jax.core.types import Batch, Buffer, Carry, Latents, Outputs, Variables
from hrm_jax.models.config import ReasonerConfig
from hrm_jax.models.reasoner import Reasoner


@dataclasses.dataclass(frozen=True)
class Model:
    """A reasoner with adaptive computation time, as pure functions of its variables.

    Hashable and equal by configuration, so that it can be a static argument of `jit`.
    """

    config: ReasonerConfig

    def init(self, key: PRNGKeyArray) -> Variables:
        """Fresh variables, float32; the same key gives the same values."""
        reasoner = Reasoner(self.config, rngs=nnx.Rngs(params=key))
        _, params, buffers, _ = nnx.split(reasoner, nnx.Param, Buffer, ...)
        table = reasoner.puzzle_rows[...] if self.config.puzzle_emb_ndim else None
        return Variables(params, buffers, table)

    def initial_carry(self, variables: Variables, batch: Batch) -> Carry:
        """A carry in which every sequence has halted, so that the first step takes new puzzles."""
        B = batch.inputs.shape[0]
        return Carry(
            latents=self._bind(variables).initial_latents(B),
            steps=jnp.zeros(B, jnp.int32),
            halted=jnp.ones(B, bool),
            data=jax.tree.map(jnp.zeros_like, batch),
        )

    def step(
        self,
        variables: Variables,
        carry: Carry,
        batch: Batch,
        *,
        key: PRNGKeyArray | None = None,
        row_offsets: Float[Array, "B E"] | None = None,
    ) -> tuple[Carry, Outputs]:
        """One step of thought for every sequence.

        Sequences that halted at the last step first take their puzzle from `batch` and start over;
        the others go on with the puzzle in the carry and ignore `batch`.

        Args:
          variables: the model's values.
          carry: what the last step returned, or `initial_carry`.
          batch: the next puzzles.
          key: randomness of exploration. None means evaluation: every sequence runs the full
            `halt_max_steps`, and no Q-continue target is computed.
          row_offsets: added to the puzzle rows in use. The gradient with respect to these zeros is
            the gradient of each sequence's row, without one for the whole table.

        Returns:
          The new carry, without gradient, and the outputs.
        """
        reasoner = self._bind(variables)
        carry = _refresh(carry, batch, reasoner.initial_latents(batch.inputs.shape[0]))
        rows = None
        if variables.puzzle_rows is not None:
            table = jax.lax.stop_gradient(variables.puzzle_rows)
            rows = table[carry.data.puzzle_identifiers]
            rows = rows if row_offsets is None else rows + row_offsets
        think = functools.partial(reasoner, inputs=carry.data.inputs, rows=rows)

        latents, logits, q = think(carry.latents)
        latents = jax.lax.stop_gradient(latents)
        steps = carry.steps + 1
        last = steps >= self.config.halt_max_steps
        halted, target = last, None
        if key is not None and self.config.halt_max_steps > 1:
            halted = self._halting(jax.lax.stop_gradient(q), steps, key)
            if self.config.q_continue:
                _, _, next_q = jax.lax.stop_gradient(think(latents))
                target = jax.nn.sigmoid(jnp.where(last, next_q[:, 0], next_q.max(-1)))
        outputs = Outputs(logits, q[:, 0], q[:, 1], target)
        return Carry(latents, steps, halted, carry.data), outputs

    def _bind(self, variables: Variables) -> Reasoner:
        """The module holding these values."""
        return nnx.merge(_graphdef(self.config), variables.params, variables.buffers)

    def _halting(
        self, q: Float[Array, "B 2"], steps: Int[Array, " B"], key: PRNGKeyArray
    ) -> Bool[Array, " B"]:
        """Who halts in training: by the Q head, at the last step, or later if exploring."""
        config = self.config
        wants_to_halt = q[:, 0] > (q[:, 1] if config.q_continue else 0)
        halted = (steps >= config.halt_max_steps) | wants_to_halt
        explore_key, minimum_key = jax.random.split(key)
        explores = jax.random.bernoulli(explore_key, config.halt_exploration_prob, steps.shape)
        minimum = jax.random.randint(minimum_key, steps.shape, 2, config.halt_max_steps + 1)
        return halted & (steps >= jnp.where(explores, minimum, 0))


def _refresh(carry: Carry, batch: Batch, initial: Latents) -> Carry:
    """Gives sequences that halted a new puzzle, the initial states and zero steps."""

    def new_where_halted(new: Array, old: Array) -> Array:
        return jnp.where(carry.halted.reshape(-1, *[1] * (new.ndim - 1)), new, old)

    return Carry(
        latents=jax.tree.map(new_where_halted, initial, carry.latents),
        steps=jnp.where(carry.halted, 0, carry.steps),
        halted=jnp.zeros_like(carry.halted),
        data=jax.tree.map(new_where_halted, batch, carry.data),
    )


@functools.cache
def _graphdef(config: ReasonerConfig) -> nnx.GraphDef:
    """The reasoner's structure without its values, puzzle rows left out."""
    abstract = nnx.eval_shape(lambda: Reasoner(config, rngs=nnx.Rngs(0)))
    if config.puzzle_emb_ndim:
        del abstract.puzzle_rows
    return nnx.graphdef(abstract)
