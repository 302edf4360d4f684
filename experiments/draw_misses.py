"""Draws what a Sudoku model does with puzzles that it misses, over 256 steps of thought.

    python -m experiments.draw_misses --data=top1465_test.csv.gz --puzzles=24 --out=misses.png

A row of the picture is a puzzle, a column a step, the colour the number of wrong cells. A miss
*stands still* if its last 32 proposals are one, *cycles* if they repeat, and *wanders* otherwise.
What was found: docs/sudoku.md.
"""

import dataclasses
import pathlib

import jax.numpy as jnp
import numpy as np
from absl import flags
from jaxtyping import Bool, Int
from rich.console import Console

from experiments.common import command, process

if __name__ == "__main__":
    process.keep_heap()  # before JAX is imported: it re-executes the program once

from experiments.common import terminal
from experiments.sudoku import exported, measuring
from experiments.sudoku.misses import LAST, kind_of
from hrm_jax.core.config import replace
from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.core.types import Batch, Variables
from hrm_jax.data.pipeline import Source
from hrm_jax.inference.thinking import think
from hrm_jax.models.puzzle_model import PuzzleModel
from hrm_jax.tasks.sudoku.evaluation import EvaluationConfig, model_on, spread

_RESTARTS = 4
"""Times that each miss is begun anew, from another noise."""

FLAGS = flags.FLAGS
flags.DEFINE_string("checkpoint", None, "a run's or exported model's folder; the shipped model")
flags.DEFINE_string("data", None, "a puzzle file; the bank's test split if unset")
flags.DEFINE_string("box", None, "rows x columns of a box, where the size does not tell them")
flags.DEFINE_integer("looked_at", 256, "puzzles among which misses are sought", lower_bound=1)
flags.DEFINE_integer("puzzles", 24, "misses drawn, at most", lower_bound=1)
flags.DEFINE_integer("first_steps", 64, "steps after which a puzzle is a miss", lower_bound=1)
flags.DEFINE_integer("steps", 256, "steps drawn", lower_bound=2 * LAST)
flags.DEFINE_float("noise", 0.5, "on the initial states of those begun anew", lower_bound=0.0)
flags.DEFINE_string("out", "misses.png", "the picture")


@dataclasses.dataclass(frozen=True)
class Misses:
    """What was thought about puzzles that were missed.

    Attributes:
      wrong: number of wrong cells after each step.
      kinds: "still", "cycle" or "wander".
      solved_later: whether a later step solved it after all.
      solved_anew: in how many of the restarts from noise it was solved, in as many steps as at
        first.
    """

    wrong: Int[np.ndarray, "N steps"]
    kinds: list[str]
    solved_later: Bool[np.ndarray, " N"]
    solved_anew: Int[np.ndarray, " N"]


def main() -> int:
    """Finds misses, draws them, and tells what they do; returns the exit code."""
    console = terminal.make_console(markup=False)
    # A file is read first: loading a model takes seconds.
    measured = measuring.chosen(FLAGS.data, FLAGS.box)
    mesh = make_mesh(MeshConfig())
    task, variables, _ = exported.load_any(exported.chosen(FLAGS.checkpoint), mesh)
    source = spread(measured.source, FLAGS.looked_at)
    settings = EvaluationConfig(puzzles=0, batch_size=64, halting="rules")
    settings = replace(settings, {"max_steps": FLAGS.first_steps})
    with terminal.counting_progress(
        console, "evaluating", len(source), waits_for="compiling"
    ) as progress:
        report = task.evaluate(variables, source, settings, mesh, progress, measured.board)
    # By the rules alone: a proposal that keeps them is no miss, whatever the model believes of it.
    rows = np.flatnonzero(~report.results.valid)
    console.print(f"{len(rows)} of {len(source)} are missed within {FLAGS.first_steps} steps")
    if not len(rows):
        return 0
    model = model_on(task.model, measured.board)
    misses = follow(model, variables, source, rows[: FLAGS.puzzles])
    tell(misses, console)
    draw(misses, pathlib.Path(FLAGS.out))
    console.print(f"picture: {FLAGS.out}", soft_wrap=True)
    return 0


def follow(
    model: PuzzleModel, variables: Variables, source: Source, rows: Int[np.ndarray, " N"]
) -> Misses:
    """Returns what the model does with some puzzles over `--steps` steps, and from other states."""
    inputs = jnp.asarray(source.inputs[rows], jnp.int32)
    batch = Batch(inputs, inputs, jnp.zeros(len(rows), jnp.int32))

    # `think` takes as many steps as the config has; weights do not depend on their number.
    def model_of(steps: int) -> PuzzleModel:
        return PuzzleModel(replace(model.config, {"halt_max_steps": steps}), model.grid)

    # [steps, puzzles, cells] turned: a puzzle's proposals in order.
    tokens = np.asarray(think(model_of(FLAGS.steps), variables, batch).tokens).swapaxes(0, 1)
    labels = source.labels[rows]
    wrong = (tokens != labels[:, None]).sum(-1)
    anew = np.zeros(len(rows), int)
    short = model_of(FLAGS.first_steps)
    for attempt in range(1, _RESTARTS + 1):
        attempts = jnp.full(len(rows), attempt, jnp.int32)
        others = think(short, variables, batch, attempts, noise=FLAGS.noise, seed=attempt)
        # Solved at any step counts, as a halt by rules would have stopped there.
        anew += (np.asarray(others.tokens) == labels[None]).all(-1).any(0)
    return Misses(wrong, [kind_of(own) for own in tokens], (wrong == 0).any(1), anew)


def tell(misses: Misses, console: Console) -> None:
    """Prints a row for each kind of miss."""
    table = terminal.Table(title=f"{len(misses.kinds)} misses over {misses.wrong.shape[1]} steps")
    table.add_column("at the end")
    for name in ("puzzles", "wrong cells", "solved later", "left by noise", "restarts solved"):
        table.add_column(name, justify="right")
    kinds = np.array(misses.kinds)
    for kind in ("still", "cycle", "wander", "all"):
        chosen = np.full(len(kinds), True) if kind == "all" else kinds == kind
        if not chosen.any():
            continue
        anew = misses.solved_anew[chosen]
        table.add_row(
            kind,
            str(chosen.sum()),
            f"{misses.wrong[chosen, -LAST:].mean():.1f}",
            str(misses.solved_later[chosen].sum()),
            str((anew > 0).sum()),
            f"{anew.sum()}/{_RESTARTS * chosen.sum()}",
        )
    console.print(table)


def draw(misses: Misses, path: pathlib.Path) -> None:
    """Draws the wrong cells of each miss over the steps, those that stand still first."""
    from matplotlib.figure import Figure  # slow to import

    order = sorted(
        range(len(misses.kinds)), key=lambda row: (misses.kinds[row], misses.wrong[row, -1])
    )
    figure = Figure(figsize=(9, 1.5 + 0.22 * len(order)), layout="constrained")
    axes = figure.subplots()
    image = axes.imshow(misses.wrong[order], aspect="auto", interpolation="nearest", cmap="viridis")
    axes.set_yticks(range(len(order)), [misses.kinds[row] for row in order], fontsize=7)
    axes.set_xlabel("step of thought")
    axes.axvline(FLAGS.first_steps - 0.5, color="white", linewidth=0.8)
    figure.colorbar(image, label="wrong cells")
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    command.run(main)
