"""Parameters of HRM and TRM: embeddings, both levels, and the heads that read the slow state."""

import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Float, Int

from hrm_jax.core.candidates import CandidateGrid
from hrm_jax.core.types import Buffer, Latents, PuzzleRows, Relations
from hrm_jax.models.levels import as_level
from hrm_jax.models.puzzle_config import PuzzleModelConfig
from hrm_jax.models.recurrence import recur
from hrm_jax.nn.block import BlockStack
from hrm_jax.nn.embedding import Embedding, puzzle_prefix
from hrm_jax.nn.keys import Keys
from hrm_jax.nn.linear import Linear, truncated_normal
from hrm_jax.nn.relational import NUM_STATES, candidate_states, token_logits

_HALF_VARIANCE = 0.707106781  # the sum of two unit-variance embeddings keeps unit variance


class HaltHead(nnx.Module):
    """Maps one vector to (q_halt, q_continue), both -5 at first: sure of a wrong answer.

    Attributes:
      kernel: [D, 2], zeros at the start.
      bias: [2].
    """

    def __init__(self, features: int):
        """Initialises the kernel with 0 and the bias with -5, as the published HRM and TRM do."""
        self.kernel = nnx.Param(jnp.zeros((features, 2)), axes=("embed", None))
        self.bias = nnx.Param(jnp.full((2,), -5.0, jnp.float32), axes=(None,))

    def __call__(self, x: Float[Array, "B D"]) -> Float[Array, "B 2"]:
        """Returns the two logits, float32."""
        logits = x @ self.kernel[...].astype(x.dtype) + self.bias[...].astype(x.dtype)[None]
        return logits.astype(jnp.float32)


class PuzzleModule(nnx.Module):
    """One step of HRM or TRM: from latents and a puzzle to new latents, logits and Q-values."""

    def __init__(self, config: PuzzleModelConfig, grid: CandidateGrid | None = None, *, rngs: Keys):
        """Draws parameters, initial states and the (zero) puzzle rows.

        Args:
          config: sizes and schedule.
          grid: for relational mixing; the states are then of candidates in place of tokens.
          rngs: source of the initialisation keys.
        """
        D = config.hidden_size
        V = config.vocab_size
        # Named as in the published code, since weights are loaded by these paths.
        self.config = config
        self.grid = grid
        # A candidate is embedded by what the puzzle says of it, a token by its number.
        self.embed_tokens = Embedding(NUM_STATES if grid else V, D, rngs=rngs)
        if config.pos_encodings == "learned":
            self.embed_pos = Embedding(grid.num_candidates if grid else config.length, D, rngs=rngs)
        if not config.shared_level:
            self.H_level = BlockStack(config.block(grid), config.H_layers, rngs=rngs)
        self.L_level = BlockStack(config.block(grid), config.L_layers, rngs=rngs)
        # Of candidates one score each, which `token_logits` arranges by cell and symbol.
        self.lm_head = Linear(D, 1 if grid else V, axes=("embed", None), rngs=rngs)
        # For candidates the head reads their mean and their maximum, side by side (`_read`).
        self.q_head = HaltHead(2 * D if grid else D)
        self.H_init = Buffer(truncated_normal(rngs.params(), (D,), 1.0))
        self.L_init = Buffer(truncated_normal(rngs.params(), (D,), 1.0))
        if config.puzzle_emb_ndim:
            rows = (config.num_puzzle_identifiers, config.puzzle_emb_ndim)
            self.puzzle_rows = PuzzleRows(jnp.zeros(rows))

    def initial_latents(self, batch_size: int) -> Latents:
        """Returns H_init and L_init as states [B, L, D], in the compute dtype."""
        length = self.grid.num_candidates if self.grid else self.config.length
        shape = (batch_size, length, self.config.hidden_size)
        dtype = jnp.dtype(self.config.compute_dtype)
        z_H, z_L = (
            jnp.broadcast_to(init[...].astype(dtype)[None, None], shape)
            for init in (self.H_init, self.L_init)
        )
        return Latents(z_H, z_L)

    def embed(
        self, inputs: Int[Array, "B T"], rows: Float[Array, "B E"] | None
    ) -> Float[Array, "B L D"]:
        """Returns the injection: prefix and tokens, plus any learned positions, times sqrt(D)."""
        config = self.config
        dtype = jnp.dtype(config.compute_dtype)
        tokens = inputs
        if self.grid is not None:
            tokens = candidate_states(self.grid, inputs, config.vocab_size)
        embedded = self.embed_tokens(tokens, dtype)
        if rows is not None:
            # First, since the halting head reads token 0 and `_read` cuts off the prefix.
            prefix = puzzle_prefix(rows.astype(dtype), config.prefix_length, config.hidden_size)
            embedded = jnp.concatenate([prefix, embedded], axis=1)
        if config.pos_encodings == "learned":
            positions = self.embed_pos.table[...].astype(dtype)
            embedded = _HALF_VARIANCE * (embedded + positions[None])
        # A Python float, as a NumPy scalar has a dtype and would turn bfloat16 into float32.
        return np.sqrt(config.hidden_size).item() * embedded

    def __call__(
        self,
        latents: Latents,
        inputs: Int[Array, "B T"],
        rows: Float[Array, "B E"] | None,
        relations: Relations | None = None,
    ) -> tuple[Latents, Float[Array, "B T V"], Float[Array, "B 2"]]:
        """Runs all cycles of one step.

        Args:
          latents: the states to start from.
          inputs: the puzzles' tokens.
          rows: the puzzles' embedding rows; None for a model without puzzle embedding.
          relations: between cells, where the grid has edges.

        Returns:
          The new states, still carrying gradient; the logits; (q_halt, q_continue).
        """
        # A shared level is one object in both roles, so TRM's gradients add up over the two.
        low = as_level(self.L_level, relations)
        high = low if self.config.shared_level else as_level(self.H_level, relations)
        latents = recur(self.config.schedule, high, low, latents, self.embed(inputs, rows))
        return latents, *self._read(latents.z_H)

    def _read(
        self, z_H: Float[Array, "B L D"]
    ) -> tuple[Float[Array, "B T V"], Float[Array, "B 2"]]:
        """Returns the logits, and (q_halt, q_continue) from a pooled state.

        Of tokens, the head reads the first. Candidates have no first one, so it reads their mean
        and maximum: with the maximum, one undecided cell is enough to go on thinking.
        """
        if self.grid is None:
            return self.lm_head(z_H[:, self.config.prefix_length :]), self.q_head(z_H[:, 0])
        logits = token_logits(self.grid, self.lm_head(z_H)[..., 0], self.config.vocab_size)
        return logits, self.q_head(jnp.concatenate([z_H.mean(1), z_H.max(1)], axis=-1))
