"""The relational reasoner: symmetric by construction, and a model like any other."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hrm_jax.core.candidates import CandidateGrid, Relation
from hrm_jax.core.config import ConfigError
from hrm_jax.core.types import Batch
from hrm_jax.data.sudoku import generator, rules, symmetry
from hrm_jax.models.puzzle_config import hrm, trm
from hrm_jax.models.puzzle_model import PuzzleModel

SIZES = {
    "hidden_size": 16,
    "expansion": 1.5,
    "mlp_multiple": 8,
    "puzzle_emb_ndim": 0,
    "puzzle_emb_len": 0,
    "mixing": "relational",
    "pos_encodings": "none",
}
HRM = hrm(**SIZES, H_layers=1, L_layers=2, q_continue=False)
TRM = trm(**SIZES, H_cycles=2, L_cycles=2)
PUZZLES = generator.generate(np.random.default_rng(0), 6)
INIT = jax.jit(PuzzleModel.init, static_argnums=0)
STEP = jax.jit(PuzzleModel.step, static_argnums=0)


def outputs_of(model, inputs, steps=2):
    """Outputs of each step of thought about some puzzles."""
    batch = Batch(jnp.asarray(inputs, jnp.int32), inputs, jnp.zeros(len(inputs), jnp.int32))
    variables = INIT(model, jax.random.key(1))
    carry = model.initial_carry(variables, batch)
    outputs = []
    for _ in range(steps):
        carry, output = STEP(model, variables, carry, batch)
        outputs.append(output)
    return outputs


@pytest.mark.parametrize("config", [HRM, TRM], ids=["two_levels", "one_level"])
@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_a_symmetry_of_the_puzzle_is_one_of_the_output(config, seed):
    model = PuzzleModel(config, rules.CANDIDATES)
    moves = symmetry.symmetries_at(seed, 0, len(PUZZLES))
    plain = outputs_of(model, rules.encode(PUZZLES.questions))
    moved = outputs_of(model, rules.encode(moves(PUZZLES.questions)))
    for before, after in zip(plain, moved, strict=True):
        cells = np.take_along_axis(
            np.asarray(before.logits), moves.cells[..., None].astype(int), axis=1
        )
        # Token d + 1 of digit d goes to token digits[d] + 1.
        digits = np.argsort(moves.digits[:, 1:], axis=1)[:, None] + 2
        expected = np.take_along_axis(cells, np.broadcast_to(digits, (*cells.shape[:2], 9)), axis=2)
        np.testing.assert_allclose(after.logits[..., 2:], expected, rtol=0, atol=1e-5)
        np.testing.assert_allclose(after.q_halt_logits, before.q_halt_logits, rtol=0, atol=1e-5)


def test_learned_positions_tell_one_candidate_from_another():
    model = PuzzleModel(dataclasses.replace(TRM, pos_encodings="learned"), rules.CANDIDATES)
    blank = np.full((1, 81), rules.BLANK_TOKEN)
    (output,) = outputs_of(model, blank, steps=1)
    (symmetric,) = outputs_of(PuzzleModel(TRM, rules.CANDIDATES), blank, steps=1)
    assert len(np.unique(symmetric.logits[0, :, 2:].round(4))) == 1
    assert len(np.unique(output.logits[0, :, 2:].round(4))) > 500


def test_all_parameters_learn():
    model = PuzzleModel(HRM, rules.CANDIDATES)
    batch = Batch(
        *(jnp.asarray(rules.encode(x), jnp.int32) for x in (PUZZLES.questions, PUZZLES.answers)),
        jnp.zeros(len(PUZZLES), jnp.int32),
    )
    variables = jax.jit(model.init)(jax.random.key(0))

    @jax.jit
    @jax.grad
    def differentiate(params):
        changed = dataclasses.replace(variables, params=params)
        carry = model.initial_carry(changed, batch)
        _, outputs = model.step(changed, carry, batch)
        chosen = jnp.take_along_axis(outputs.logits, batch.labels[..., None], axis=-1)
        return (jax.nn.logsumexp(outputs.logits, axis=-1) - chosen[..., 0]).mean() + (
            jax.nn.softplus(outputs.q_halt_logits).mean()
        )

    gradients = jax.tree_util.tree_leaves_with_path(differentiate(variables.params))
    for path, gradient in gradients:
        assert np.abs(gradient).max() > 0, jax.tree_util.keystr(path)


@pytest.mark.parametrize(
    ("config", "grid", "message"),
    [
        (HRM, None, "mixing: expected relational exactly where the task describes candidates"),
        (hrm(), rules.CANDIDATES, "mixing: expected relational exactly where the task describes"),
        (dataclasses.replace(HRM, seq_len=16), rules.CANDIDATES, "seq_len: expected 81 cells of 9"),
        (dataclasses.replace(HRM, vocab_size=8), rules.CANDIDATES, "seq_len: expected 81 cells"),
    ],
)
def test_a_grid_must_fit_the_config(config, grid, message):
    with pytest.raises(ConfigError, match=f"^{message}"):
        PuzzleModel(config, grid)


def test_other_puzzles_bring_their_own_relations():
    grid = CandidateGrid(
        axes=("task", "person"),
        sizes=(5, 3),
        relations=(Relation("task", ("person",), "task"), Relation("person", ("task",), "person")),
    )
    model = PuzzleModel(dataclasses.replace(HRM, seq_len=5, vocab_size=5), grid)
    outputs = outputs_of(model, np.asarray([[1, 2, 3, 1, 1], [1, 1, 1, 1, 4]]))
    assert outputs[-1].logits.shape == (2, 5, 5)
    assert (outputs[-1].logits.argmax(-1) >= 2).all()
