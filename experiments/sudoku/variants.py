"""What `compare_sudoku` compares: the default preset, ablations of it, and the published models."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Variant:
    """A model that is compared."""

    text: str
    preset: str = "relational"
    overrides: tuple[str, ...] = ()


_SEARCH = (
    *("test.search.branch=True", "test.search.symmetries=False"),
    *("test.search.attempts=48", "test.search.max_steps=1", "test.search.noise=0.5"),
)
# What the default preset sets, for variants that start from another one.
_LIKE_RELATIONAL = (
    *("model.L_cycles=8", "model.halt_max_steps=16", "model.halt_when_right=True"),
    *("model.distribution=softmax", "model.initial_noise=0.5", "batch_size=16"),
    *("data.reveal_share=0.5", *_SEARCH),
)
# The published models on data and hardware that all variants share.
_PUBLISHED = (
    *("batch_size=32", "data.name=bank", "data.num_augmentations=0", "optim.warmup_steps=10"),
    *("model.compute_dtype=float32", "validation.puzzles=16", "validation.batch_size=16"),
    *("test.batch_size=16", *_SEARCH),
)
VARIANTS = {
    "relational": Variant("the default preset"),
    "adam_atan2": Variant(
        "Adam-atan2 in place of SOAP",
        overrides=("optim.optimizer=adam_atan2", "optim.learning_rate=2e-3"),
    ),
    "no_symmetry": Variant(
        "no symmetry: each candidate is told which it is, puzzles are augmented",
        overrides=("model.pos_encodings=learned", "data.augment=True"),
    ),
    "no_relations": Variant(
        "no relations: attention over cells, 128 wide, puzzles are augmented",
        preset="quick",
        overrides=("model.pos_encodings=learned", "model.mixing=attention", *_LIKE_RELATIONAL),
    ),
    "last_calls": Variant(
        "gradient through the last call of each level", overrides=("model.gradient=last_calls",)
    ),
    "no_ema": Variant("no averaging", overrides=("optim.ema_decay=0.0",)),
    "one_module": Variant("one module in both roles", overrides=("model.shared_level=True",)),
    "hrm": Variant("HRM as published, but on the bank, 32 a step", "hrm_paper", _PUBLISHED),
    "trm_mlp": Variant(
        "TRM-MLP, likewise",
        "trm_mlp_paper",
        (*_PUBLISHED, "optim.ema_decay=0.9"),  # a thousand steps of memory are more than it takes
    ),
}
"""Variants by name, as `--variants` takes it."""
