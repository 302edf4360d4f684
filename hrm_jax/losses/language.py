"""The loss of a language model on packed texts, and what is counted along with it."""

import dataclasses
import math
from collections.abc import Mapping

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hrm_jax.core.types import IGNORE_LABEL, TextOutputs
from hrm_jax.losses.token import softmax_cross_entropy


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class TextMetrics:
    """Sums over the labels that count, float32 scalars.

    Attributes:
      nats: cross-entropy.
      tokens: how many labels there are.
      bytes: of text that they stand for.
      right: labels that were the likeliest token.
    """

    nats: Float[Array, ""]
    tokens: Float[Array, ""]
    bytes: Float[Array, ""]
    right: Float[Array, ""]


def text_metrics(outputs: TextOutputs, token_bytes: Int[Array, " V"]) -> TextMetrics:
    """Returns what `outputs` are worth.

    Args:
      outputs: logits and labels.
      token_bytes: how many bytes of UTF-8 each token adds to a text; 0 for special ones.
    """
    logits = outputs.logits
    labels = outputs.labels
    counted = labels != IGNORE_LABEL
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
    """The mean cross-entropy of a batch's labels, in nats, times B.

    A step divides what it is given by B. Texts fill rows unevenly and prefixes take labels away;
    dividing by the labels that are there keeps every token's weight in a batch the same.

    Args:
      carry: nothing; texts leave none.
      outputs: what the step computed.
      token_bytes: as in `text_metrics`.

    Returns:
      The loss, and the metrics, without gradient.
    """
    del carry
    metrics = text_metrics(outputs, token_bytes)
    loss = metrics.nats / jnp.maximum(metrics.tokens, 1) * outputs.labels.shape[0]
    return loss, jax.lax.stop_gradient(metrics)


def average_text_metrics(sums: Mapping[str, float]) -> dict[str, float]:
    """Averages for people from sums of `TextMetrics` by name.

    Returns:
      `loss` in nats a token, `bits_per_byte`, `accuracy` and the number of `bytes`. Nothing but
      zero bytes where there are no labels.
    """
    if not sums["bytes"]:
        return {"bytes": 0.0}
    return {
        "loss": sums["nats"] / sums["tokens"],
        "bits_per_byte": sums["nats"] / math.log(2) / sums["bytes"],
        "accuracy": sums["right"] / sums["tokens"],
        "bytes": sums["bytes"],
    }
