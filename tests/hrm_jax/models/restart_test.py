"""How sequences start: who takes a new puzzle, and the noise on their initial states."""

import jax
import jax.numpy as jnp
import numpy as np

from hrm_jax.core.types import Batch, Carry, Latents
from hrm_jax.models.restart import draw_noise, restart

B = 4
L = 50
D = 8


def carry_of(value: int, halted) -> Carry:
    state = jnp.full((B, L, D), float(value))
    tokens = jnp.full((B, L), value, jnp.int32)
    identifiers = jnp.full(B, value, jnp.int32)
    data = Batch(tokens, tokens, identifiers)
    return Carry(Latents(state, -state), jnp.full(B, value, jnp.int32), jnp.asarray(halted), data)


def test_those_that_start_take_everything_new_and_the_others_nothing():
    old = carry_of(3, [True, True, False, False])
    new = carry_of(5, [True] * 4)
    where = jnp.array([True, False, True, False])
    found = restart(old, where, new.latents, new.data)
    np.testing.assert_array_equal(found.steps, [0, 3, 0, 3])
    np.testing.assert_array_equal(found.halted, [False, True, False, False])
    for row, source in enumerate([new, old, new, old]):
        for name in ("latents", "data"):
            pair = getattr(found, name), getattr(source, name)
            jax.tree.map(lambda x, y, row=row: np.testing.assert_array_equal(x[row], y[row]), *pair)


def test_noise_has_a_key_a_deviation_and_a_draw_for_each_state():
    initial = Latents(jnp.zeros((B, L, D)), jnp.zeros((B, L, D)))
    noise = draw_noise(jax.random.key(0), initial, 0.5)
    assert noise.z_H.shape == noise.z_L.shape == (L, D)
    assert (noise.z_H != noise.z_L).all()
    assert abs(float(noise.z_H.std()) - 0.5) < 0.05
    np.testing.assert_array_equal(draw_noise(jax.random.key(0), initial, 1.0).z_H, 2 * noise.z_H)
    assert (draw_noise(jax.random.key(1), initial, 0.5).z_H != noise.z_H).all()


def test_noise_has_the_dtype_of_the_states_whatever_it_is_drawn_in():
    half = jnp.zeros((B, L, D), jnp.bfloat16)
    own = draw_noise(jax.random.key(0), Latents(half, half), 0.5)
    single = draw_noise(jax.random.key(0), Latents(half, half), 0.5, jnp.float32)
    assert own.z_H.dtype == single.z_H.dtype == jnp.bfloat16
    full = half.astype(jnp.float32)
    rounded = draw_noise(jax.random.key(0), Latents(full, full), 0.5).z_H.astype(jnp.bfloat16)
    np.testing.assert_array_equal(single.z_H, rounded)
