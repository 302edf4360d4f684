"""Adaptive computation time: who thinks on, who halts, and what is learnt from it."""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.core.types import IGNORE_LABEL, Batch, Carry, Outputs, Variables
from hrm_jax.losses.act import act_loss
from hrm_jax.models.puzzle_config import PuzzleModelConfig, hrm, trm
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.training.step import compute_gradients

B = 4
T = 5
NUM_ROWS = 3
WIDTH = 6
SIZES = {
    "seq_len": T,
    "num_puzzle_identifiers": NUM_ROWS,
    "puzzle_emb_ndim": WIDTH,
    "hidden_size": 8,
    "num_heads": 2,
    "expansion": 1.0,
    "L_layers": 1,
    "halt_max_steps": 4,
    "halt_exploration_prob": 0.0,
}
HRM = hrm(**SIZES, H_layers=1)
TRM = trm(**SIZES, puzzle_emb_len=2)
KEY = jax.random.key(7)


def batch_of(seed: int, size: int = B) -> Batch:
    rng = np.random.default_rng(seed)
    tokens = rng.integers(1, 11, (2, size, T)).astype(np.int32)
    identifiers = rng.integers(0, NUM_ROWS, size).astype(np.int32)
    return Batch(*(jnp.asarray(x) for x in (*tokens, identifiers)))


@functools.cache
def variables_of(config: PuzzleModelConfig) -> Variables:
    """Random values for everything, the Q head and the puzzle rows included."""
    rng = np.random.default_rng(0)

    def draw(leaf):
        values = rng.standard_normal(leaf.shape) * leaf.shape[0] ** -0.5
        return jnp.asarray(values, leaf.dtype)

    return jax.tree.map(draw, jax.eval_shape(PuzzleModel(config).init, KEY))


def saying(config: PuzzleModelConfig, q_halt: float, q_continue: float) -> Variables:
    """Variables whose Q head always says the same."""
    variables = variables_of(config)
    params = jax.tree.map(lambda x: x, variables.params)
    params["q_head"]["kernel"][...] = jnp.zeros((config.hidden_size, 2))
    params["q_head"]["bias"][...] = jnp.array([q_halt, q_continue], jnp.float32)
    return dataclasses.replace(variables, params=params)


@functools.partial(jax.jit, static_argnums=0)
def step(config, variables, carry, batch, key=None) -> tuple[Carry, Outputs]:
    return PuzzleModel(config).step(variables, carry, batch, key=key)


def start(config: PuzzleModelConfig, batch: Batch) -> Carry:
    return PuzzleModel(config).initial_carry(variables_of(config), batch)


def halted_after(config: PuzzleModelConfig, variables: Variables, steps_done, key) -> np.ndarray:
    """Who has halted after one more step in training, by the steps that each has done before."""
    batch = batch_of(0, len(steps_done))
    carry = dataclasses.replace(
        start(config, batch), steps=jnp.asarray(steps_done), halted=jnp.zeros(len(steps_done), bool)
    )
    return np.asarray(step(config, variables, carry, batch, key)[0].halted)


def test_all_sequences_start_with_a_new_puzzle():
    batch = batch_of(0)
    carry = start(HRM, batch)
    assert carry.halted.all()
    after, _ = step(HRM, variables_of(HRM), carry, batch)
    jax.tree.map(np.testing.assert_array_equal, after.data, batch)
    np.testing.assert_array_equal(after.steps, [1] * B)


def test_halted_sequences_take_new_puzzles_and_others_go_on():
    """Each row of a mixed step equals the same row of a step in which all start, or all go on."""
    variables = variables_of(HRM)
    old = batch_of(0)
    new = batch_of(1)
    carry, _ = step(HRM, variables, start(HRM, old), old)
    halted = jnp.array([True, False, True, False])
    mixed = step(HRM, variables, dataclasses.replace(carry, halted=halted), new)
    fresh = step(HRM, variables, start(HRM, new), new)
    going_on = step(HRM, variables, carry, new)

    def check(mixed, fresh, going_on):
        keep = np.asarray(halted).reshape(-1, *[1] * (mixed.ndim - 1))
        np.testing.assert_allclose(mixed, np.where(keep, fresh, going_on), atol=1e-6)

    jax.tree.map(check, mixed, fresh, going_on)
    np.testing.assert_array_equal(mixed[0].steps, [1, 2, 1, 2])
    np.testing.assert_array_equal(mixed[0].data.inputs[1], old.inputs[1])
    np.testing.assert_array_equal(mixed[0].data.inputs[0], new.inputs[0])


