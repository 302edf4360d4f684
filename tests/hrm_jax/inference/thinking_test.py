"""Watching a model think."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.core.types import Batch, Variables
from hrm_jax.inference.thinking import Thoughts, think
from hrm_jax.models.puzzle_config import hrm
from hrm_jax.models.puzzle_model import PuzzleModel

B = 3
T = 4
S = 3
CONFIG = hrm(
    seq_len=T,
    puzzle_emb_ndim=0,
    hidden_size=8,
    num_heads=2,
    expansion=1.0,
    H_layers=1,
    L_layers=1,
    halt_max_steps=S,
)


@pytest.fixture(scope="module")
def batch() -> Batch:
    inputs = jax.random.randint(jax.random.key(0), (B, T), 1, 11, jnp.int32)
    return Batch(inputs, inputs, jnp.zeros(B, jnp.int32))


@pytest.fixture(scope="module")
def variables() -> Variables:
    """Random values for everything, the Q head included."""
    rng = np.random.default_rng(0)

    def draw(leaf):
        values = rng.standard_normal(leaf.shape) * leaf.shape[0] ** -0.5
        return jnp.asarray(values, leaf.dtype)

    return jax.tree.map(draw, jax.eval_shape(PuzzleModel(CONFIG).init, jax.random.key(0)))


def stablemax64(logits) -> np.ndarray:
    x = np.asarray(logits, np.float64)
    scores = np.where(x >= 0, x + 1, 1 / (1 - np.minimum(x, 0)))
    return scores / scores.sum(-1, keepdims=True)


def test_thoughts_are_those_of_the_steps(batch, variables):
    model = PuzzleModel(CONFIG)
    step = jax.jit(PuzzleModel(CONFIG).step)
    thoughts = think(model, variables, batch)
    carry = model.initial_carry(variables, batch)
    for index in range(S):
        carry, outputs = step(variables, carry, batch)
        np.testing.assert_array_equal(thoughts.tokens[index], outputs.logits.argmax(-1))
        confidence = 1 / (1 + np.exp(-np.asarray(outputs.q_halt_logits)))
        np.testing.assert_allclose(thoughts.confidence[index], confidence, rtol=1e-4)
        probabilities = stablemax64(outputs.logits).max(-1)
        np.testing.assert_allclose(thoughts.cell_confidence[index], probabilities, rtol=1e-5)
        wants = outputs.q_halt_logits > outputs.q_continue_logits
        np.testing.assert_array_equal(thoughts.wants_to_halt[index], wants)
    assert carry.halted.all()


def test_without_q_continue_the_sign_decides(batch, variables):
    config = dataclasses.replace(CONFIG, q_continue=False)
    thoughts = think(PuzzleModel(config), variables, batch)
    np.testing.assert_array_equal(thoughts.wants_to_halt, thoughts.confidence > 0.5)


def test_cell_confidence_is_float32_whatever_the_model_computes_in(batch, variables):
    model = PuzzleModel(dataclasses.replace(CONFIG, compute_dtype="bfloat16"))
    confidence = np.asarray(think(model, variables, batch).cell_confidence)
    assert confidence.dtype == np.float32
    assert confidence.shape == (S, B, T)
    assert ((confidence >= 1 / CONFIG.vocab_size) & (confidence <= 1)).all()


def test_labels_are_not_used(batch, variables):
    unlabelled = dataclasses.replace(batch, labels=jnp.full((B, T), -100))
    found, expected = (think(PuzzleModel(CONFIG), variables, b) for b in (unlabelled, batch))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_steps_count_to_the_first_wish_to_halt():
    wants = jnp.array([[True, False, False], [True, True, False], [False, False, False]])
    cells = jnp.zeros((S, B, T))
    thoughts = Thoughts(cells.astype(jnp.int32), jnp.zeros((S, B)), wants, cells)
    np.testing.assert_array_equal(thoughts.steps, [1, 2, 3])


def test_cell_confidence_is_of_the_distribution_that_the_model_learns(batch, variables):
    model = PuzzleModel(dataclasses.replace(CONFIG, distribution="softmax"))
    thoughts = think(model, variables, batch)
    _, outputs = model.step(variables, model.initial_carry(variables, batch), batch)
    expected = jax.nn.softmax(outputs.logits).max(-1)
    np.testing.assert_allclose(thoughts.cell_confidence[0], expected, rtol=1e-5)
