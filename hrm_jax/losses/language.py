"""The loss of a language model on packed texts, and its metrics."""

import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hrm_jax.core.texts import TextOutputs
from hrm_jax.core.types import IGNORE_LABEL
from hrm_jax.losses.token import softmax_cross_entropy


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TextMetrics:
    """Sums over the labels that are not `IGNORE_LABEL`, float32 scalars.

    Attributes:
      nats: cross-entropy.
      tokens: number of labels.
      bytes: bytes of the text that they stand for.
      right: number of labels that were the likeliest token.
    """

    nats: Float[Array, ""]
    tokens: Float[Array, ""]
    bytes: Float[Array, ""]
    right: Float[Array, ""]


def text_metrics(outputs: TextOutputs, token_bytes: Int[Array, " V"]) -> TextMetrics:
    """Returns the metrics of a step's outputs.

    Args:
      outputs: logits and labels.
      token_bytes: number of UTF-8 bytes that each token adds to a text; 0 for special ones.
    """
    logits = outputs.logits
    labels = outputs.labels
    counted = labels != IGNORE_LABEL
    # Ignored labels are negative, which indexing would take from the end: 0 stands for them.
    lengths = jnp.where(counted, token_bytes[jnp.where(counted, labels, 0)], 0)
    likeliest = jax.lax.stop_gradient(logits).argmax(-1)
    return TextMetrics(
        nats=softmax_cross_entropy(logits, labels).sum(),
        tokens=counted.sum(dtype=jnp.float32),
        bytes=lengths.sum(dtype=jnp.float32),
        right=(counted & (likeliest == labels)).sum(dtype=jnp.float32),
    )


def language_loss(
    carry: None, outputs: TextOutputs, *, token_bytes: Int[Array, " V"]
) -> tuple[Float[Array, ""], TextMetrics]:
    """Returns the mean cross-entropy of a batch's labels, in nats, times B; and the metrics.

    The training step divides the loss by B. Texts fill rows unevenly and prefixes have no labels;
    with the mean over labels, every token of a batch has the same weight.

    Args:
      carry: None, as texts leave no carry.
      outputs: what the step computed.
      token_bytes: as in `text_metrics`.

    Returns:
      The loss, and the metrics, without gradient.
    """
    del carry
    metrics = text_metrics(outputs, token_bytes)
    # At least 1, as a batch may have no labels.
    loss = metrics.nats / jnp.maximum(metrics.tokens, 1) * outputs.labels.shape[0]
    return loss, jax.lax.stop_gradient(metrics)


def average_text_metrics(sums: Mapping[str, float]) -> dict[str, float]:
    """Averages sums of `TextMetrics` for display.

    Returns:
      `loss` in nats per token, `bits_per_byte`, `accuracy`, and the number of `bytes`; without
      labels only `bytes`, which is 0.
    """
    if not sums["bytes"]:
        return {"bytes": 0.0}
    return {
        "loss": sums["nats"] / sums["tokens"],
        "bits_per_byte": sums["nats"] / math.log(2) / sums["bytes"],
        "accuracy": sums["right"] / sums["tokens"],
        "bytes": sums["bytes"],
    }