def test_fresh_sequences_do_not_see_the_old_state():
    """Not even where it is NaN."""
    batch = batch_of(0)
    carry = start(HRM, batch)
    spoilt = dataclasses.replace(
        carry, latents=jax.tree.map(lambda z: jnp.full_like(z, jnp.nan), carry.latents)
    )
    found, expected = (step(HRM, variables_of(HRM), c, batch) for c in (spoilt, carry))
    jax.tree.map(np.testing.assert_array_equal, found, expected)


def test_evaluation_runs_every_step_whatever_the_q_head_says():
    variables = saying(HRM, 9, -9)
    batch = batch_of(0)
    carry = start(HRM, batch)
    for number in range(1, HRM.halt_max_steps + 1):
        carry, outputs = step(HRM, variables, carry, batch)
        np.testing.assert_array_equal(carry.steps, [number] * B)
        np.testing.assert_array_equal(carry.halted, [number == HRM.halt_max_steps] * B)
        assert outputs.target_q_continue is None


@pytest.mark.parametrize(
    ("config", "q_halt", "q_continue", "halts"),
    [
        (HRM, -1, -2, True),  # HRM compares the two
        (HRM, 1, 2, False),
        (HRM, 1, 1, False),
        (TRM, 1, 2, True),  # TRM looks at the sign of the first
        (TRM, -1, -2, False),
        (TRM, 0, -2, False),
    ],
)
def test_in_training_the_q_head_decides_before_the_last_step(config, q_halt, q_continue, halts):
    halted = halted_after(config, saying(config, q_halt, q_continue), [0, 1, 2, 3], KEY)
    np.testing.assert_array_equal(halted, [halts, halts, halts, True])


@pytest.mark.parametrize("probability", [0.3, 1.0])
def test_exploration_draws_a_minimum_of_steps(probability):
    """All want to halt. Explorers draw a minimum from {2, 3, 4}: none halts at step 1, a third has
    its minimum behind it at step 2, two thirds at step 3, all at step 4.
    """
    config = dataclasses.replace(HRM, halt_exploration_prob=probability)
    sequences = 1000
    halted = halted_after(config, saying(config, 9, -9), np.arange(4).repeat(sequences), KEY)
    shares = halted.reshape(4, sequences).mean(1)
    expected = 1 - probability * np.array([1, 2 / 3, 1 / 3, 0])
    sampling_error = np.sqrt(expected * (1 - expected) / sequences)
    assert (np.abs(shares - expected) <= 5 * sampling_error).all()


