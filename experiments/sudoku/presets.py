"""Named configurations of the Sudoku experiment."""

from hrm_jax.inference.config import SearchConfig
from hrm_jax.models.puzzle_config import hrm, trm
from hrm_jax.tasks.sudoku.task import (
    DataConfig,
    EvaluationConfig,
    LoopConfig,
    OptimConfig,
    SudokuConfig,
)

_EXTREME_1K = DataConfig(name="extreme_1k", num_augmentations=1000)
_PAPER_BATCH = 768
_TRM_OPTIM = OptimConfig(ema_decay=0.999)


def _paper_loop(epochs: int) -> LoopConfig:
    """Returns the loop for `epochs` epochs of 1,000 puzzles.

    In the original code an epoch shows each puzzle once, under one of its fixed symmetries.
    """
    steps = epochs * 1000 // _PAPER_BATCH
    return LoopConfig(steps=steps, evaluate_every=steps // 10, checkpoint_every=steps // 10)


_SEARCH = SearchConfig(attempts=48, branch=True, max_steps=1, symmetries=False, noise=0.5)
"""A relational model gives the same answer under every symmetry, so attempts differ by what they
assume and by the initial state instead. What it believes after a single step is enough to say where
the tree should branch, so nodes of one step solve most puzzles for the steps they take.
"""

PRESETS = {
    "relational": SudokuConfig(
        description="HRM that knows which cells bear on each other: 25 minutes on two CPU cores",
        # What pays: many fast calls, with gradient through all of them; puzzles that stay until
        # they are solved; noise on the initial states, without which a symmetric model, asked
        # again, would say the same.
        model=hrm(
            hidden_size=48,
            expansion=3.0,
            mlp_multiple=16,
            H_layers=1,
            L_layers=1,
            mixing="relational",
            pos_encodings="none",
            puzzle_emb_ndim=0,
            H_cycles=1,
            L_cycles=8,
            gradient="last_cycle",
            q_continue=False,
            halt_when_right=True,
            initial_noise=0.5,
            distribution="softmax",
            halt_max_steps=16,
        ),
        # In the eigenbases of its gradients, a weight bears a rate four times as high.
        optim=OptimConfig(
            optimizer="soap",
            learning_rate=8e-3,
            weight_decay=0.1,
            warmup_steps=100,
            lr_min_ratio=0.01,
            ema_decay=0.999,
        ),
        data=DataConfig(augment=False, reveal_share=0.5),
        loop=LoopConfig(
            steps=10_000, log_every=20, evaluate_every=1000, checkpoint_every=500, batch_parts=4
        ),
        validation=EvaluationConfig(puzzles=256, batch_size=64, halting="rules"),
        test=EvaluationConfig(
            puzzles=0, batch_size=64, halting="rules", max_steps=64, search=_SEARCH
        ),
        batch_size=16,
    ),
    "quick": SudokuConfig(
        description="HRM for two CPU cores: learns the bank in about 20 minutes",
        # What pays at this budget: mixing by a token MLP, which need not learn where a cell's row,
        # column and box are through attention, and gradient through a whole cycle.
        model=hrm(
            hidden_size=128,
            expansion=2.0,
            H_layers=1,
            L_layers=1,
            mixing="mlp",
            pos_encodings="none",
            puzzle_emb_ndim=0,
            H_cycles=1,
            L_cycles=3,
            gradient="last_cycle",
            q_continue=False,
            halt_max_steps=8,
        ),
        optim=OptimConfig(learning_rate=1e-3, warmup_steps=50, lr_min_ratio=0.1, ema_decay=0.99),
        loop=LoopConfig(steps=4000, log_every=20, evaluate_every=500, checkpoint_every=250),
        validation=EvaluationConfig(puzzles=256, batch_size=256),
        batch_size=32,
    ),
    "minute": SudokuConfig(
        description="a tiny HRM, to see everything run in about a minute",
        model=hrm(
            hidden_size=32,
            num_heads=2,
            expansion=1.0,
            H_layers=1,
            L_layers=1,
            puzzle_emb_ndim=32,
            halt_max_steps=4,
        ),
        optim=OptimConfig(learning_rate=1e-3, warmup_steps=10, ema_decay=0.9),
        loop=LoopConfig(steps=100, log_every=5, evaluate_every=50, checkpoint_every=50),
        validation=EvaluationConfig(puzzles=64, batch_size=64),
        test=EvaluationConfig(puzzles=128, batch_size=128, halting="rules"),
        batch_size=32,
    ),
    "hrm_small": SudokuConfig(
        description="HRM with hidden size 256: for one small GPU, or patience",
        model=hrm(hidden_size=256, puzzle_emb_ndim=256),
        loop=LoopConfig(steps=50_000, evaluate_every=2_500, checkpoint_every=2_500),
        batch_size=128,
    ),
    "hrm_paper": SudokuConfig(
        description="HRM as published for Sudoku-Extreme 1k (arXiv 2506.21734)",
        model=hrm(compute_dtype="bfloat16"),
        data=_EXTREME_1K,
        loop=_paper_loop(epochs=20_000),
        batch_size=_PAPER_BATCH,
    ),
    "trm_attention_paper": SudokuConfig(
        description="TRM with attention as published for Sudoku-Extreme 1k (arXiv 2510.04871)",
        model=trm(compute_dtype="bfloat16"),
        optim=_TRM_OPTIM,
        data=_EXTREME_1K,
        loop=_paper_loop(epochs=50_000),
        batch_size=_PAPER_BATCH,
    ),
    "trm_mlp_paper": SudokuConfig(
        description="TRM-MLP as published for Sudoku-Extreme 1k (arXiv 2510.04871)",
        model=trm(compute_dtype="bfloat16", mixing="mlp", pos_encodings="none"),
        optim=_TRM_OPTIM,
        data=_EXTREME_1K,
        loop=_paper_loop(epochs=50_000),
        batch_size=_PAPER_BATCH,
    ),
}
"""Presets by name, as `--preset` takes it."""
