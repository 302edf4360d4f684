"""The loss of packed texts against NumPy in float64, and bits per byte by hand."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from hrm_jax.core.texts import TextOutputs
from hrm_jax.core.types import IGNORE_LABEL
from hrm_jax.losses.language import average_text_metrics, language_loss
from hrm_jax.losses.token import softmax_cross_entropy

B = 3
T = 7
V = 11
TOKEN_BYTES = jnp.arange(V) % 4  # special tokens among them, of no bytes


def texts(dtype=np.float32):
    rng = np.random.default_rng(0)
    logits = (4 * rng.standard_normal((B, T, V))).astype(np.float32)
    labels = rng.integers(0, V, (B, T)).astype(np.int32)
    labels[0, :5] = labels[2, 6] = IGNORE_LABEL
    return jnp.asarray(logits, dtype), jnp.asarray(labels)


def float64(logits, labels):
    """The mean cross-entropy, and its gradient."""
    wide = np.asarray(logits, np.float64)
    counted = np.asarray(labels) != IGNORE_LABEL
    probabilities = np.exp(wide) / np.exp(wide).sum(-1, keepdims=True)
    chosen = np.eye(V)[np.where(counted, labels, 0)]
    nats = -np.log((probabilities * chosen).sum(-1))[counted]
    gradient = (probabilities - chosen) * counted[..., None] / counted.sum()
    return nats.mean(), gradient


def loss(logits, labels):
    value, metrics = language_loss(None, TextOutputs(logits, labels), token_bytes=TOKEN_BYTES)
    return value / B, metrics


def test_loss_and_gradient_against_float64():
    logits, labels = texts()
    (value, _), gradient = jax.jit(jax.value_and_grad(loss, has_aux=True))(logits, labels)
    expected, expected_gradient = float64(logits, labels)
    np.testing.assert_allclose(value, expected, rtol=1e-6)
    np.testing.assert_allclose(gradient, expected_gradient, rtol=1e-5, atol=1e-7)


def test_a_cotangent_of_each_token_scales_its_gradient():
    logits, labels = texts()
    weights = jnp.asarray(np.random.default_rng(1).standard_normal((B, T)), jnp.float32)
    pull_back = jax.vjp(lambda x: softmax_cross_entropy(x, labels), logits)[1]
    expected = float64(logits, labels)[1] * (labels != IGNORE_LABEL).sum() * weights[..., None]
    np.testing.assert_allclose(pull_back(weights)[0], expected, rtol=1e-5, atol=1e-6)


def test_bfloat16_logits_have_a_float32_loss_and_a_bfloat16_gradient():
    logits, labels = texts(jnp.bfloat16)
    (value, _), gradient = jax.value_and_grad(loss, has_aux=True)(logits, labels)
    assert (value.dtype, gradient.dtype) == (jnp.float32, jnp.bfloat16)
    np.testing.assert_allclose(value, float64(logits, labels)[0], rtol=1e-6)


def test_the_backward_pass_holds_no_second_copy_of_the_logits():
    shape = (4, 256, 4096)
    logits = jax.ShapeDtypeStruct(shape, jnp.float32)
    labels = jax.ShapeDtypeStruct(shape[:2], jnp.int32)
    gradient = jax.jit(jax.grad(lambda x, y: softmax_cross_entropy(x, y).sum()))
    memory = gradient.lower(logits, labels).compile().memory_analysis()
    assert memory.temp_size_in_bytes < 0.01 * 4 * math.prod(shape)


def test_bits_per_byte_by_hand():
    # The label has probability 1/2, 1/4 and 1/8: 1 + 2 + 3 bits, for 1, 2 and 3 bytes.
    odds = [[1.0, 1.0, 0.0, 0.0], [1.0, 3.0, 0.0, 0.0], [7.0, 0.0, 0.0, 1.0], [1.0, 1.0, 1.0, 1.0]]
    labels = jnp.array([[1, 0, 3, IGNORE_LABEL]])
    outputs = TextOutputs(jnp.log(jnp.array([odds])), labels)
    token_bytes = jnp.array([2, 1, 9, 3])
    _, metrics = language_loss(None, outputs, token_bytes=token_bytes)
    assert [float(x) for x in (metrics.tokens, metrics.bytes)] == [3, 6]
    averages = average_text_metrics({name: float(x) for name, x in vars(metrics).items()})
    assert averages["bits_per_byte"] == pytest.approx((1 + 2 + 3) / 6)
    assert averages["loss"] == pytest.approx(6 * math.log(2) / 3)
    # A tie goes to the first; the likeliest of the second and third is not their label.
    assert averages["accuracy"] == 0


def test_likeliest_labels_are_right():
    logits, _ = texts()
    metrics = loss(logits, logits.argmax(-1).at[0, 0].set(IGNORE_LABEL))[1]
    assert (float(metrics.right), float(metrics.tokens)) == (B * T - 1, B * T - 1)


def test_a_batch_without_labels_has_no_loss():
    logits, labels = texts()
    (value, metrics), gradient = jax.value_and_grad(loss, has_aux=True)(
        logits, jnp.full_like(labels, IGNORE_LABEL)
    )
    assert float(value) == 0
    assert not gradient.any()
    assert average_text_metrics({k: float(v) for k, v in vars(metrics).items()}) == {"bytes": 0.0}


def test_averages_by_hand():
    averages = average_text_metrics({"nats": 12.0, "tokens": 8.0, "bytes": 16.0, "right": 6.0})
    assert averages == pytest.approx(
        {"loss": 1.5, "bits_per_byte": 0.75 / math.log(2), "accuracy": 0.75, "bytes": 16.0}
    )
