"""The training step of the PyTorch baseline: ACT loss, Adam-atan2 and sign-SGD on puzzle rows.

Axes: B batch, T puzzle tokens, V vocabulary.
"""
# PyTorch's own optimisers are written with the same operations over lists, private as they are.
# pyright: reportPrivateImportUsage=false

import dataclasses
import math
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from experiments.benchmarks.baselines.torch_hrm import (
    TorchBatch,
    TorchCarry,
    TorchHrm,
    TorchOutputs,
)

IGNORED_LABEL = -100


@dataclasses.dataclass(frozen=True)
class TorchTrainConfig:
    """Optimiser settings; `lr_min_ratio` 1 and `warmup_steps` 0 give a constant rate.

    `loss_dtype` is the dtype of the stablemax loss; the original computes it in float64.
    """

    lr: float = 1e-4
    puzzle_emb_lr: float = 1e-4
    weight_decay: float = 1.0
    puzzle_emb_weight_decay: float = 1.0
    beta1: float = 0.9
    beta2: float = 0.95
    warmup_steps: int = 0
    total_steps: int = 1
    lr_min_ratio: float = 1.0
    loss_dtype: torch.dtype = torch.float32

    def rate(self, step: int) -> float:
        """Returns the factor on both learning rates at optimiser step `step`, counted from 1."""
        if step < self.warmup_steps:
            return step / self.warmup_steps
        span = max(1, self.total_steps - self.warmup_steps)
        progress = min(1.0, (step - self.warmup_steps) / span)
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return self.lr_min_ratio + (1 - self.lr_min_ratio) * cosine


def stablemax_cross_entropy(logits: Tensor, labels: Tensor) -> Tensor:
    """Returns the cross-entropy [B, T] of stablemax over logits [B, T, V]; 0 for ignored labels."""
    # The clamp keeps the branch that is not taken finite: its gradient would be NaN at 1.
    scores = torch.where(logits < 0, 1 / (1 - logits.clamp(max=0)), logits + 1)
    valid = labels != IGNORED_LABEL
    chosen = scores.gather(-1, torch.where(valid, labels, 0).long()[..., None])[..., 0]
    return torch.where(valid, scores.sum(-1).log() - chosen.log(), 0)


def act_loss(
    outputs: TorchOutputs, carry: TorchCarry, loss_dtype: torch.dtype
) -> tuple[Tensor, dict[str, Tensor]]:
    """Returns the loss summed over the batch, and its metrics as sums.

    Metrics besides the losses count only sequences that halted at this step and have a label:
    `count` of them; `accuracy` sums their shares of right cells, `exact_accuracy` and
    `q_halt_accuracy` their zeros and ones, `steps` their steps. Divide by `count` for means.
    """
    labels = carry.data.labels
    cells = (labels != IGNORED_LABEL).sum(-1)
    losses = stablemax_cross_entropy(outputs.logits.to(loss_dtype), labels)
    lm_loss = (losses.sum(-1) / cells.clamp(min=1)).sum()
    with torch.no_grad():
        # No argmax is -100, so a cell without a label is never right.
        right = (outputs.logits.argmax(-1) == labels).sum(-1)
        exact = right == cells
        counted = carry.halted & (cells > 0)
        metrics = {
            "count": counted.sum(),
            "accuracy": torch.where(counted, right / cells.clamp(min=1), 0).sum(),
            "exact_accuracy": (counted & exact).sum(),
            "q_halt_accuracy": (counted & ((outputs.q_halt >= 0) == exact)).sum(),
            "steps": torch.where(counted, carry.steps, 0).sum(),
        }
    q_halt_loss = F.binary_cross_entropy_with_logits(
        outputs.q_halt, exact.to(outputs.q_halt), reduction="sum"
    )
    metrics |= {"lm_loss": lm_loss.detach(), "q_halt_loss": q_halt_loss.detach()}
    loss = lm_loss + 0.5 * q_halt_loss
    if outputs.q_target is not None:
        q_continue_loss = F.binary_cross_entropy_with_logits(
            outputs.q_continue, outputs.q_target, reduction="sum"
        )
        metrics["q_continue_loss"] = q_continue_loss.detach()
        loss = loss + 0.5 * q_continue_loss
    return loss, metrics