def test_exploration_follows_the_key():
    config = dataclasses.replace(HRM, halt_exploration_prob=0.3)
    keys = (jax.random.key(seed) for seed in (0, 0, 1))
    first, again, other = (
        halted_after(config, saying(config, 9, -9), np.zeros(4000, int), key) for key in keys
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()


def test_with_one_step_there_is_nothing_to_decide():
    config = dataclasses.replace(HRM, halt_max_steps=1, halt_exploration_prob=1.0)
    batch = batch_of(0)
    carry, outputs = step(config, saying(config, -9, 9), start(config, batch), batch, KEY)
    assert carry.halted.all()
    assert outputs.target_q_continue is None


@pytest.mark.parametrize("steps_done", [0, 2, 3])
def test_target_is_what_a_second_step_says(steps_done):
    """The better of the two values there; at the last step only halting is left."""
    variables = variables_of(HRM)
    batch = batch_of(0)
    carry, _ = step(HRM, variables, start(HRM, batch), batch)
    carry = dataclasses.replace(carry, steps=jnp.full(B, steps_done))
    after, outputs = step(HRM, variables, carry, batch, KEY)
    going_on = dataclasses.replace(after, halted=jnp.zeros(B, bool))
    _, second = step(HRM, variables, going_on, batch)
    value = second.q_halt_logits
    if steps_done + 1 < HRM.halt_max_steps:
        value = np.maximum(value, second.q_continue_logits)
        assert (second.q_continue_logits > second.q_halt_logits).any()
    np.testing.assert_allclose(outputs.target_q_continue, jax.nn.sigmoid(value), rtol=1e-5)


def test_without_q_continue_there_is_no_target():
    batch = batch_of(0)
    _, outputs = step(TRM, variables_of(TRM), start(TRM, batch), batch, KEY)
    assert outputs.target_q_continue is None


def test_neither_carry_nor_target_carry_gradient():
    variables = variables_of(HRM)
    batch = batch_of(0)
    carry = start(HRM, batch)

    def loss(params):
        trained = dataclasses.replace(variables, params=params)
        new_carry, outputs = PuzzleModel(HRM).step(trained, carry, batch, key=KEY)
        latents = new_carry.latents
        return latents.z_H.sum() + (latents.z_L**2).sum() + outputs.target_q_continue.sum()

    for leaf in jax.tree.leaves(jax.jit(jax.grad(loss))(variables.params)):
        np.testing.assert_array_equal(leaf, np.zeros_like(leaf))


def test_gradient_of_row_offsets_sums_to_that_of_the_table():
    """Two sequences share a row, whose gradient in the table is the sum of theirs."""
    variables = variables_of(HRM)
    batch = dataclasses.replace(batch_of(0), puzzle_identifiers=jnp.array([2, 0, 2, 1]))
    carry = start(HRM, batch)
    grads, _, _ = jax.jit(functools.partial(compute_gradients, PuzzleModel(HRM), act_loss))(
        variables, carry, batch, KEY
    )
    reasoner_loss = functools.partial(dense_table_loss, variables, carry, batch)
    expected = jax.jit(jax.grad(reasoner_loss))(variables.puzzle_rows)
    found = jnp.zeros((NUM_ROWS, WIDTH)).at[grads.rows.identifiers].add(grads.rows.values)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-6 * np.abs(expected).max())
    assert (np.abs(expected).max(-1) > 0).all()


def dense_table_loss(variables: Variables, carry: Carry, batch: Batch, table):
    """The loss as a function of the whole table, which reaches the step as rows in use."""
    frozen = dataclasses.replace(variables, puzzle_rows=jnp.zeros_like(table))
    rows = table[batch.puzzle_identifiers]
    new_carry, outputs = PuzzleModel(HRM).step(frozen, carry, batch, key=KEY, row_offsets=rows)
    return act_loss(new_carry, outputs)[0] / B


def test_the_table_itself_gets_no_gradient():
    variables = variables_of(HRM)
    batch = batch_of(0)
    carry = start(HRM, batch)

    def loss(table):
        trained = dataclasses.replace(variables, puzzle_rows=table)
        return act_loss(*PuzzleModel(HRM).step(trained, carry, batch))[0]

    np.testing.assert_array_equal(
        jax.jit(jax.grad(loss))(variables.puzzle_rows), np.zeros((NUM_ROWS, WIDTH))
    )


def test_puzzles_with_other_rows_are_answered_differently():
    variables = variables_of(HRM)
    batch = batch_of(0)
    other = dataclasses.replace(batch, puzzle_identifiers=(batch.puzzle_identifiers + 1) % NUM_ROWS)
    found, changed = (step(HRM, variables, start(HRM, b), b)[1].logits for b in (batch, other))
    assert np.abs(found - changed).max() > 1e-2


