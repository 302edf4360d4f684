"""The proposer that knows nothing says nothing."""

import jax
import jax.numpy as jnp
import numpy as np

from hrm_jax.core.types import Batch
from hrm_jax.data.sudoku import rules
from hrm_jax.inference.uniform import Uniform
from hrm_jax.models.puzzle_model import PuzzleModel
from tests.hrm_jax.models.tiny import RELATIONAL

MODEL = PuzzleModel(RELATIONAL, rules.CANDIDATES)


def test_all_symbols_are_as_likely_and_it_halts_by_its_steps_alone():
    proposer = Uniform(MODEL)
    variables = MODEL.init(jax.random.key(0))
    inputs = jnp.ones((3, MODEL.config.seq_len), jnp.int32)
    batch = Batch(inputs, inputs, jnp.zeros(3, jnp.int32))
    carry = proposer.initial_carry(variables, batch)
    first, outputs = proposer.think(variables, carry)
    logits = np.asarray(outputs.logits)
    symbols = logits[..., -rules.CANDIDATES.num_symbols :]
    assert np.ptp(symbols) == 0
    assert (symbols[..., :1] >= logits).all()
    assert not proposer.wants_to_halt(outputs).any()
    assert first.steps.tolist() == [1, 1, 1]
    assert not first.halted.any()
    second, _ = proposer.think(variables, first)
    assert second.halted.all()
    jax.tree.map(np.testing.assert_array_equal, second.latents, carry.latents)