@torch.no_grad()
def adam_atan2_(
    parameters: list[Tensor],
    gradients: list[Tensor],
    first: list[Tensor],
    second: list[Tensor],
    scalars: Sequence[Tensor],
    betas: tuple[float, float],
) -> None:
    """Updates parameters and moments in place.

    `scalars` are the decay factor of the weights, the step size lr / (1 - b1^t), and
    1 / sqrt(1 - b2^t): 0-d tensors, not numbers, so that a compiled update is compiled once.
    """
    decay, step_size, root_scale = scalars
    torch._foreach_mul_(parameters, decay)
    torch._foreach_lerp_(first, gradients, 1 - betas[0])
    torch._foreach_mul_(second, betas[1])
    torch._foreach_addcmul_(second, gradients, gradients, 1 - betas[1])
    roots = torch._foreach_sqrt(second)
    torch._foreach_mul_(roots, root_scale)
    updates = [torch.atan2(m, root) for m, root in zip(first, roots, strict=True)]
    torch._foreach_mul_(updates, step_size)
    torch._foreach_sub_(parameters, updates)


@torch.no_grad()
def sign_sgd_rows_(table: Tensor, identifiers: Tensor, gradients: Tensor, lr: float, decay: float):
    """Applies sign-SGD with decoupled decay, in place, to the rows of `table` in the batch.

    Gradients [B, E] of equal identifiers [B] are summed before the sign is taken.
    """
    touched, position = identifiers.unique(return_inverse=True)
    total = gradients.new_zeros(len(touched), gradients.shape[-1])
    total.index_add_(0, position, gradients)
    table[touched] = table[touched] * (1 - lr * decay) - lr * total.sign()


class TorchTrainer:
    """Holds the moments of one model and takes training steps with it.

    With `compiled`, the inner step and the Adam-atan2 update run through `torch.compile`.
    """

    def __init__(self, model: TorchHrm, config: TorchTrainConfig, *, compiled: bool = False):
        self.model = model.train()
        self.config = config
        self.parameters: list[Tensor] = list(model.parameters())
        self.first = [torch.zeros_like(p) for p in self.parameters]
        self.second = [torch.zeros_like(p) for p in self.parameters]
        self.steps_taken = 0
        self._adam_atan2_ = adam_atan2_
        if compiled:
            model.inner.compile(dynamic=False)
            self._adam_atan2_ = torch.compile(adam_atan2_, dynamic=False)

    def gradients(self, carry: TorchCarry, batch: TorchBatch):
        """Takes one outer step; returns the gradient of its loss divided by the batch size.

        Returns:
          The new carry, the metrics, the gradients in the order of `parameters`, and the gradient
          [B, puzzle_emb_ndim] of the puzzle rows.
        """
        carry, outputs = self.model(carry, batch)
        loss, metrics = act_loss(outputs, carry, self.config.loss_dtype)
        loss = loss / len(batch.puzzle_identifiers)
        # Rows of the batch in place of the table: its gradient would be as large as all puzzles.
        leaves = [*self.parameters, outputs.puzzle_rows]
        # Materialised zeros: a TRM's Q-continue row and an unused prefix still decay.
        *gradients, rows = torch.autograd.grad(loss, leaves, materialize_grads=True)
        return carry, metrics | {"loss": loss.detach()}, gradients, rows

    def step(self, carry: TorchCarry, batch: TorchBatch) -> tuple[TorchCarry, dict[str, Tensor]]:
        """Takes one training step; parameters change in place."""
        carry, metrics, gradients, rows = self.gradients(carry, batch)
        self.steps_taken += 1
        config = self.config
        t = self.steps_taken
        rate = config.rate(t)
        numbers = (
            # The decay of weights, the step size and the root scale, as `adam_atan2_` takes them.
            1 - rate * config.lr * config.weight_decay,
            rate * config.lr / (1 - config.beta1**t),
            (1 - config.beta2**t) ** -0.5,
        )
        scalars = torch.tensor(numbers, device=rows.device).unbind()
        moments = (self.first, self.second)
        betas = (config.beta1, config.beta2)
        self._adam_atan2_(self.parameters, gradients, *moments, scalars, betas)
        sign_sgd_rows_(
            self.model.inner.puzzle_emb.weights,
            carry.data.puzzle_identifiers,
            rows,
            rate * config.puzzle_emb_lr,
            config.puzzle_emb_weight_decay,
        )
        return carry, metrics