def test_bfloat16_stays_close_to_float32():
    """Activations are bfloat16, parameters float32."""
    narrow = dataclasses.replace(HRM, compute_dtype="bfloat16")
    variables = variables_of(HRM)
    batch = batch_of(0)
    carry, outputs = step(narrow, variables, start(narrow, batch), batch, KEY)
    expected, expected_outputs = step(HRM, variables, start(HRM, batch), batch, KEY)
    assert {z.dtype for z in jax.tree.leaves(carry.latents)} == {jnp.dtype("bfloat16")}
    assert outputs.logits.dtype == jnp.bfloat16
    assert outputs.q_halt_logits.dtype == jnp.float32
    initial = jax.eval_shape(PuzzleModel(narrow).init, KEY)
    assert {p.dtype for p in jax.tree.leaves(initial)} == {jnp.dtype("float32")}
    for found, exact in (
        (carry.latents.z_H, expected.latents.z_H),
        (carry.latents.z_L, expected.latents.z_L),
        (outputs.logits, expected_outputs.logits),
    ):
        exact = np.asarray(exact, np.float64)
        error = np.asarray(found, np.float64) - exact
        # One rounding is 2^-9 = 0.2 %; six calls of narrow random blocks make it 2 %.
        assert 0 < np.sqrt((error**2).mean() / (exact**2).mean()) < 0.05


def compile_training_step(H_cycles: int):
    config = dataclasses.replace(HRM, H_cycles=H_cycles)
    variables = jax.eval_shape(PuzzleModel(config).init, KEY)
    batch = jax.eval_shape(lambda: batch_of(0))
    carry = jax.eval_shape(PuzzleModel(config).initial_carry, variables, batch)
    compute = functools.partial(compute_gradients, PuzzleModel(config), act_loss)
    return jax.jit(compute).lower(variables, carry, batch, KEY).compile()


def test_neither_program_nor_memory_of_training_grows_with_the_cycles():
    few, many = (compile_training_step(cycles) for cycles in (3, 8))
    sizes = [program.memory_analysis().temp_size_in_bytes for program in (few, many)]
    assert sizes[0] == sizes[1] > 0
    lines = [program.as_text().count("\n") for program in (few, many)]
    assert abs(lines[1] - lines[0]) <= 0.01 * lines[0]


def test_those_who_are_right_can_halt_whatever_the_head_says():
    config = dataclasses.replace(HRM, halt_when_right=True)
    variables = saying(config, -5.0, 5.0)
    batch = batch_of(0)
    carry = start(config, batch)
    _, outputs = step(config, variables, carry, batch, KEY)
    right = outputs.logits.argmax(-1).astype(jnp.int32)
    labels = right.at[1, 0].add(1).at[2, 3].set(IGNORE_LABEL)  # row 1 is wrong, row 2 is not judged
    halted = step(config, variables, carry, dataclasses.replace(batch, labels=labels), KEY)[
        0
    ].halted
    np.testing.assert_array_equal(halted, [True, False, True, True])


def test_noise_disturbs_those_who_start_and_no_others():
    noisy = dataclasses.replace(HRM, initial_noise=0.5)
    variables = variables_of(HRM)
    batch = batch_of(0)
    carry, _ = step(HRM, variables, start(HRM, batch), batch, KEY)
    carry = dataclasses.replace(carry, halted=jnp.array([True, False, False, True]))
    plain, disturbed = (
        np.asarray(step(config, variables, carry, batch, KEY)[1].logits) for config in (HRM, noisy)
    )
    np.testing.assert_array_equal(plain[1:3], disturbed[1:3])
    assert (plain[0] != disturbed[0]).any()
    assert (plain[3] != disturbed[3]).any()


def test_evaluation_and_other_keys_know_their_noise():
    noisy = dataclasses.replace(HRM, initial_noise=0.5)
    variables = variables_of(HRM)
    batch = batch_of(0)
    found = {
        name: np.asarray(step(noisy, variables, start(noisy, batch), batch, key)[1].logits)
        for name, key in {"none": None, "one": KEY, "same": KEY, "other": jax.random.key(8)}.items()
    }
    plain = step(HRM, variables, start(HRM, batch), batch)[1].logits
    np.testing.assert_array_equal(found["none"], plain)
    np.testing.assert_array_equal(found["one"], found["same"])
    assert (found["one"] != found["other"]).any()
