"""Latin squares and colourings of graphs, by the model, the trainer and the search of Sudoku.

    python -m experiments.relations --preset=latin_minute       # trains and measures, in a minute
    python -m experiments.relations --preset=colouring          # larger ones; latin likewise
    python -m experiments.relations --mode=eval --checkpoint=RUN --proposers=trained,uniform
    python -m experiments.relations --mode=eval --checkpoint=RUN --config.latin.order=12

Only what a kind of puzzle is differs: `hrm_jax/tasks/differing/latin.py`, `colouring.py`. Figures:
docs/relations.md.
"""

import json
import pathlib
from collections.abc import Sequence

import jax
from absl import app, flags

from experiments.common import command, config_flags, process

if __name__ == "__main__":
    process.keep_heap()  # before JAX is imported: it re-executes the program once
    process.keep_lapack_to_one_thread()

from rich.console import Console

from experiments.common import curves, terminal
from experiments.common.runs import RUNS, STOPPED_BY_SIGNAL, is_stopped, run_folder, train_in_sight
from experiments.relations.presets import PRESETS
from hrm_jax.core.mesh import make_mesh
from hrm_jax.core.types import Variables
from hrm_jax.evaluation.accuracy import interval
from hrm_jax.inference.stream import Answers
from hrm_jax.inference.uniform import Uniform
from hrm_jax.tasks.differing.evaluation import measure, solve_exactly
from hrm_jax.tasks.differing.task import DifferingConfig, DifferingTask
from hrm_jax.training.run_folder import newest_run, read_config, restore, run_of

FLAGS = flags.FLAGS
_PROPOSERS = ("trained", "untrained", "uniform")

flags.DEFINE_enum("mode", "train", ["train", "eval"], "what to do")
flags.DEFINE_string("run", None, "train: folder of the run; a new one below runs/")
flags.DEFINE_bool("resume", False, "train: go on from the newest intact checkpoint of --run")
flags.DEFINE_string("checkpoint", None, "eval: a run's folder or one checkpoint's; the newest run")
flags.DEFINE_list(
    "proposers",
    ["trained"],
    "eval: who proposes: the trained model, the same with fresh weights, or one that says that all "
    f"symbols are as likely ({', '.join(_PROPOSERS)})",
)
config_flags.define(PRESETS, default="latin")
_READS = {
    "train": ("run", "resume", "preset", "config"),
    "eval": ("checkpoint", "proposers", "config"),
}


def main() -> int:
    """Runs the mode; returns the exit code."""
    config_flags.refuse_unread(FLAGS.mode, _READS)
    console = terminal.make_console(markup=False)
    return train(console) if FLAGS.mode == "train" else evaluate(console)


def train(console: Console) -> int:
    """Trains and measures; returns the exit code."""
    folder = run_folder(FLAGS.preset, FLAGS.run, resume=FLAGS.resume)
    # A resumed run goes on by the configuration it was begun with.
    config = config_flags.resolve(read_config(folder, DifferingConfig) if FLAGS.resume else None)
    task = DifferingTask(config)
    averages = {"loss": "loss {:.3f}", "solved": "solved {:.0%}"}
    shown = terminal.Shown("puzzles", config.batch_size, averages)
    panels = (
        curves.Panel("loss", ("loss",)),
        curves.Panel("solved", ("solved", "exact_accuracy"), shares=True),
    )
    state = train_in_sight(
        task, folder, console, shown, panels, config.description, resume=FLAGS.resume
    )
    if is_stopped(task, state):
        return STOPPED_BY_SIGNAL
    report(task, state.averaged_variables, _PROPOSERS, console)
    console.print(
        f"\nNext: python -m experiments.relations --mode=eval --checkpoint={folder}",
        soft_wrap=True,
    )
    return 0


def evaluate(console: Console) -> int:
    """Measures a checkpoint, on puzzles of other sizes if flags say so; returns the exit code."""
    unknown = set(FLAGS.proposers) - set(_PROPOSERS)
    if unknown:
        raise app.UsageError(
            f"--proposers: expected some of {', '.join(_PROPOSERS)}, got {', '.join(unknown)}",
            exitcode=2,
        )
    checkpoint = pathlib.Path(FLAGS.checkpoint) if FLAGS.checkpoint else newest_run(RUNS)
    saved = read_config(run_of(checkpoint), DifferingConfig)
    # Restored by the saved configuration; measured by what flags make of it, larger puzzles too.
    variables, _ = restore(DifferingTask(saved), checkpoint, make_mesh(saved.mesh))
    report(DifferingTask(config_flags.resolve(saved)), variables, FLAGS.proposers, console)
    return 0


def report(
    task: DifferingTask, variables: Variables, proposers: Sequence[str], console: Console
) -> None:
    """Prints what proposers and the exact method solve; without a terminal as JSON as well."""
    config = task.config
    puzzles = task.tested()
    mesh = make_mesh(config.mesh)
    table = terminal.Table(title=f"{len(puzzles)} puzzles: {config.kind}")
    table.add_column("proposer")
    for name in ("solved", "95 %", "with search", "95 %", "steps", "attempts"):
        table.add_column(name, justify="right")
    found = {}
    for name in proposers:
        # Fresh weights tell what search and rules do without anything learned.
        values = task.model.init(jax.random.key(config.seed)) if name == "untrained" else variables
        model = Uniform(task.model) if name == "uniform" else task.model
        with terminal.counting_progress(
            console, name, 2 * len(puzzles), waits_for="compiling"
        ) as progress:
            measured = measure(model, values, config.kind, puzzles, config.test, mesh, progress)
        found[name] = {
            "single": _summary(measured.single),
            "search": _summary(measured.searched),
        }
        cells = [*_shares(found[name]["single"]), *_shares(found[name]["search"])]
        means = [f"{found[name]['search'][mean]:.1f}" for mean in ("steps", "attempts")]
        table.add_row(name, *cells, *means)
    exact = solve_exactly(puzzles)
    table.caption = (
        f"exact method: {exact.solved.mean():.1%}, {exact.guesses:.1f} guesses and"
        f" {1000 * exact.seconds:.2f} ms each"
    )
    console.print(table)
    # A log or another program gets the figures, too.
    if not console.is_terminal:
        print(json.dumps({"count": len(puzzles), **found}))


def _summary(answers: Answers) -> dict[str, float]:
    return {
        "solved": float(answers.valid.mean()),
        "count": len(answers),
        "steps": float(answers.steps.mean()),
        "attempts": float(answers.attempts.mean()),
    }


def _shares(summary: dict[str, float]) -> tuple[str, str]:
    low, high = interval(summary["solved"], int(summary["count"]))
    return f"{summary['solved']:.1%}", f"{100 * low:.1f}-{100 * high:.1f}"


if __name__ == "__main__":
    command.run(main)
