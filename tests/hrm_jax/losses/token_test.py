"""Cross-entropies against NumPy in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.core.types import IGNORE_LABEL
from hrm_jax.losses.token import (
    CROSS_ENTROPIES,
    next_token_cross_entropy,
    softmax_cross_entropy,
    stablemax_cross_entropy,
)

TINY = np.finfo(np.float32).tiny  # what is smaller may be flushed to zero
EPSILON = float(np.finfo(np.float32).eps)
# Measured: 2.2 and 3.8 epsilons; a score, a sum, a quotient and a logarithm are rounded.
VALUE_TOLERANCE = 4 * EPSILON
GRADIENT_TOLERANCE = 8 * EPSILON


def float64_scores(logits: np.ndarray) -> np.ndarray:
    x = logits.astype(np.float64)
    return np.where(x >= 0, x + 1, 1 / (1 - np.minimum(x, 0)))


def float64_loss(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    scores = float64_scores(logits)
    chosen = np.eye(logits.shape[-1], dtype=bool)[labels]
    return np.log1p(np.where(chosen, 0, scores).sum(-1) / (scores * chosen).sum(-1))


def float64_gradient(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """`s'/s * (p - [label])`, where s'/s is `1 / (1 + |x|)`; 1 - p is summed, not subtracted."""
    scores = float64_scores(logits)
    chosen = np.eye(logits.shape[-1], dtype=bool)[labels]
    total = scores.sum(-1, keepdims=True)
    others = np.where(chosen, 0, scores).sum(-1, keepdims=True)
    slope = 1 / (1 + np.abs(logits.astype(np.float64)))
    return slope * np.where(chosen, -others / total, scores / total)


def puzzles(scale: float, vocabulary: int) -> tuple[np.ndarray, np.ndarray]:
    """Random logits, some of them exactly 0 and 1, and labels, half of them the likeliest token."""
    rng = np.random.default_rng(0)
    logits = (scale * rng.standard_normal((2, 500, vocabulary))).astype(np.float32)
    logits[0, :20] = 0
    logits[1, :20] = 1
    logits[:, 20:40, ::2] = 0
    labels = rng.integers(vocabulary, size=(2, 500))
    labels[0] = logits[0].argmax(-1)
    return logits, labels


@jax.jit
def losses_and_gradient(logits, labels):
    losses, pull_back = jax.vjp(lambda x: stablemax_cross_entropy(x, labels), logits)
    return losses, pull_back(jnp.ones_like(losses))[0]


@pytest.mark.parametrize("vocabulary", [2, 11, 1000])
@pytest.mark.parametrize("scale", [1e-3, 1, 1e2, 1e4, 1e12])
def test_float32_is_a_few_roundings_from_float64(scale, vocabulary):
    logits, labels = puzzles(scale, vocabulary)
    losses, gradient = losses_and_gradient(logits, labels)
    np.testing.assert_allclose(losses, float64_loss(logits, labels), rtol=VALUE_TOLERANCE)
    np.testing.assert_allclose(
        gradient, float64_gradient(logits, labels), rtol=GRADIENT_TOLERANCE, atol=TINY
    )


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0])
def test_gradient_where_the_branches_meet(value):
    """Equal logits: p is 1/4, and the slope of log s is `1 / (1 + |x|)` on either side."""
    logits = np.full((1, 1, 4), value, np.float32)
    _, gradient = losses_and_gradient(logits, np.array([[0]]))
    slope = 1 / (1 + abs(value))
    np.testing.assert_allclose(gradient[0, 0], slope * np.array([-0.75, 0.25, 0.25, 0.25]))


def test_ignored_labels_have_no_loss_and_no_gradient():
    logits, labels = puzzles(1.0, 11)
    labels[:, ::3] = IGNORE_LABEL
    losses, gradient = losses_and_gradient(logits, labels)
    ignored = labels == IGNORE_LABEL
    assert (losses[ignored] == 0).all()
    assert (gradient[ignored] == 0).all()
    assert (losses[~ignored] > 0).all()


