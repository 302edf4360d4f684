"""The loss of one step of adaptive computation, and its metrics."""

import dataclasses

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from hrm_jax.core.correctness import correctness
from hrm_jax.core.types import IGNORE_LABEL, Carry, Outputs
from hrm_jax.losses.token import CROSS_ENTROPIES


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class Metrics:
    """Sums over the batch, float32 scalars. The first five are over sequences that just halted.

    Attributes:
      count: number of sequences that halted at this step, with at least one label.
      cell_accuracy: sum of their shares of right cells.
      exact_accuracy: number of them that are right in every cell.
      q_halt_accuracy: number of them for which `q_halt_logits` has the right sign.
      steps: sum of the steps they took.
      lm_loss: token loss of all sequences, each averaged over its labels.
      q_halt_loss: cross-entropy of `q_halt_logits` with "the answer is right", all sequences.
      q_continue_loss: cross-entropy of `q_continue_logits` with its target; zero without one.
    """

    count: Float[Array, ""]
    cell_accuracy: Float[Array, ""]
    exact_accuracy: Float[Array, ""]
    q_halt_accuracy: Float[Array, ""]
    steps: Float[Array, ""]
    lm_loss: Float[Array, ""]
    q_halt_loss: Float[Array, ""]
    q_continue_loss: Float[Array, ""]


def act_loss(
    carry: Carry, outputs: Outputs, *, distribution: str = "stablemax"
) -> tuple[Float[Array, ""], Metrics]:
    """Returns the training loss of HRM and TRM, summed over the batch, and the metrics.

    `sum_b mean_t ce + 0.5 * (bce(q_halt, exact) + bce(q_continue, target))`; the last term is
    left out if the model has no Q-continue target.

    Args:
      carry: what the step returned; its `data` holds the labels.
      outputs: what the step computed.
      distribution: a key of `token.CROSS_ENTROPIES`; the published models use stablemax.

    Returns:
      The loss, to be divided by the global batch size, and the metrics, without gradient.
    """
    labels = carry.data.labels
    # At least 1, so that a sequence without labels has a loss of 0 and not NaN.
    num_labels = jnp.maximum((labels != IGNORE_LABEL).sum(-1, keepdims=True), 1)
    lm_loss = (CROSS_ENTROPIES[distribution](outputs.logits, labels) / num_labels).sum()
    # Whether the answer is right is a target of the halting head and passes no gradient on.
    correct = correctness(jax.lax.stop_gradient(outputs.logits), carry.data)
    exact = correct.exact.astype(jnp.float32)
    q_halt_loss = optax.sigmoid_binary_cross_entropy(outputs.q_halt_logits, exact).sum()
    q_continue_loss = jnp.float32(0)
    if outputs.target_q_continue is not None:
        q_continue_loss = optax.sigmoid_binary_cross_entropy(
            outputs.q_continue_logits, outputs.target_q_continue
        ).sum()

    # Only sequences that halt now have a final answer; the others would count at every step.
    counted = carry.halted & correct.labelled
    knew = (outputs.q_halt_logits >= 0) == correct.exact
    metrics = Metrics(
        count=counted.sum(dtype=jnp.float32),
        cell_accuracy=jnp.where(counted, correct.cells, 0).sum(),
        exact_accuracy=(counted & correct.exact).sum(dtype=jnp.float32),
        q_halt_accuracy=(counted & knew).sum(dtype=jnp.float32),
        steps=jnp.where(counted, carry.steps, 0).sum(dtype=jnp.float32),
        lm_loss=lm_loss,
        q_halt_loss=q_halt_loss,
        q_continue_loss=q_continue_loss,
    )
    return lm_loss + 0.5 * (q_halt_loss + q_continue_loss), jax.lax.stop_gradient(metrics)


def average_metrics(sums: dict[str, float], sequences: int) -> dict[str, float]:
    """Averages `Metrics` summed over steps, for display.

    Args:
      sums: the summed fields of `Metrics`.
      sequences: number of sequences times steps in the sums.

    Returns:
      `loss` and its three parts per sequence and step; `halted`, a number of sequences; and if any
      halted, their mean `cell_accuracy`, `exact_accuracy`, `q_halt_accuracy` and `steps`.
    """
    losses = {
        name: sums[name] / sequences for name in ("lm_loss", "q_halt_loss", "q_continue_loss")
    }
    # Weighted as in `act_loss`: what is shown is what is minimised.
    total = losses["lm_loss"] + 0.5 * (losses["q_halt_loss"] + losses["q_continue_loss"])
    averages = {"loss": total, **losses, "halted": sums["count"]}
    if sums["count"]:
        for name in ("cell_accuracy", "exact_accuracy", "q_halt_accuracy", "steps"):
            averages[name] = sums[name] / sums["count"]
    return averages
