"""Draws how many puzzles a search solves against what it spends, beside others of its kind.

    python -m experiments.search_curve --data=forum_hardest_test.csv.gz --out=search.png

Rules and search alone can solve Sudoku, so each way to search is shown with the trained model, and
the tree of assumptions also with one that has not learned and with one that holds all digits for as
likely: the trained one has to need fewer attempts. `--probes=1` lets the rules look ahead from one
cell only. A classical solver stands beside them in time. What was found: docs/sudoku.md.
"""

import dataclasses
import json
import pathlib
import time
from collections.abc import Sequence

import numpy as np
from absl import flags
from jax.sharding import Mesh
from jaxtyping import Bool, Int
from rich.console import Console

from experiments.common import command, process

if __name__ == "__main__":
    process.keep_heap()  # before JAX is imported: it re-executes the program once

from experiments.common import terminal
from experiments.sudoku import display, exported, measuring
from hrm_jax.core.config import replace
from hrm_jax.core.files import write_atomically
from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.core.types import Variables
from hrm_jax.data.pipeline import Source
from hrm_jax.data.sudoku import rules, solver
from hrm_jax.data.sudoku.boards import USUAL
from hrm_jax.inference.config import SearchConfig
from hrm_jax.tasks.sudoku.evaluation import EvaluationConfig, spread
from hrm_jax.tasks.sudoku.task import SudokuTask

FLAGS = flags.FLAGS
flags.DEFINE_string("checkpoint", None, "a run's or exported model's folder; the shipped model")
flags.DEFINE_string("data", None, "a puzzle file; the bank's test split if unset")
flags.DEFINE_string("box", None, "rows x columns of a box, where the size does not tell them")
flags.DEFINE_integer("puzzles", 64, "puzzles, spread over the file; 0 for all", lower_bound=0)
flags.DEFINE_integer("budget", 832, "steps of all attempts at a puzzle", lower_bound=2)
flags.DEFINE_integer("steps", 16, "steps of an attempt by restarts or assumptions", lower_bound=1)
flags.DEFINE_integer("node_steps", 1, "steps of a node of a tree", lower_bound=1)
flags.DEFINE_integer("probes", 64, "cells that the rules try out at a node", lower_bound=1)
flags.DEFINE_string("out", "search.png", "the picture; the numbers go beside it, as .json")

_ALONE = {"symmetries": False, "assume": False, "branch": False}
_SEARCHES = {
    "tree": {**_ALONE, "branch": True},
    "restarts": {**_ALONE, "noise": 0.5},
    "one cell assumed": {**_ALONE, "assume": True},
}
_CONTESTANTS = (
    ("trained, tree", "trained", "tree"),
    ("trained, restarts", "trained", "restarts"),
    ("trained, one cell assumed", "trained", "one cell assumed"),
    ("untrained, tree", "untrained", "tree"),
    ("uniform, tree", "uniform", "tree"),
)
"""What each is called, who proposes, and how it searches."""
_STYLES = ("-", "--", "-.", ":", (0, (1, 3)))


@dataclasses.dataclass(frozen=True)
class Spent:
    """What a search spent on each puzzle, until it was solved or given up.

    Attributes:
      name: of who searched.
      solved: whether it was solved.
      steps: steps of thought in all attempts.
      attempts: attempts, the first included; the nodes of a tree.
      seconds: of all puzzles together, without compilation.
    """

    name: str
    solved: Bool[np.ndarray, " N"]
    steps: Int[np.ndarray, " N"]
    attempts: Int[np.ndarray, " N"]
    seconds: float


def main() -> int:
    """Lets all contestants search, tells and draws what they spent; returns the exit code."""
    console = terminal.make_console(markup=False)
    # A file is read first: loading a model takes seconds.
    measured = measuring.chosen(FLAGS.data, FLAGS.box)
    mesh = make_mesh(MeshConfig())
    task, variables, _ = exported.load_any(exported.chosen(FLAGS.checkpoint), mesh)
    puzzles = dataclasses.replace(measured, source=spread(measured.source, FLAGS.puzzles))
    found = []
    for label, proposer, way in _CONTESTANTS:
        if way == "one cell assumed" and measured.board != USUAL:
            continue  # assumptions are about nine rows
        contestant = measuring.proposed_by(proposer, task, variables)
        found.append(search(label, *contestant, puzzles, way, console, mesh))
    if measured.board == USUAL:
        console.print(classical(puzzles.source), soft_wrap=True)
    console.print(table(found, f"{len(puzzles.source)} puzzles of {measured.title}"))
    picture = pathlib.Path(FLAGS.out)
    draw(found, picture)
    numbers = picture.with_suffix(".json")
    write_atomically(numbers, json.dumps([as_dict(one) for one in found]) + "\n")
    console.print(f"picture: {picture}, numbers: {numbers}", soft_wrap=True)
    return 0


