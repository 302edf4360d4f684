"""One training step: what it changes, and what it depends on."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.core.types import Batch
from hrm_jax.losses.act import act_loss
from hrm_jax.models.puzzle_config import hrm
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.training.first_state import init_state
from hrm_jax.training.optimizers import OptimConfig, make_optimizers
from hrm_jax.training.step import compute_gradients, make_train_step
from hrm_kernels.jax_versions import AS_USERS

B = 4
T = 5
MODEL = PuzzleModel(
    hrm(
        seq_len=T,
        vocab_size=5,
        hidden_size=8,
        num_heads=2,
        H_layers=1,
        L_layers=1,
        H_cycles=1,
        L_cycles=1,
        num_puzzle_identifiers=4,
        puzzle_emb_ndim=8,
        halt_max_steps=3,
        halt_exploration_prob=0.5,
    )
)
OPTIMIZERS = make_optimizers(
    OptimConfig(warmup_steps=0, ema_decay=0.5, puzzle_emb_weight_decay=0.0), total_steps=4
)


def make_batch(seed):
    rng = np.random.default_rng(seed)
    inputs, labels = rng.integers(1, 5, (2, B, T), np.int32)
    return Batch(jnp.asarray(inputs), jnp.asarray(labels), jnp.asarray([0, 2, 2, 0], jnp.int32))


@pytest.fixture(scope="module")
def step():
    return jax.jit(functools.partial(make_train_step(act_loss, OPTIMIZERS), MODEL))


@pytest.fixture(scope="module")
def states(step):
    """The state before the first step, after it, and after the second."""
    states = [init_state(MODEL, OPTIMIZERS, jax.random.key(0), make_batch(0))]
    for seed in (1, 2):
        states.append(step(states[-1], make_batch(seed))[0])
    return states


def test_steps_are_counted_and_the_key_stays(states):
    assert [int(state.step) for state in states] == [0, 1, 2]
    for state in states:
        assert state.key == states[0].key


def test_a_step_keeps_every_shape_and_type(states):
    # Otherwise the second step would be compiled anew.
    before, after = ([jax.typeof(x) for x in jax.tree.leaves(state)] for state in states[:2])
    assert before == after


def test_every_parameter_moves_and_no_buffer_does(states):
    same = jax.tree.map(lambda a, b: bool((a == b).all()), states[0].variables, states[1].variables)
    assert not any(jax.tree.leaves(same.params))
    assert all(jax.tree.leaves(same.buffers))


def test_only_the_puzzle_rows_of_the_batch_move(states):
    before = states[0].variables.puzzle_rows
    after = states[1].variables.puzzle_rows
    np.testing.assert_array_equal((before != after).any(-1), [True, False, True, False])


def test_the_average_is_of_the_parameters_after_the_step(states):
    average = states[1].averaged_variables
    expected = jax.tree.map(
        lambda a, b: 0.5 * a + 0.5 * b, states[0].variables.params, states[1].variables.params
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), average.params, expected)
    np.testing.assert_array_equal(average.puzzle_rows, states[1].variables.puzzle_rows)


def test_randomness_comes_from_the_key_and_the_step(states, step):
    def halting(**changes):
        # Everything wants to halt, so that exploration alone decides who goes on.
        params = jax.tree.map(jnp.copy, states[0].variables.params)
        params["q_head"]["bias"][...] = jnp.asarray([100.0, -100.0])
        variables = dataclasses.replace(states[0].variables, params=params)
        state = dataclasses.replace(states[0], variables=variables, **changes)
        return tuple(step(state, make_batch(1))[0].carry.halted.tolist())

    assert halting() == halting()
    assert len({halting(key=jax.random.key(seed)) for seed in range(8)}) > 1
    assert len({halting(step=jnp.int32(number)) for number in range(8)}) > 1


def test_gradients_are_those_of_the_mean_over_the_batch(states):
    state = states[0]
    batch = make_batch(1)
    key = jax.random.key(1)

    def mean_loss(params):
        variables = dataclasses.replace(state.variables, params=params)
        return act_loss(*MODEL.step(variables, state.carry, batch, key=key))[0] / B

    # Different programs, as near to each other as their operations are fused alike.
    expected = jax.jit(jax.grad(mean_loss), compiler_options=AS_USERS)(state.variables.params)
    gradients = jax.jit(compute_gradients, static_argnums=(0, 1), compiler_options=AS_USERS)
    found, _, _ = gradients(MODEL, act_loss, state.variables, state.carry, batch, key)
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-8), found.params, expected
    )


def test_row_gradients_belong_to_the_puzzles_in_thought_not_to_the_batch(states):
    carry = dataclasses.replace(
        states[1].carry,
        halted=jnp.asarray([True, False, True, False]),
        data=dataclasses.replace(
            states[1].carry.data, puzzle_identifiers=jnp.asarray([3, 1, 3, 1], jnp.int32)
        ),
    )
    found, _, _ = jax.jit(compute_gradients, static_argnums=(0, 1))(
        MODEL, act_loss, states[1].variables, carry, make_batch(1), jax.random.key(1)
    )
    np.testing.assert_array_equal(found.rows.identifiers, [0, 1, 2, 1])


@pytest.mark.parametrize("parts", [2, 4])
def test_a_batch_in_parts_gives_what_the_whole_gives(states, step, parts):
    in_parts = jax.jit(functools.partial(make_train_step(act_loss, OPTIMIZERS, parts=parts), MODEL))
    # Some sequences go on and others start, in each part, and no part has the same puzzle rows.
    carry = dataclasses.replace(
        states[2].carry,
        halted=jnp.asarray([True, False, False, True]),
        steps=jnp.asarray([3, 1, 2, 3], jnp.int32),
    )
    state = dataclasses.replace(states[2], carry=carry)
    expected = step(state, make_batch(3))
    found = in_parts(state, make_batch(3))
    jax.tree.map(
        functools.partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6),
        jax.tree.map(_plain, found),
        jax.tree.map(_plain, expected),
    )


def _plain(x):
    return jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
