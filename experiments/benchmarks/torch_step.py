"""The PyTorch contestant of the training-step suite."""

import itertools
from collections.abc import Callable
from typing import Any

import torch

from experiments.benchmarks import workload
from experiments.benchmarks.baselines.torch_hrm import TorchBatch, TorchHrm, TorchHrmConfig
from experiments.benchmarks.baselines.torch_train import TorchTrainConfig, TorchTrainer


def build(shape: dict[str, Any], batch_size: int, compiled: bool) -> Callable[[int], None]:
    """Returns `run(steps)`, which continues training.

    See `alternate.Contestant` and `ModelShape`.
    """
    torch.manual_seed(0)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    trainer = TorchTrainer(
        TorchHrm(TorchHrmConfig(**shape)).to(device),
        TorchTrainConfig(warmup_steps=2000),
        compiled=compiled,
    )
    arrays = workload.batches(workload.ModelShape(**shape), batch_size)
    # On the device before the first step, as ours are.
    tensors = [
        {key: torch.from_numpy(value).to(device) for key, value in batch.items()}
        for batch in arrays
    ]
    batches = itertools.cycle([TorchBatch(**batch) for batch in tensors])
    carry = trainer.model.initial_carry(next(batches))

    def run(steps: int) -> None:
        nonlocal carry
        metrics = {}
        for _ in range(steps):
            carry, metrics = trainer.step(carry, next(batches))
        # A training run reads its metrics too; a step that diverged would time another problem.
        if not torch.isfinite(metrics["loss"]):
            raise FloatingPointError(f"loss: expected a finite number, got {metrics['loss']}")

    return run
