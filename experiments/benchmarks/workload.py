"""The workload of the training-step benchmarks: model sizes, synthetic batches and FLOP counts."""

import dataclasses
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class ModelShape:
    """The sizes of an HRM with rotary positions, the same for every framework's contestant."""

    hidden_size: int
    num_heads: int
    H_layers: int
    L_layers: int
    H_cycles: int
    L_cycles: int
    expansion: float = 4.0
    seq_len: int = 81
    vocab_size: int = 11
    puzzle_emb_ndim: int = 256
    num_puzzle_identifiers: int = 1
    halt_max_steps: int = 16
    halt_exploration_prob: float = 0.1
    compute_dtype: str = "float32"

    def arguments(self) -> dict[str, Any]:
        """Returns the fields by name, as JSON values."""
        return dataclasses.asdict(self)


SHAPES = {
    "hrm_small": ModelShape(
        hidden_size=256, num_heads=8, H_layers=4, L_layers=4, H_cycles=2, L_cycles=2
    ),
    "hrm_paper": ModelShape(
        hidden_size=512,
        num_heads=8,
        H_layers=4,
        L_layers=4,
        H_cycles=2,
        L_cycles=2,
        puzzle_emb_ndim=512,
    ),
    "hrm_tiny": ModelShape(
        hidden_size=32,
        num_heads=2,
        H_layers=1,
        L_layers=1,
        H_cycles=2,
        L_cycles=2,
        seq_len=9,
        puzzle_emb_ndim=32,
    ),
}


def batches(shape: ModelShape, batch_size: int, count: int = 4) -> list[dict[str, np.ndarray]]:
    """Returns random puzzles, the same on every call.

    Returns:
        `count` batches of `inputs` and `labels`, int32 [B, T] in 1..vocab_size - 1, and
        `puzzle_identifiers`, int32 [B].
    """
    # Random labels cannot be learned, but the work of a step does not depend on what is learned.
    rng = np.random.default_rng(0)

    def cells() -> np.ndarray:
        size = (batch_size, shape.seq_len)
        return rng.integers(1, shape.vocab_size, size, dtype=np.int32)

    return [
        {
            "inputs": cells(),
            "labels": cells(),
            "puzzle_identifiers": rng.integers(
                shape.num_puzzle_identifiers, size=batch_size, dtype=np.int32
            ),
        }
        for _ in range(count)
    ]


def train_step_flops(shape: ModelShape, batch_size: int) -> int:
    """Returns the FLOP of the matrix products in one training step, a multiply-add counting 2.

    A layer forward is, per sequence of L = prefix + puzzle tokens,
      2 L (4 D^2 + 3 D F)   for the four D x D projections of attention and the SwiGLU,
      2 (2 L^2 D)           for scores and weighted sum.
    An inner step calls reasoning modules H_cycles (L_cycles + 1) times. The learning step does so
    forward, and backward (twice a forward) through one L and one H call; the Q-continue target
    does so forward. The token head (2 L D V) runs forward and backward in the learning step only.
    Norms, softmax, rotary positions, losses and optimiser are left out, as is usual: the figure
    counts useful work, whatever more or less of it an implementation does.
    """
    # The width of SwiGLU as `hrm_jax.nn.swiglu.swiglu_width` and the baselines round it.
    width = -(-round(shape.expansion * shape.hidden_size * 2 / 3) // 256) * 256
    # -a // b is minus the quotient rounded up, so this adds the length of the prefix.
    length = shape.seq_len - (-shape.puzzle_emb_ndim // shape.hidden_size)
    features = shape.hidden_size
    products = 2 * length * (4 * features**2 + 3 * features * width)
    layer = products + 4 * length**2 * features
    # One inner step forward; the learning step takes one, and the Q-continue target another.
    inner = shape.H_cycles * (shape.L_cycles * shape.L_layers + shape.H_layers) * layer
    # Through the last call of each level, at twice the cost of a forward pass.
    backward = 2 * (shape.L_layers + shape.H_layers) * layer
    head = 3 * 2 * length * features * shape.vocab_size
    return batch_size * (2 * inner + backward + head)
