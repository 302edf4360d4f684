"""A language model as the training step takes it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.core.texts import TextBatch
from hrm_jax.models.hrm_text import HrmText, hrm_text
from hrm_jax.models.recurrence import Schedule
from hrm_jax.models.text_step import TextStep

MODEL = HrmText(
    hrm_text(
        "nano",
        vocab_size=13,
        hidden_size=8,
        num_heads=2,
        head_size=4,
        mlp_width=16,
        layers_per_stack=1,
        H_cycles=2,
        L_cycles=2,
    )
)
FULL = Schedule(2, 2, (2, 2))


def batch():
    tokens = jnp.asarray(np.random.default_rng(0).integers(0, 13, (2, 6)), jnp.int32)
    segments = jnp.array([[1, 1, 1, 2, 2, 0], [1] * 6])
    types = jnp.array([[1, 1, 0, 0, 0, 0], [0] * 6])
    return TextBatch(tokens, jnp.roll(tokens, -1, 1), types, segments)


def gradient(schedule):
    step = TextStep(MODEL, schedule)
    variables = MODEL.init(jax.random.key(0))

    def total(params):
        trained = dataclasses.replace(variables, params=params)
        return jnp.sin(step.think(trained, batch())[1].logits).sum()

    return jax.jit(jax.grad(total))(variables.params)


def test_a_step_says_what_the_model_says_and_hands_on_the_labels():
    variables = MODEL.init(jax.random.key(0))
    texts = batch()
    carry, outputs = TextStep(MODEL).think(variables, texts)
    masks = {"token_types": texts.token_types, "segment_ids": texts.segment_ids}
    assert carry is None
    assert jax.tree.leaves(TextStep(MODEL).initial_carry(variables, texts)) == []
    np.testing.assert_array_equal(outputs.logits, MODEL.logits(variables, texts.tokens, **masks))
    np.testing.assert_array_equal(outputs.labels, texts.labels)


def test_a_schedule_moves_the_gradient_border_and_not_the_values():
    few = TextStep(MODEL, Schedule.from_gradient_calls(2, 2, 2))
    all_ = TextStep(MODEL, FULL)
    variables = MODEL.init(jax.random.key(0))
    values = [step.think(variables, batch())[1].logits for step in (few, all_)]
    np.testing.assert_allclose(*values, atol=1e-5)
    differ = jax.tree.map(
        lambda a, b: bool((a != b).any()), gradient(few.schedule), gradient(all_.schedule)
    )
    assert any(jax.tree.leaves(differ))


def test_recomputing_calls_changes_no_gradient():
    kept = gradient(FULL)
    remade = gradient(dataclasses.replace(FULL, recompute=True))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), kept, remade)


@pytest.mark.thorough
def test_recomputing_calls_saves_memory():
    def temporaries(schedule):
        step = TextStep(MODEL, schedule)
        texts = jax.tree.map(lambda x: jnp.tile(x, (32, 32)), batch())
        variables = MODEL.init(jax.random.key(0))

        def total(params):
            trained = dataclasses.replace(variables, params=params)
            return step.think(trained, texts)[1].logits.sum()

        compiled = jax.jit(jax.grad(total)).lower(variables.params).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporaries(dataclasses.replace(FULL, recompute=True)) < 0.7 * temporaries(FULL)


def test_equal_steps_share_a_program():
    assert TextStep(MODEL, FULL) == TextStep(HrmText(MODEL.config), Schedule(2, 2, (2, 2)))
    assert hash(TextStep(MODEL, FULL)) == hash(TextStep(MODEL, FULL))
    assert TextStep(MODEL, FULL) != TextStep(MODEL)
