"""Models trained together take the steps that each would take alone."""

import jax
import jax.numpy as jnp
import numpy as np

from hrm_jax.core.config import replace
from hrm_jax.core.types import Batch
from hrm_jax.data.sudoku.boards import Board
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.models.together import Together
from tests.hrm_jax.models.tiny import RELATIONAL

BOARDS = (Board(2, 2), Board(2, 3))
TINY = replace(RELATIONAL, {"initial_noise": 0.5, "halt_max_steps": 3})


def model_of(board):
    sizes = {"seq_len": board.num_cells, "vocab_size": board.vocabulary_size}
    return PuzzleModel(replace(TINY, sizes), board.candidates)


def batch_of(board, rows):
    tokens = jnp.arange(rows * board.num_cells, dtype=jnp.int32) % board.side + 1
    tokens = tokens.reshape(rows, board.num_cells)
    return Batch(tokens, tokens, jnp.zeros(rows, jnp.int32))


def test_each_model_steps_as_it_would_alone():
    models = tuple(map(model_of, BOARDS))
    together = Together(models)
    variables = together.init(jax.random.key(0))
    batches = tuple(batch_of(board, rows) for board, rows in zip(BOARDS, (3, 2), strict=True))
    carry = together.initial_carry(variables, batches)
    key = jax.random.key(1)
    begun, draws = together.begin(variables, carry, batches, key=key)
    stepped, outputs = together.think(variables, begun, draws=draws)
    assert [output.logits.shape for output in outputs] == [(3, 16, 6), (2, 36, 8)]
    for number, own in enumerate(jax.random.split(key, 2)):
        model = models[number]
        one, one_draws = model.begin(variables, carry[number], batches[number], key=own)
        alone, said = model.think(variables, one, draws=one_draws)
        for mine, others in zip(
            jax.tree.leaves((alone, said)),
            jax.tree.leaves((stepped[number], outputs[number])),
            strict=True,
        ):
            np.testing.assert_array_equal(mine, others)
    # Noise of its own for each.
    assert not np.array_equal(begun[0].latents.z_H[0, :64], begun[1].latents.z_H[0, :64])