def test_bfloat16_logits_are_computed_in_float32():
    logits, labels = puzzles(1.0, 11)
    narrow = jnp.asarray(logits, jnp.bfloat16)
    losses, _ = losses_and_gradient(narrow, labels)
    assert losses.dtype == jnp.float32
    expected = float64_loss(np.asarray(narrow, np.float32), labels)
    np.testing.assert_allclose(losses, expected, rtol=VALUE_TOLERANCE)


def test_softmax_against_float64():
    rng = np.random.default_rng(3)
    logits = (30 * rng.standard_normal((4, 6, 11))).astype(np.float32)
    labels = rng.integers(0, 11, (4, 6)).astype(np.int32)
    labels[0, 2] = labels[3, 5] = IGNORE_LABEL
    wide = logits.astype(np.float64)
    log_sum = np.log(np.exp(wide - wide.max(-1, keepdims=True)).sum(-1)) + wide.max(-1)
    chosen = np.take_along_axis(wide, np.maximum(labels, 0)[..., None], axis=-1)[..., 0]
    expected = np.where(labels == IGNORE_LABEL, 0, log_sum - chosen)
    found = CROSS_ENTROPIES["softmax"](jnp.asarray(logits), jnp.asarray(labels))
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_next_token_loss_is_of_the_label_after():
    rng = np.random.default_rng(0)
    logits = rng.standard_normal((2, 6, 9)).astype(np.float32)
    labels = rng.integers(0, 9, (2, 6))
    labels[0, :3] = IGNORE_LABEL
    expected = np.zeros((2, 6))
    for b, t in np.ndindex(2, 5):
        if labels[b, t + 1] != IGNORE_LABEL:
            wide = logits[b, t].astype(np.float64)
            expected[b, t] = np.log(np.exp(wide).sum()) - wide[labels[b, t + 1]]
    found = jax.jit(next_token_cross_entropy)(logits, labels)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
    assert not found[0, :2].any()
    assert not found[:, -1].any()


def test_next_token_loss_of_bfloat16_logits_is_float32():
    found = next_token_cross_entropy(jnp.zeros((1, 2, 4), jnp.bfloat16), jnp.zeros((1, 2), int))
    assert found.dtype == jnp.float32
    np.testing.assert_allclose(found, [[np.log(4), 0]], rtol=1e-6)


def float64_softmax_gradient(logits, labels):
    """`p - [label]`, zero where the label is ignored."""
    wide = logits.astype(np.float64)
    p = np.exp(wide - wide.max(-1, keepdims=True))
    p /= p.sum(-1, keepdims=True)
    counted = labels != IGNORE_LABEL
    return (p - np.eye(logits.shape[-1])[np.where(counted, labels, 0)]) * counted[..., None]


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("scale", [0.1, 1.0, 30.0])
def test_softmax_gradient_against_float64_with_random_cotangents(scale, dtype):
    rng = np.random.default_rng(4)
    logits = jnp.asarray(scale * rng.standard_normal((3, 7, 11)), dtype)
    labels = rng.integers(0, 11, (3, 7)).astype(np.int32)
    labels[0, 2] = labels[2, 6] = IGNORE_LABEL
    cotangents = rng.standard_normal((3, 7)).astype(np.float32)
    _, pull_back = jax.vjp(lambda x: softmax_cross_entropy(x, jnp.asarray(labels)), logits)
    (found,) = pull_back(jnp.asarray(cotangents))
    assert found.dtype == dtype
    exact = float64_softmax_gradient(np.asarray(logits, np.float32), labels)
    tolerance = 1e-6 if dtype == jnp.float32 else 2**-8  # half a unit in bfloat16's last place
    np.testing.assert_allclose(
        np.asarray(found, np.float32), exact * cotangents[..., None], rtol=tolerance, atol=2e-6
    )
    ignored = labels == IGNORE_LABEL
    assert not np.asarray(found, np.float32)[ignored].any()


def test_softmax_gradient_by_hand():
    """Three equal logits: p is 1/3 each; the cotangent is 6."""
    _, pull_back = jax.vjp(
        lambda x: softmax_cross_entropy(x, jnp.array([[2]])), jnp.zeros((1, 1, 3))
    )
    np.testing.assert_allclose(pull_back(jnp.full((1, 1), 6.0))[0], [[[2, 2, -4]]], rtol=1e-6)
