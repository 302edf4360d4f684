"""Adaptive computation time: each sequence thinks until it halts, then takes a new puzzle."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from hrm_jax.core.candidates import CandidateGrid
from hrm_jax.core.config import check
from hrm_jax.core.correctness import correctness
from hrm_jax.core.types import Batch, Buffer, Carry, Outputs, Variables
from hrm_jax.models.noise import draw_noise
from hrm_jax.models.puzzle_config import PuzzleModelConfig
from hrm_jax.models.puzzle_module import PuzzleModule
from hrm_jax.nn.keys import ParamKeys


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Exploration:
    """What is drawn for each sequence of a training step.

    Attributes:
      explores: whether the sequence goes on thinking although it is done.
      minimum: step before which a sequence that explores does not halt, 2 to `halt_max_steps`.
    """

    explores: Bool[Array, " B"]
    minimum: Int[Array, " B"]


@dataclasses.dataclass(frozen=True)
class PuzzleModel:
    """HRM or TRM with adaptive computation time, as pure functions of its variables.

    Hashable and equal by configuration, so that it can be a static argument of `jit`.

    Attributes:
      config: sizes and schedule.
      grid: the puzzle's candidates and their relations; given exactly if mixing is relational.

    Raises:
      ConfigError: on construction, if the grid is missing, unwanted or of another size.
    """

    config: PuzzleModelConfig
    grid: CandidateGrid | None = None

    def __post_init__(self):
        """Raises ConfigError unless the grid fits the config."""
        config = self.config
        grid = self.grid
        check(
            (grid is not None) == (config.mixing == "relational"),
            "mixing",
            expected="relational exactly where the task describes candidates",
            got=config.mixing,
            remedy="pass the task's CandidateGrid for relational mixing, None otherwise",
        )
        if grid is not None:
            check(
                grid.num_cells == config.seq_len and grid.num_symbols <= config.vocab_size,
                "seq_len",
                expected=f"{grid.num_cells} cells of {grid.num_symbols} symbols, as in the grid",
                got=(config.seq_len, config.vocab_size),
                remedy="set seq_len and vocab_size to the puzzle's",
            )

    def init(self, key: PRNGKeyArray) -> Variables:
        """Returns fresh variables, float32; the same key gives the same values."""
        module = PuzzleModule(self.config, self.grid, rngs=ParamKeys(key))
        _, params, buffers, _ = nnx.split(module, nnx.Param, Buffer, ...)
        # The table is no part of `params`: it has an optimiser of its own, and is indexed outside.
        table = module.puzzle_rows[...] if self.config.puzzle_emb_ndim else None
        return Variables(params, buffers, table)

    def initial_carry(self, variables: Variables, batch: Batch) -> Carry:
        """Returns a carry in which every sequence has halted.

        The first step therefore replaces all of its zeroed puzzles by those of its batch.
        """
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
        """Refills the sequences that halted, then takes one step of thought with every sequence.

        Args:
          variables: the model's values.
          carry: what the last step returned, or `initial_carry`.
          batch: the next puzzles.
          key: randomness of training; None means evaluation.
          row_offsets: see `think`.

        Returns:
          The new carry, without gradient, and the outputs.
        """
        if key is None:
            begun, draws = self.refill(variables, carry, batch), None
        else:
            begun, draws = self.begin(variables, carry, batch, key=key)
        return self.think(variables, begun, draws=draws, row_offsets=row_offsets)

    def begin(
        self, variables: Variables, carry: Carry, batch: Batch, *, key: PRNGKeyArray
    ) -> tuple[Carry, Exploration]:
        """Refills the sequences that halted, and draws what is random in a step of training.

        Args:
          variables: the model's values; no trained parameter is read.
          carry: what the last step returned, or `initial_carry`.
          batch: the next puzzles.
          key: of the noise on initial states, and of exploration.

        Returns:
          The carry that the step starts from, and what was drawn for each of its sequences.
        """
        noise_key = None
        if self.config.initial_noise > 0:
            # Split only then: a run without noise explores by the key itself.
            key, noise_key = jax.random.split(key)
        B = carry.steps.shape
        explore_key, minimum_key = jax.random.split(key)
        explores = jax.random.bernoulli(explore_key, self.config.halt_exploration_prob, B)
        # `randint` leaves its upper end out. With a single step the draw is made but never read.
        minimum = jax.random.randint(minimum_key, B, 2, max(self.config.halt_max_steps, 2) + 1)
        begun = self.refill(variables, carry, batch, key=noise_key)
        return begun, Exploration(explores, minimum)

    def refill(
        self,
        variables: Variables,
        carry: Carry,
        batch: Batch,
        *,
        key: PRNGKeyArray | None = None,
    ) -> Carry:
        """Starts the sequences that halted on their puzzle of `batch`; the others stay as they are.

        Args:
          variables: the model's values.
          carry: what the last step returned, or `initial_carry`.
          batch: the next puzzles; rows of sequences that have not halted are not used.
          key: of `initial_noise`; None for none. One [L, D] draw serves all sequences that start at
            this step. They think about different puzzles, and those that start at other steps get
            other draws; a draw for each sequence would take as long as a layer of the model.
        """
        initial = self._bind(variables).initial_latents(batch.inputs.shape[0])
        if key is not None:
            noise = draw_noise(key, initial, self.config.initial_noise)
            initial = jax.tree.map(lambda state, drawn: state + drawn[None], initial, noise)
        return carry.restart(carry.halted, initial, batch)

    def think(
        self,
        variables: Variables,
        carry: Carry,
        *,
        draws: Exploration | None = None,
        row_offsets: Float[Array, "B E"] | None = None,
    ) -> tuple[Carry, Outputs]:
        """Takes one step of thought with every sequence, whether or not it has halted.

        Args:
          variables: the model's values.
          carry: what `begin`, `refill` or the last step returned, or some rows of it.
          draws: those of `begin`. None means evaluation: every sequence halts after
            `halt_max_steps` steps and not before, and no Q-continue target is computed.
          row_offsets: zeros, added to the puzzle rows in use. Their gradient is that of each
            sequence's row, obtained without a gradient for the whole table.

        Returns:
          The new carry, without gradient, and the outputs.
        """
        config = self.config
        rows = self._rows(variables, carry, row_offsets)
        data = carry.data
        reason = functools.partial(
            self._bind(variables), inputs=data.inputs, rows=rows, relations=data.relations
        )
        latents, logits, q = reason(carry.latents)
        # Truncated backpropagation through time: no gradient crosses from one step to the next.
        latents = jax.lax.stop_gradient(latents)
        outputs = Outputs(logits, q[:, 0], q[:, 1], None)
        steps = carry.steps + 1
        last = steps >= config.halt_max_steps
        # Without draws this is evaluation, where every sequence takes all of its steps.
        halted = last
        if draws is not None and config.halt_max_steps > 1:
            if config.halt_when_right:
                done = correctness(logits, carry.data).exact
            else:
                done = self.wants_to_halt(outputs)
            # `minimum` never exceeds halt_max_steps: the last step halts those that explore too.
            halted = (last | done) & (steps >= jnp.where(draws.explores, draws.minimum, 0))
            if config.q_continue:
                # Q-learning's bootstrap target, the values that the next step would predict: a
                # second forward pass. At the last step nothing is left but to halt.
                _, _, next_q = jax.lax.stop_gradient(reason(latents))
                target = jax.nn.sigmoid(jnp.where(last, next_q[:, 0], next_q.max(-1)))
                outputs = dataclasses.replace(outputs, target_q_continue=target)
        return Carry(latents, steps, halted, carry.data), outputs

    def wants_to_halt(self, outputs: Outputs) -> Bool[Array, " B"]:
        """Returns whether the Q-head prefers to halt; without `q_continue`, if q_halt > 0."""
        threshold = outputs.q_continue_logits if self.config.q_continue else 0.0
        return outputs.q_halt_logits > threshold

    def _rows(
        self, variables: Variables, carry: Carry, offsets: Float[Array, "B E"] | None
    ) -> Float[Array, "B E"] | None:
        """Returns the puzzle rows in use; gradient flows to the offsets alone."""
        if variables.puzzle_rows is None:
            return None
        table = jax.lax.stop_gradient(variables.puzzle_rows)
        rows = table[carry.data.puzzle_identifiers]
        return rows if offsets is None else rows + offsets

    def _bind(self, variables: Variables) -> PuzzleModule:
        """Returns the module with these values."""
        return nnx.merge(_graphdef(self.config, self.grid), variables.params, variables.buffers)


@functools.cache
def _graphdef(config: PuzzleModelConfig, grid: CandidateGrid | None) -> nnx.GraphDef:
    """Returns the module's structure without values; puzzle rows are removed.

    The table is indexed outside of the module, in `PuzzleModel._rows`.
    """
    abstract = nnx.eval_shape(lambda: PuzzleModule(config, grid, rngs=ParamKeys(jax.random.key(0))))
    if config.puzzle_emb_ndim:
        del abstract.puzzle_rows
    return nnx.graphdef(abstract)
