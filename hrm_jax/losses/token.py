"""Cross-entropy of tokens: stablemax as published for puzzles, or softmax, as for text."""

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Int

from hrm_jax.core.numerics import stablemax_scores
from hrm_jax.core.types import IGNORE_LABEL


def stablemax_cross_entropy(
    logits: Float[Array, "B T V"], labels: Int[Array, "B T"]
) -> Float[Array, "B T"]:
    """`-log p(label)` under stablemax, float32; zero where the label is `IGNORE_LABEL`.

    With r the score of all other tokens over the label's, `-log p = log(1 + r)`. Nothing cancels in
    it, however sure the model is: values and gradients keep a relative error of a few roundings
    for logits up to 1e12, so the originals' float64 is not needed.
    """
    valid = labels != IGNORE_LABEL
    scores = stablemax_scores(logits.astype(jnp.float32))
    is_label = jax.nn.one_hot(jnp.where(valid, labels, 0), logits.shape[-1], dtype=bool)
    label, others = (jnp.where(part, scores, 0).sum(-1) for part in (is_label, ~is_label))
    return jnp.where(valid, jnp.log1p(others / label), 0)


def softmax_cross_entropy(
    logits: Float[Array, "B T V"], labels: Int[Array, "B T"]
) -> Float[Array, "B T"]:
    """`-log p(label)` under softmax, float32; zero where the label is `IGNORE_LABEL`."""
    valid = labels != IGNORE_LABEL
    losses = optax.softmax_cross_entropy_with_integer_labels(
        logits.astype(jnp.float32), jnp.where(valid, labels, 0)
    )
    return jnp.where(valid, losses, 0)


CROSS_ENTROPIES = {"stablemax": stablemax_cross_entropy, "softmax": softmax_cross_entropy}
"""By the distribution that a model's logits stand for."""


def next_token_cross_entropy(
    logits: Float[Array, "B T V"], labels: Int[Array, "B T"]
) -> Float[Array, "B T"]:
    """`-log p` of the label after each token, under softmax, float32.

    Args:
      logits: of the token after each one.
      labels: the tokens themselves, `IGNORE_LABEL` where they are not to be learned, such as the
        tokens of a prefix and the first token of each packed segment.

    Returns:
      The cross-entropy of `labels[:, t + 1]` at t; zero where it is `IGNORE_LABEL`, and at the
      last token. The loss of a text is the sum over the number of labels that count.
    """
    after = jnp.pad(labels[:, 1:], ((0, 0), (0, 1)), constant_values=IGNORE_LABEL)
    return softmax_cross_entropy(logits, after)