def search(
    label: str,
    task: SudokuTask,
    variables: Variables,
    puzzles: measuring.Measured,
    way: str,
    console: Console,
    mesh: Mesh,
) -> Spent:
    """Lets one contestant solve the puzzles; returns what it spent."""
    source = puzzles.source
    budget = FLAGS.budget
    steps = min(FLAGS.node_steps if way == "tree" else FLAGS.steps, budget)
    limits = {"attempts": budget // steps - 1, "steps": budget, "probes": FLAGS.probes}
    settings = EvaluationConfig(
        puzzles=0,
        batch_size=64,
        halting="rules",
        max_steps=steps,
        search=replace(SearchConfig(), {**_SEARCHES[way], **limits}),
    )
    with terminal.counting_progress(console, label, len(source), waits_for="compiling") as progress:
        report = task.evaluate(variables, source, settings, mesh, board=puzzles.board)
        progress(int(report.results.valid.sum()))
        if limits["attempts"]:
            more = task.search(variables, source, settings, mesh, report, progress, puzzles.board)
            assert more.search is not None
            report = more.search
    answers = report.answers
    return Spent(label, answers.valid, answers.steps, answers.attempts, report.seconds)


def classical(source: Source) -> str:
    """Returns how fast a classical solver answers, in words."""
    puzzles = rules.decode(source.inputs)
    solver.search_many(puzzles[:1], limit=1)  # compiled before the clock starts
    begin = time.perf_counter()
    found = solver.search_many(puzzles, limit=1)
    milliseconds = 1000 * (time.perf_counter() - begin) / len(puzzles)
    solved = int((found.counts > 0).sum())
    return f"a classical solver: {solved} of {len(puzzles)}, in {milliseconds:.3f} ms a puzzle"


def table(found: Sequence[Spent], title: str) -> terminal.Table:
    """Returns a row for each contestant."""
    shown = terminal.Table(title=title)
    shown.add_column("who")
    for name in ("solved", "95 %", "steps", "attempts", "ms each"):
        shown.add_column(name, justify="right")
    for one in found:
        shown.add_row(
            one.name,
            f"{one.solved.mean():.1%}",
            display.show_interval(float(one.solved.mean()), len(one.solved)),
            f"{one.steps.mean():.0f}",
            f"{one.attempts.mean():.1f}",
            f"{1000 * one.seconds / len(one.solved):.0f}",
        )
    return shown


def as_dict(one: Spent) -> dict[str, object]:
    """Returns what a contestant spent, as JSON can hold it."""
    return {
        "name": one.name,
        "solved": one.solved.tolist(),
        "steps": one.steps.tolist(),
        "attempts": one.attempts.tolist(),
        "seconds": one.seconds,
    }


def draw(found: Sequence[Spent], path: pathlib.Path) -> None:
    """Draws the share of puzzles solved against the steps and the attempts that each took."""
    from matplotlib.figure import Figure  # slow to import

    figure = Figure(figsize=(9, 3.6), layout="constrained")
    panels = figure.subplots(1, 2, sharey=True)
    for axes, name in zip(panels, ("steps", "attempts"), strict=True):
        for number, one in enumerate(found):
            spent = np.sort(getattr(one, name)[one.solved])
            most = getattr(one, name).max()
            shares = np.arange(1, len(spent) + 1) / len(one.solved)
            # Level from the last one solved to where the others were given up.
            axes.step(
                [*spent, most],
                [*shares, shares[-1] if len(shares) else 0.0],
                where="post",
                linestyle=_STYLES[number],
                label=one.name,
            )
        axes.set_xscale("log")
        axes.set_xlabel(f"{name} spent on a puzzle")
        axes.set_ylim(0, 1.02)
        axes.grid(alpha=0.3)
    panels[0].set_ylabel("puzzles solved")
    panels[1].legend(fontsize=8)
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    command.run(main)
