"""Named configurations of Latin squares and colourings."""

from experiments.sudoku.presets import PRESETS as SUDOKU_PRESETS
from hrm_jax.core.config import replace
from hrm_jax.tasks.differing.colouring import Colouring
from hrm_jax.tasks.differing.evaluation import MeasureConfig
from hrm_jax.tasks.differing.latin import Latin
from hrm_jax.tasks.differing.task import DifferingConfig
from hrm_jax.training.run_config import LoopConfig

_SUDOKU = SUDOKU_PRESETS["relational"]
_LOOP = LoopConfig(steps=700, log_every=20, evaluate_every=350, checkpoint_every=250, batch_parts=4)
_TEST = MeasureConfig(puzzles=128)
_LATIN = DifferingConfig(
    description="Latin squares of order 8 with as many holes as leave one solution",
    latin=Latin(order=8),
    model=_SUDOKU.model,
    optim=_SUDOKU.optim,
    loop=replace(_LOOP, {"batch_parts": 2}),
    test=_TEST,
    batch_size=8,
)
_COLOURING = DifferingConfig(
    description="graphs of 64 vertices in 4 colours, as few given as leave one solution",
    colouring=Colouring(),
    model=_SUDOKU.model,
    optim=_SUDOKU.optim,
    loop=_LOOP,
    test=_TEST,
)
_MINUTE = {
    "puzzles": 1000,
    "validated": 64,
    "model.hidden_size": 24,
    "model.L_cycles": 4,
    "optim.ema_decay": 0.95,
    "optim.warmup_steps": 20,
    "loop.steps": 300,
    "loop.evaluate_every": 100,
    "test.puzzles": 64,
    "test.search.attempts": 8,
}
PRESETS = {
    "latin": _LATIN,
    "colouring": _COLOURING,
    "latin_minute": replace(
        _LATIN,
        {**_MINUTE, "description": "Latin squares of order 6", "latin.order": 6},
    ),
    "colouring_minute": replace(
        _COLOURING,
        {
            **_MINUTE,
            "description": "graphs of 32 vertices in 3 colours",
            "colouring.colours": 3,
            "colouring.vertices": 32,
            "colouring.fewest_neighbours": 4.0,
            "colouring.most_neighbours": 4.6,
        },
    ),
}
"""Presets by name, as `--preset` takes it."""
