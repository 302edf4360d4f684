"""What is learned: when each task starts in a better plan, how sure that is, and who does it."""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Bool, Float

from hrm_jax.core.graphs import GraphOutputs
from hrm_jax.core.types import Carry
from hrm_jax.planning.hrm import LEAST_DOUBT, MOST_DOUBT


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PlanLabels:
    """What the better plan says; in padding, and where nothing is to be learned, not weighed.

    Attributes:
      move: by how much each task starts later, in units of the horizon; 0 at candidates.
      is_task: where `move` counts.
      chosen: from 0 to 1, whether candidates are chosen; 0 at tasks.
      is_candidate: where `chosen` counts.
    """

    move: Float[Array, "B L"]
    is_task: Bool[Array, "B L"]
    chosen: Float[Array, "B L"]
    is_candidate: Bool[Array, "B L"]


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
class PlanMetrics:
    """Sums over graphs of means over their nodes, and how many graphs there were."""

    graphs: Float[Array, ""]
    order_loss: Float[Array, ""]
    team_loss: Float[Array, ""]
    error: Float[Array, ""]
    distance: Float[Array, ""]


def plan_loss(carry: Carry, outputs: GraphOutputs, /) -> tuple[Float[Array, ""], PlanMetrics]:
    """Returns the loss summed over graphs, and metrics.

    Of starts, the likelihood of a Laplace distribution, whose width is the doubt; of candidates,
    the cross-entropy.
    """
    data: Any = carry.data
    labels: PlanLabels = data.labels
    said = outputs.nodes.astype(jnp.float32)
    error = jnp.abs(said[..., 0] - labels.move)
    doubt = jnp.clip(said[..., 1], LEAST_DOUBT, MOST_DOUBT)
    # The doubt is bounded, or a task that is met exactly would drive the likelihood to infinity.
    order_loss = _mean(error * jnp.exp(-doubt) + doubt, labels.is_task)
    team_loss = _mean(
        optax.sigmoid_binary_cross_entropy(said[..., 2], labels.chosen), labels.is_candidate
    )
    # Padding of a batch is a graph without tasks, and none.
    metrics = PlanMetrics(
        graphs=labels.is_task.any(-1).sum(dtype=jnp.float32),
        order_loss=order_loss.sum(),
        team_loss=team_loss.sum(),
        error=_mean(error, labels.is_task).sum(),
        distance=_mean(jnp.abs(labels.move), labels.is_task).sum(),
    )
    return (order_loss + team_loss).sum(), jax.lax.stop_gradient(metrics)


def _mean(values: Float[Array, "B L"], where: Bool[Array, "B L"]) -> Float[Array, " B"]:
    total = jnp.where(where, values, 0).sum(-1)
    # A mean within each graph, so that large ones weigh as much as small ones.
    return total / jnp.maximum(where.sum(-1), 1)
