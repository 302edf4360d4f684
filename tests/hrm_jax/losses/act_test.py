"""The loss of a step and its metrics, worked out by hand."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.core.types import IGNORE_LABEL, Batch, Carry, Latents, Outputs
from hrm_jax.losses import act
from hrm_jax.losses.act import average_metrics
from hrm_jax.losses.token import stablemax_cross_entropy

B = 4
T = 3
V = 5
LABELS = np.array([[1, 2, 3], [1, 2, IGNORE_LABEL], [4, 4, 4], [IGNORE_LABEL] * 3], np.int32)
PROPOSALS = np.array([[1, 2, 3], [1, 0, 2], [0, 4, 0], [1, 1, 1]])  # right: 3/3, 1/2, 1/3, 0/0
Q_HALT = np.array([2.0, -1.0, 0.5, 3.0], np.float32)
Q_CONTINUE = np.array([0.5, -0.5, 1.0, -2.0], np.float32)
TARGET = np.array([0.9, 0.2, 0.5, 0.4], np.float32)
STEPS = np.array([3, 5, 7, 2], np.int32)
HALTED = np.array([True, True, False, True])


act_loss = jax.jit(act.act_loss)


def step(target=TARGET) -> tuple[Carry, Outputs]:
    """What a step returned: the proposals' logits stand out by 2."""
    logits = 2.0 * jax.nn.one_hot(PROPOSALS, V)
    batch = Batch(jnp.zeros((B, T), jnp.int32), jnp.asarray(LABELS), jnp.zeros(B, jnp.int32))
    latents = Latents(jnp.zeros((B, T, 2)), jnp.zeros((B, T, 2)))
    carry = Carry(latents, jnp.asarray(STEPS), jnp.asarray(HALTED), batch)
    target = None if target is None else jnp.asarray(target)
    return carry, Outputs(logits, jnp.asarray(Q_HALT), jnp.asarray(Q_CONTINUE), target)


def binary_cross_entropy(logits: np.ndarray, targets: np.ndarray) -> float:
    p = 1 / (1 + np.exp(-logits.astype(np.float64)))
    return float(-(targets * np.log(p) + (1 - targets) * np.log(1 - p)).sum())


def test_metrics_count_labelled_sequences_that_halted():
    """These are the first two; the third goes on, the fourth has no labels."""
    _, metrics = act_loss(*step())
    assert metrics.count == 2
    assert metrics.cell_accuracy == 1 + 1 / 2
    assert metrics.exact_accuracy == 1
    assert metrics.q_halt_accuracy == 2  # 2 > 0 and right, -1 < 0 and wrong
    assert metrics.steps == 3 + 5


def test_token_loss_is_averaged_over_labels_and_summed_over_sequences():
    carry, outputs = step()
    losses = np.asarray(stablemax_cross_entropy(outputs.logits, carry.data.labels))
    expected = losses[0].sum() / 3 + losses[1].sum() / 2 + losses[2].sum() / 3
    np.testing.assert_allclose(act_loss(carry, outputs)[1].lm_loss, expected, rtol=1e-6)


def test_halting_losses():
    _, metrics = act_loss(*step())
    exact = np.array([1, 0, 0, 1])
    np.testing.assert_allclose(metrics.q_halt_loss, binary_cross_entropy(Q_HALT, exact), rtol=1e-6)
    np.testing.assert_allclose(
        metrics.q_continue_loss, binary_cross_entropy(Q_CONTINUE, TARGET), rtol=1e-6
    )


@pytest.mark.parametrize("target", [TARGET, None], ids=["hrm", "trm"])
def test_loss_is_the_weighted_sum(target):
    loss, metrics = act_loss(*step(target))
    expected = metrics.lm_loss + 0.5 * (metrics.q_halt_loss + metrics.q_continue_loss)
    np.testing.assert_allclose(loss, expected, rtol=1e-6)
    assert (metrics.q_continue_loss == 0) == (target is None)


def test_exactness_is_a_constant_to_the_gradient():
    """Q-halt gets half the sigmoid's error; the logits the token loss's gradient alone."""
    carry, outputs = step()
    loss = jax.grad(lambda outputs: act_loss(carry, outputs)[0])(outputs)
    sigmoid = 1 / (1 + np.exp(-Q_HALT.astype(np.float64)))
    np.testing.assert_allclose(loss.q_halt_logits, 0.5 * (sigmoid - [1, 0, 0, 1]), rtol=1e-6)

    def token_loss(logits):
        losses = stablemax_cross_entropy(logits, carry.data.labels).sum(-1)
        return (losses / jnp.array([3, 2, 3, 1])).sum()

    np.testing.assert_allclose(
        loss.logits, jax.jit(jax.grad(token_loss))(outputs.logits), rtol=1e-6
    )


def test_metrics_carry_no_gradient():
    carry, outputs = step()
    metrics = jax.grad(lambda outputs: sum(jax.tree.leaves(act_loss(carry, outputs)[1])))(outputs)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(metrics))


def test_averages_are_per_sequence_and_per_halted_sequence():
    _, metrics = act_loss(*step())
    sums = {
        field.name: float(getattr(metrics, field.name)) for field in dataclasses.fields(metrics)
    }
    averages = average_metrics(sums, sequences=B)
    np.testing.assert_allclose(averages["loss"], act_loss(*step())[0] / B, rtol=1e-6)
    assert averages["halted"] == 2
    assert averages["exact_accuracy"] == 1 / 2
    assert averages["steps"] == 4


def test_averages_without_halted_sequences_have_no_accuracy():
    averages = average_metrics(
        dict.fromkeys(("lm_loss", "q_halt_loss", "q_continue_loss"), 1.0) | {"count": 0.0},
        sequences=2,
    )
    assert averages == {
        "loss": 1.0,
        "lm_loss": 0.5,
        "q_halt_loss": 0.5,
        "q_continue_loss": 0.5,
        "halted": 0.0,
    }
