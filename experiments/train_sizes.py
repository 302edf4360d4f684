"""Trains Sudoku on boards of several sizes together, by default on from the shipped weights.

    python -m experiments.train_sizes                        # 4 to 16 rows; hours, resumable
    python -m experiments.train_sizes --resume               # goes on
    python -m experiments.sudoku --mode=eval --checkpoint=RUN/model --data=sixteen.txt

The run's folder gets the model in `model`, the curve of every size in `curves.png`, and the same
as numbers in `metrics.jsonl`. What was reached: docs/sudoku.md.
"""

from absl import flags

from experiments.common import command, config_flags, process

if __name__ == "__main__":
    process.keep_heap()  # before JAX is imported: it re-executes the program once
    process.keep_lapack_to_one_thread()

from experiments.common import curves, terminal
from experiments.common.runs import STOPPED_BY_SIGNAL, is_stopped, run_folder, train_in_sight
from experiments.sudoku import exported
from experiments.sudoku.presets import PRESETS as SUDOKU_PRESETS
from hrm_jax.convert.model_folder import save_model
from hrm_jax.core.config import replace
from hrm_jax.core.mesh import fetch, make_mesh
from hrm_jax.tasks.sudoku.sizes import SizesConfig, SizesTask
from hrm_jax.tasks.sudoku.task import EvaluationConfig, LoopConfig
from hrm_jax.training.run_folder import read_config

FLAGS = flags.FLAGS
MODEL = "model"
"""The folder in a run's folder that the model is exported to."""
SHIPPED = "shipped"

_USUAL = SUDOKU_PRESETS["relational"]
_MIXED = SizesConfig(
    description="boards of 4 to 16 rows, on from the shipped weights",
    start=SHIPPED,
    model=_USUAL.model,
    data=_USUAL.data,
    # A quarter of the rate that fresh weights get, and an average that soon forgets those it began
    # with.
    optim=replace(_USUAL.optim, {"learning_rate": 2e-3, "ema_decay": 0.99}),
    loop=LoopConfig(steps=3000, log_every=20, evaluate_every=250, checkpoint_every=100),
    validation=EvaluationConfig(puzzles=0, batch_size=32, halting="rules", max_steps=32),
)
PRESETS = {
    "mixed": _MIXED,
    "minute": replace(
        _MIXED,
        {
            "description": "4 and 6 rows from fresh weights, to see it learn",
            "start": "",
            "boxes": ("2x2", "2x3"),
            "rows": (8, 4),
            "puzzles": 200,
            "optim.learning_rate": 8e-3,
            "optim.ema_decay": 0.9,
            "model.hidden_size": 16,
            "model.L_cycles": 2,
            "loop.steps": 150,
            "loop.evaluate_every": 75,
        },
    ),
}
"""Configurations by name, as `--preset` takes it."""

flags.DEFINE_string(
    "run", None, "folder of the run; a new one below runs/, or to --resume the newest one"
)
flags.DEFINE_bool("resume", False, "go on from the newest intact checkpoint of --run")
config_flags.define(PRESETS, default="mixed")


def main() -> int:
    """Trains, draws the curves and exports the model; returns the exit code."""
    console = terminal.make_console(markup=False)
    folder = run_folder("sizes", FLAGS.run, resume=FLAGS.resume)
    config = config_flags.resolve(read_config(folder, SizesConfig) if FLAGS.resume else None)
    if config.start == SHIPPED:
        config = replace(config, {"start": str(exported.shipped())})
    task = SizesTask(config)
    averages = {"loss": "loss {:.3f}", f"exact_{config.boards[-1].side}": "largest {:.0%}"}
    shown = terminal.Shown("puzzles", sum(config.rows), averages)
    sides = [board.side for board in config.boards]
    panels = (
        curves.Panel("loss", ("loss",)),
        curves.Panel("solved, by rows", tuple(f"exact_{side}" for side in sides), shares=True),
    )
    state = train_in_sight(
        task, folder, console, shown, panels, config.description, resume=FLAGS.resume
    )
    # A stopped run has a model as well: it may go on for as long as there is time.
    variables = fetch(state.averaged_variables, make_mesh(config.mesh))
    # A model of nine rows, as which other commands read it and lay it over any board.
    usual = replace(_USUAL, {"model": config.model, "description": config.description})
    save_model(folder / MODEL, usual, variables)
    measure = f"python -m experiments.sudoku --mode=eval --checkpoint={folder / MODEL} --data=..."
    console.print(f"\nNext: {measure}", soft_wrap=True)
    return STOPPED_BY_SIGNAL if is_stopped(task, state) else 0


if __name__ == "__main__":
    command.run(main)
