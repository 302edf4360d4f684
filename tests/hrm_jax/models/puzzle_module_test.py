"""The reasoner's embeddings, initial states and heads."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from hrm_jax.core.types import Buffer, PuzzleRows
from hrm_jax.models.puzzle_config import PuzzleModelConfig, hrm, trm
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.models.puzzle_module import PuzzleModule

B = 2
T = 3
D = 16
HRM = hrm(
    seq_len=T,
    puzzle_emb_ndim=20,
    num_puzzle_identifiers=4,
    hidden_size=D,
    num_heads=2,
    expansion=1.0,
    H_layers=1,
    L_layers=1,
)
TOKENS = jnp.array([[1, 2, 3], [4, 5, 0]])
ROWS = jnp.asarray(np.random.default_rng(0).standard_normal((B, 20)), jnp.float32)


def reasoner(config: PuzzleModelConfig) -> PuzzleModule:
    return PuzzleModule(config, rngs=nnx.Rngs(0))


def test_injection_is_the_scaled_prefix_and_tokens():
    model = reasoner(HRM)
    table = np.asarray(model.embed_tokens.table[...])
    injection = np.asarray(model.embed(TOKENS, ROWS))
    assert injection.shape == (B, 2 + T, D)
    np.testing.assert_allclose(injection[:, 2:], 4 * table[TOKENS], rtol=1e-6)
    np.testing.assert_allclose(injection[:, :2].reshape(B, 32)[:, :20], 4 * ROWS, rtol=1e-6)
    assert (injection[:, :2].reshape(B, 32)[:, 20:] == 0).all()


def test_learned_positions_halve_the_variance_and_are_added():
    model = reasoner(dataclasses.replace(HRM, pos_encodings="learned"))
    table, positions = (np.asarray(e.table[...]) for e in (model.embed_tokens, model.embed_pos))
    expected = 4 * np.sqrt(0.5) * (table[TOKENS] + positions[2:])
    np.testing.assert_allclose(model.embed(TOKENS, ROWS)[:, 2:], expected, rtol=1e-5, atol=1e-6)


def test_tokens_start_at_unit_variance():
    model = reasoner(dataclasses.replace(HRM, vocab_size=2000))
    embedded = np.asarray(model.embed(jnp.arange(2000)[None], None))
    np.testing.assert_allclose(embedded.std(), 1, rtol=5 / np.sqrt(2 * embedded.size))


def test_initial_latents_repeat_the_buffers():
    model = reasoner(HRM)
    latents = model.initial_latents(B)
    for z, init in ((latents.z_H, model.H_init), (latents.z_L, model.L_init)):
        np.testing.assert_array_equal(z, np.broadcast_to(init[...], (B, 2 + T, D)))
    assert (latents.z_H != latents.z_L).all()


def test_q_head_starts_sure_that_nothing_is_right():
    model = reasoner(HRM)
    _, _, q = nnx.jit(lambda m: m(m.initial_latents(B), TOKENS, ROWS))(model)
    np.testing.assert_array_equal(q, np.full((B, 2), -5.0))
    assert q.dtype == jnp.float32


def test_heads_read_the_slow_state():
    """Logits of every cell behind the prefix; the Q head's of the first token, prefix included."""
    model = reasoner(HRM)
    model.q_head.kernel[...] = jax.random.normal(jax.random.key(0), (D, 2))
    latents, logits, q = nnx.jit(lambda m: m(m.initial_latents(B), TOKENS, ROWS))(model)
    z_H = np.asarray(latents.z_H)
    assert logits.shape == (B, T, 11)
    np.testing.assert_allclose(logits, z_H[:, 2:] @ model.lm_head.kernel[...], rtol=0, atol=1e-5)
    np.testing.assert_allclose(q, z_H[:, 0] @ model.q_head.kernel[...] - 5, rtol=0, atol=1e-5)


def test_trm_has_one_level_in_both_roles():
    model = reasoner(
        trm(seq_len=T, puzzle_emb_ndim=0, puzzle_emb_len=0, hidden_size=D, num_heads=2)
    )
    assert not hasattr(model, "H_level")


def test_kinds_of_variables():
    """What is trained by gradient, what never, and the rows that have their own optimiser."""
    _, params, rows, buffers = nnx.split(reasoner(HRM), nnx.Param, PuzzleRows, Buffer)
    assert {path[0] for path, _ in nnx.to_flat_state(buffers)} == {"H_init", "L_init"}
    assert {path[0] for path, _ in nnx.to_flat_state(rows)} == {"puzzle_rows"}
    assert (rows["puzzle_rows"][...] == 0).all()
    names = {path[0] for path, _ in nnx.to_flat_state(params)}
    assert names == {"embed_tokens", "H_level", "L_level", "lm_head", "q_head"}


@pytest.mark.parametrize(("config", "parameters"), [(hrm(), 27_275_266), (trm(), 6_828_034)])
def test_published_sizes(config, parameters):
    """27 million for HRM and 7 million for TRM with attention, as the papers say."""
    variables = jax.eval_shape(PuzzleModel(config).init, jax.random.key(0))
    count = sum(leaf.size for leaf in jax.tree.leaves(variables.params))
    assert count == parameters


def test_the_same_key_gives_the_same_variables():
    init = jax.jit(PuzzleModel(HRM).init)
    first, again, other = (init(jax.random.key(seed)) for seed in (0, 0, 1))
    jax.tree.map(np.testing.assert_array_equal, first, again)
    assert (first.params["lm_head"]["kernel"][...] != other.params["lm_head"]["kernel"][...]).any()
