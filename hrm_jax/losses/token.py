"""Cross-entropy of tokens: under stablemax, as published for puzzles, or softmax, as for text."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from hrm_jax.core.numerics import stablemax_scores
from hrm_jax.core.types import IGNORE_LABEL


def stablemax_cross_entropy(
    logits: Float[Array, "B T V"], labels: Int[Array, "B T"]
) -> Float[Array, "B T"]:
    """Returns `-log p(label)` under stablemax, float32; zero where the label is `IGNORE_LABEL`.

    With r the scores of all other tokens over the label's, `-log p = log(1 + r)`. Nothing cancels
    in it however confident the model is: values and gradients keep a relative error of a few
    roundings for logits up to 1e12, so the originals' float64 is not needed.
    """
    valid = labels != IGNORE_LABEL
    scores = stablemax_scores(logits.astype(jnp.float32))
    # A masked sum and not a gather, whose derivative would be a scatter into the logits.
    is_label = jax.nn.one_hot(jnp.where(valid, labels, 0), logits.shape[-1], dtype=bool)
    # The others are summed without the label: a total minus the label's score would cancel.
    label, others = (jnp.where(part, scores, 0).sum(-1) for part in (is_label, ~is_label))
    return jnp.where(valid, jnp.log1p(others / label), 0)


@jax.custom_vjp
def softmax_cross_entropy(
    logits: Float[Array, "B T V"], labels: Int[Array, "B T"]
) -> Float[Array, "B T"]:
    """Returns `-log p(label)` under softmax, float32; zero where the label is `IGNORE_LABEL`.

    The only residual of size V is the logits themselves, in their own dtype. No float32 copy of
    float32 logits is made, and at most one of narrower ones (XLA on CPU makes it).
    """
    return _softmax_forward(logits, labels)[0]


def _softmax_forward(logits: Array, labels: Array) -> tuple[Array, tuple[Array, Array, Array]]:
    """Returns the losses; and as residuals logits, labels and log partition sums."""
    valid = labels != IGNORE_LABEL
    log_sums = jax.nn.logsumexp(logits.astype(jnp.float32), axis=-1)
    # Ignored labels are negative: token 0 stands in, and its loss is dropped below.
    places = jnp.where(valid, labels, 0)[..., None]
    chosen = jnp.take_along_axis(logits, places, axis=-1)[..., 0].astype(jnp.float32)
    return jnp.where(valid, log_sums - chosen, 0), (logits, labels, log_sums)


def _softmax_backward(kept: tuple[Array, Array, Array], cotangent: Array) -> tuple[Array, None]:
    """Returns the logits' cotangent, `(p - [label]) * cotangent`, in their dtype."""
    logits, labels, log_sums = kept
    scale = jnp.where(labels != IGNORE_LABEL, cotangent, 0)[..., None]
    is_label = jnp.arange(logits.shape[-1])[None, None] == labels[..., None]
    # Recomputed from the log-sum: keeping them would hold a float32 array of size V.
    probabilities = jnp.exp(logits.astype(jnp.float32) - log_sums[..., None])
    return ((probabilities - is_label) * scale).astype(logits.dtype), None


softmax_cross_entropy.defvjp(_softmax_forward, _softmax_backward)


CROSS_ENTROPIES = {"stablemax": stablemax_cross_entropy, "softmax": softmax_cross_entropy}
"""Cross-entropies by the name of the distribution that a model's logits stand for."""


def next_token_cross_entropy(
    logits: Float[Array, "B T V"], labels: Int[Array, "B T"]
) -> Float[Array, "B T"]:
    """Returns `-log p` of the label after each token, under softmax, float32.

    Args:
      logits: of the token after each one.
      labels: the tokens themselves, or `IGNORE_LABEL` where they are not to be learned, such as in
        a prefix, and at the first token of each packed segment.

    Returns:
      The cross-entropy of `labels[:, t + 1]` at t; zero where that is `IGNORE_LABEL`, and at the
      last token. A text's loss is their sum over the number of labels that are not ignored.
    """
    # Nothing comes after the last token, so it has no label.
    after = jnp.pad(labels[:, 1:], ((0, 0), (0, 1)), constant_values=IGNORE_LABEL)
    return softmax_cross_entropy(logits, after)
