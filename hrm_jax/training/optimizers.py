"""The optimisers of a run, made from its configuration."""

from typing import Literal

import optax

from hrm_jax.core.config import configclass, field
from hrm_jax.optim.adam_atan2 import adam_atan2
from hrm_jax.optim.ema import params_ema
from hrm_jax.optim.puzzle_rows import sign_sgd_rows
from hrm_jax.optim.schedules import warmup_cosine
from hrm_jax.optim.soap import soap
from hrm_jax.training.state import Optimizers


@configclass
class OptimConfig:
    """An optimiser for the parameters, sign-SGD for the puzzle rows, one schedule for both."""

    optimizer: Literal["adam_atan2", "soap"] = field(
        "adam_atan2", help="of the parameters; soap turns matrices into their eigenbases first"
    )
    learning_rate: float = field(1e-4, help="peak learning rate of the parameters", at_least=0)
    weight_decay: float = field(1.0, help="decoupled decay of the parameters", at_least=0)
    puzzle_emb_learning_rate: float = field(
        1e-4, help="peak learning rate of the puzzle rows", at_least=0
    )
    puzzle_emb_weight_decay: float = field(1.0, help="decoupled decay of the puzzle rows")
    b1: float = field(0.9, help="decay of the first moment", at_least=0, less_than=1)
    b2: float = field(0.95, help="decay of the second moment", at_least=0, less_than=1)
    soap_average_decay: float = field(
        0.95, help="soap: decay of what its bases are made of", at_least=0, less_than=1
    )
    soap_refresh_every: int = field(
        10, help="soap: updates from one refresh of its bases to the next", at_least=1
    )
    soap_largest_block: int = field(
        256, help="soap: most rows or columns that share a basis", at_least=1
    )
    warmup_steps: int = field(
        2000, help="updates until the learning rate is at its peak", at_least=0
    )
    lr_min_ratio: float = field(
        1.0, help="end of the cosine over its peak; 1 for a constant rate", at_least=0, at_most=1
    )
    ema_decay: float = field(
        0.0, help="of the parameters evaluated with; 0 for no averaging", at_least=0, less_than=1
    )


def make_schedule(config: OptimConfig, peak: float, total_steps: int) -> optax.Schedule:
    """Returns the learning rate as a function of the number of updates done before.

    It ends at `total_steps`, or at the end of the warm-up if that is later.
    """
    return warmup_cosine(
        peak,
        warmup_steps=config.warmup_steps,
        # Trial runs may be shorter than the warm-up, and a schedule must not end before it.
        total_steps=max(total_steps, config.warmup_steps),
        min_ratio=config.lr_min_ratio,
    )


def make_optimizers(config: OptimConfig, total_steps: int) -> Optimizers:
    """Returns both optimisers, with schedules as in `make_schedule`."""

    def rate(peak: float) -> optax.Schedule:
        return make_schedule(config, peak, total_steps)

    settings = rate(config.learning_rate), config.b1, config.b2, config.weight_decay
    if config.optimizer == "soap":
        dense = soap(
            *settings,
            average_decay=config.soap_average_decay,
            refresh_every=config.soap_refresh_every,
            largest_block=config.soap_largest_block,
        )
    else:
        dense = adam_atan2(*settings)
    if config.ema_decay:
        # Last in the chain, so that it averages the parameters as they are after the update.
        dense = optax.chain(dense, params_ema(config.ema_decay))
    rows = sign_sgd_rows(rate(config.puzzle_emb_learning_rate), config.puzzle_emb_weight_decay)
    return Optimizers(dense, rows)
