"""Where further attempts start."""

import jax
import jax.numpy as jnp
import numpy as np

from hrm_jax.core.types import Batch, Latents
from hrm_jax.inference.attempts import disturb
from hrm_jax.inference.thinking import think
from hrm_jax.models.puzzle_config import hrm
from hrm_jax.models.puzzle_model import PuzzleModel

ZERO = Latents(jnp.zeros((4, 50, 8)), jnp.zeros((4, 50, 8)))


def test_the_first_attempt_is_undisturbed_and_others_have_their_own_noise():
    found = disturb(ZERO, jnp.array([0, 1, 2, 1]), 0.5, seed=3)
    for states in (found.z_H, found.z_L):
        assert not states[0].any()
        np.testing.assert_array_equal(states[1], states[3])
        assert (states[1] != states[2]).all()
        assert abs(float(states[1:3].std()) - 0.5) < 0.05
    assert (found.z_H[1] != found.z_L[1]).all()


def test_noise_depends_on_the_attempt_and_the_seed_alone():
    one = disturb(ZERO, jnp.array([0, 1, 2, 3]), 0.5, seed=3)
    moved = disturb(ZERO, jnp.array([3, 2, 1, 0]), 0.5, seed=3)
    other = disturb(ZERO, jnp.array([0, 1, 2, 3]), 0.5, seed=4)
    np.testing.assert_array_equal(one.z_H, moved.z_H[::-1])
    assert (one.z_H[1:] != other.z_H[1:]).all()
    np.testing.assert_array_equal(disturb(ZERO, jnp.arange(4), 0.0, seed=3).z_H, ZERO.z_H)


def test_thinking_starts_from_there():
    config = hrm(
        seq_len=4,
        puzzle_emb_ndim=0,
        hidden_size=8,
        num_heads=2,
        expansion=1.0,
        H_layers=1,
        L_layers=1,
        halt_max_steps=2,
    )
    model = PuzzleModel(config)
    inputs = jnp.tile(jnp.array([[1, 2, 3, 4]]), (3, 1))
    variables = model.init(jax.random.key(0))
    batch = Batch(inputs, inputs, jnp.zeros(3, jnp.int32))
    plain = think(model, variables, batch).cell_confidence
    disturbed = think(model, variables, batch, jnp.array([0, 1, 2]), 0.5).cell_confidence
    np.testing.assert_array_equal(disturbed[:, 0], plain[:, 0])
    assert (disturbed[:, 1:] != plain[:, 1:]).any((0, 2)).all()
    assert (disturbed[:, 1] != disturbed[:, 2]).any()
