"""A model of Sudoku that thinks nothing: tests say what it proposes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from experiments.sudoku.presets import PRESETS
from hrm_jax.core.config import replace
from hrm_jax.core.types import Carry, Latents, Outputs, Variables
from hrm_jax.data.sudoku import rules, solver
from hrm_jax.inference.attempts import disturb
from hrm_jax.models.puzzle_config import PuzzleModelConfig
from hrm_jax.tasks.sudoku.task import SudokuTask

PUZZLE = "53..7....6..195....98....6.8...6...34..8.3..17...2...6.6....28....419..5....8..79"
EASY = rules.parse(PUZZLE)
SOLUTION = solver.solve(EASY)
WRONG_CELL = SOLUTION.copy()
WRONG_CELL[2] = 1


@dataclasses.dataclass(frozen=True)
class Scripted:
    """A model that thinks nothing: its proposals are given, for each attempt and step.

    Its parameters: `puzzles` [A, 81] and `draws` [A] are what each attempt sees, `tokens`
    [A, S, 81] what it proposes, and `halt` the step at which it wants to halt.
    """

    config: PuzzleModelConfig

    def initial_carry(self, variables, batch):
        B = len(batch.inputs)
        state = jnp.zeros((B, 1, 1))
        return Carry(Latents(state, state), jnp.zeros(B, jnp.int32), jnp.ones(B, bool), batch)

    def think(self, variables, carry):
        script = variables.params
        steps = carry.steps + 1
        other = (carry.data.inputs[:, None] != script["puzzles"][None]).any(-1)
        noise = jnp.abs(carry.latents.z_H[:, :, 0] - script["draws"][None])
        attempt = (noise + 99 * other).argmin(-1)
        logits = 99 * jax.nn.one_hot(script["tokens"][attempt, steps - 1], rules.VOCABULARY_SIZE)
        sure = jnp.full(len(steps), jnp.log(1 / 3))
        outputs = Outputs(logits, sure, jnp.where(steps >= script["halt"], -9.0, 9.0), None)
        return dataclasses.replace(carry, steps=steps), outputs

    def wants_to_halt(self, outputs):
        return outputs.q_halt_logits > outputs.q_continue_logits


class ScriptedTask(SudokuTask):
    """Sudoku for a model whose proposals are given."""

    @property
    def model(self):
        return Scripted(self.config.model)


MINUTE = PRESETS["minute"]


def script(grids, *, halt=99, puzzles=EASY[None], noise=0.0):
    """Variables of a scripted model that proposes these grids: [A, S, 81]."""
    attempts = jnp.arange(len(grids))
    zeros = jnp.zeros((len(grids), 1, 1))
    draws = disturb(Latents(zeros, zeros), attempts, noise, seed=0).z_H[:, 0, 0]
    values = {"puzzles": rules.encode(puzzles), "tokens": rules.encode(grids), "halt": halt}
    integers = jax.tree.map(lambda x: jnp.asarray(x, jnp.int32), values)
    return Variables(integers | {"draws": draws}, {}, None)


def stubborn():
    """A task that makes a tree, and a model whose every proposal is wrong."""
    search = {"test.search.branch": True, "test.search.symmetries": False}
    task = ScriptedTask(replace(MINUTE, search))
    return task, script(np.tile(WRONG_CELL, (1, 4, 1)))
