"""The moving average of the parameters."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from hrm_jax.optim.ema import averaged_params, params_ema

DECAY = 0.9
RATE = 0.5


def test_averages_the_parameters_after_each_update():
    optimizer = optax.chain(optax.sgd(RATE), params_ema(DECAY))
    params = {"w": jnp.array([1.0, -2.0])}
    state = optimizer.init(params)
    average = np.array([1.0, -2.0])
    for step in range(5):
        updates, state = optimizer.update({"w": jnp.full(2, step + 1.0)}, state, params)
        np.testing.assert_allclose(updates["w"], -RATE * (step + 1))  # passed through unchanged
        params = optax.apply_updates(params, updates)
        average = DECAY * average + (1 - DECAY) * np.asarray(params["w"])
        np.testing.assert_allclose(averaged_params(state, params)["w"], average, rtol=1e-6)


def test_starts_at_the_parameters_without_sharing_their_buffers():
    """Training donates the parameters: a shared buffer would be deleted with them."""
    params = {"w": jnp.array([1.0, -2.0])}
    state = params_ema(DECAY).init(params)
    assert state.ema["w"].unsafe_buffer_pointer() != params["w"].unsafe_buffer_pointer()
    params["w"].delete()
    np.testing.assert_array_equal(state.ema["w"], [1.0, -2.0])


def test_without_an_average_the_parameters_are_their_own():
    params = {"w": jnp.ones(2)}
    assert averaged_params(optax.sgd(RATE).init(params), params) is params


def test_decay_zero_is_the_parameters_themselves():
    transformation = params_ema(0.0)
    params = {"w": jnp.ones(2)}
    state = transformation.update({"w": jnp.ones(2)}, transformation.init(params), params)[1]
    np.testing.assert_array_equal(state.ema["w"], [2, 2])


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_impossible_decays_are_refused(decay):
    with pytest.raises(ValueError, match="at least 0 and below 1"):
        params_ema(decay)


def test_needs_the_parameters():
    transformation = params_ema(DECAY)
    params = {"w": jnp.ones(2)}
    with pytest.raises(ValueError, match="needs the parameters"):
        transformation.update(params, transformation.init(params))


def test_the_state_is_a_pytree_of_the_parameters():
    state = params_ema(DECAY).init({"w": jnp.ones(2), "b": jnp.ones(1)})
    assert [leaf.shape for leaf in jax.tree.leaves(state)] == [(1,), (2,)]
