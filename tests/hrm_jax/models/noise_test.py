"""Noise on the initial states of sequences."""

import jax
import jax.numpy as jnp
import numpy as np

from hrm_jax.core.types import Latents
from hrm_jax.models.noise import draw_noise

B = 4
L = 50
D = 8


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
