"""Sudoku with a Hierarchical Reasoning Model: train it, measure it, let it solve.

    python -m experiments.sudoku                              # trains, measures, solves a puzzle
    python -m experiments.sudoku --mode=eval --data=my.csv    # measures the shipped model on a file
    python -m experiments.sudoku --mode=eval --max_steps=64 --search_attempts=16   # spends more
    python -m experiments.sudoku --mode=solve --puzzle=hard.txt    # or 81 characters
    python -m experiments.sudoku --mode=solve --puzzle=six.txt --box=2x3    # 4 to 25 rows
    python -m experiments.sudoku --mode=solve --puzzle=my.txt --render=steps.html   # or .gif, .png

Source: arXiv 2506.21734 (HRM) and 2510.04871 (TRM). Puzzles: a bank shipped with the package, made
by `experiments.make_bank`; or Sudoku-Extreme; or your own file. Runs live in `runs/`.

Expected of the first command (preset `relational`, 10,000 steps of 16 puzzles) on two CPU cores: 25
minutes or less, about 95 % of the bank's held-out puzzles in a single pass (seed 0, on an AMD
EPYC). What it solves, and the model that comes with the package: docs/sudoku.md.
Preset `quick`, a model that knows no relations: 18 minutes on two cores of an AMD EPYC, 77.0 % of
cells and 7.2 % of puzzles. The paper presets have not been run as they are: they want a GPU.
"""

import json
import pathlib
from typing import Any

from absl import app, flags

from experiments.common import command, config_flags, process

if __name__ == "__main__":
    process.keep_heap()  # before JAX is imported: it re-executes the program once
    process.keep_lapack_to_one_thread()

import jax
from rich.console import Console

from experiments.common import curves, distributed, terminal
from experiments.common.runs import STOPPED_BY_SIGNAL, is_stopped, run_folder, train_in_sight
from experiments.common.terminal import make_console
from experiments.rendering.files import check_picture
from experiments.sudoku import exported, measuring, solving
from experiments.sudoku.presets import PRESETS
from hrm_jax.convert.model_folder import save_model
from hrm_jax.core.config import replace
from hrm_jax.core.files import write_atomically
from hrm_jax.core.mesh import MeshConfig, fetch, make_mesh
from hrm_jax.core.types import Variables
from hrm_jax.data.sudoku.board_files import parse_box
from hrm_jax.tasks.sudoku.task import SudokuConfig, SudokuTask
from hrm_jax.training import trackers
from hrm_jax.training.run_folder import read_config

FLAGS = flags.FLAGS
_PANELS = (
    curves.Panel("loss", ("loss",)),
    curves.Panel("cells right", ("cell_accuracy",), shares=True),
    curves.Panel("solved", ("exact_accuracy",), shares=True),
)
_AVERAGES = {
    "exact_accuracy": "exact {:.1%}",
    "loss": "loss {:.3f}",
    "cell_accuracy": "cells {:.1%}",
}

flags.DEFINE_enum("mode", "train", ["train", "eval", "solve", "export"], "what to do")
flags.DEFINE_string(
    "data", None, "bank, extreme, extreme_1k, or a puzzle file of any kind (docs/sudoku.md)"
)
flags.DEFINE_string(
    "run", None, "folder of the run; a new one below runs/, or to --resume the newest one"
)
flags.DEFINE_bool("resume", False, "train: go on from the newest intact checkpoint of --run")
flags.DEFINE_multi_enum("log_to", None, trackers.CHOICES, f"train: {trackers.HELP}")
flags.DEFINE_bool(
    "accept_changed_data",
    False,
    "train: go on with --resume though the training data are others than before",
)
flags.DEFINE_string(
    "checkpoint",
    None,
    "eval, solve, export: a run's folder, one checkpoint's or an exported model's; the model that "
    "comes with the package if unset",
)
flags.DEFINE_string("out", None, "export: folder for the model without what only training needs")
flags.DEFINE_enum(
    "split",
    None,
    ["train", "validation", "test"],
    "eval: which puzzles; the held-out ones if unset",
)
flags.DEFINE_integer("puzzles", None, "eval: how many puzzles, spread over the split; all if unset")
flags.DEFINE_enum(
    "halting",
    None,
    ["steps", "rules", "confidence"],
    "eval: a puzzle is done after all steps, as the originals measure; at its first proposal that "
    "passes the rules; or when the halting head believes in it. As the run was tested if unset",
)
flags.DEFINE_enum(
    "proposer",
    "trained",
    measuring.PROPOSERS,
    "eval: the trained model, the same with fresh weights, or one that says that all digits are as "
    "likely: what rules and search alone are worth",
)
flags.DEFINE_integer(
    "max_steps", None, "eval, solve: steps a puzzle may take; 0 for those of training"
)
flags.DEFINE_integer(
    "search_attempts",
    None,
    "eval, solve: attempts after the first at unsolved puzzles; as the run was tested if unset for "
    f"eval, {solving.FURTHER_ATTEMPTS} for solve",
)
flags.DEFINE_integer(
    "search_max_steps", None, "eval, solve: steps of a further attempt; 0 for those of the first"
)
flags.DEFINE_bool(
    "search_assume",
    None,
    "eval, solve: give each further attempt one cell of the first one's answer, instead of a tree",
)
flags.DEFINE_bool(
    "search_branch",
    None,
    "eval, solve: make a tree of assumptions, which the rules prune",
)
flags.DEFINE_integer(
    "search_probes",
    None,
    "eval, solve: cells of a tree's node whose values the rules try out before it branches at one",
)
flags.DEFINE_float(
    "search_noise", None, "eval, solve: noise on the initial state of further attempts"
)
flags.DEFINE_string(
    "puzzle", None, "solve: 81 characters, a puzzle file of any kind, or - for standard input"
)
flags.DEFINE_bool(
    "skip_bad", None, "leave out puzzles that cannot be used, instead of refusing their file"
)
flags.DEFINE_string(
    "render", None, "solve: draw every step of thought into this file: *.html, *.png or *.gif"
)
flags.DEFINE_string(
    "box",
    None,
    "eval, solve: rows x columns of a box, such as 2x3, of puzzles of 6, 8, 10, 12, 15 or 20 rows; "
    "4, 16 and 25 rows have square ones",
)
config_flags.define(PRESETS, default="relational")

_MODEL = ("checkpoint", "run")
_ATTEMPTS = (
    *("max_steps", "search_attempts", "search_max_steps"),
    *("search_assume", "search_branch", "search_probes", "search_noise"),
)
_READS = {
    "train": (
        "run",
        "resume",
        "log_to",
        "accept_changed_data",
        "data",
        "skip_bad",
        "preset",
        "config",
    ),
    "eval": (
        *(*_MODEL, "data", "box", "skip_bad", "split", "puzzles", "halting", "proposer"),
        *(*_ATTEMPTS, "config.test"),
    ),
    "solve": (*_MODEL, "puzzle", "box", "skip_bad", "render", *_ATTEMPTS),
    "export": (*_MODEL, "out", "config"),
}
"""The flags of each mode; flags of other modes are refused, as they would change nothing."""


def main() -> int:
    """Runs the mode; returns the exit code."""
    config_flags.refuse_unread(FLAGS.mode, _READS)
    distributed.join()
    # Every process computes, but only the first one prints.
    console = make_console(markup=False, quiet=jax.process_index() != 0)
    modes = {"train": train, "eval": evaluate, "solve": solve, "export": export}
    return modes[FLAGS.mode](console)


def train(console: Console) -> int:
    """Trains, measures on held-out puzzles, draws the curves, and solves one.

    Returns the exit code.
    """
    folder = run_folder("sudoku", FLAGS.run, resume=FLAGS.resume)
    # A resumed run keeps its own config; flags may change it.
    config = config_flags.resolve(read_config(folder, SudokuConfig) if FLAGS.resume else None)
    task = SudokuTask(_with_data(config, "train"))
    state = train_in_sight(
        task,
        folder,
        console,
        terminal.Shown("puzzles", config.batch_size, _AVERAGES),
        _PANELS,
        config.description,
        resume=FLAGS.resume,
        accept_changed_data=FLAGS.accept_changed_data,
        trackers=FLAGS.log_to,
    )
    if is_stopped(task, state):
        return STOPPED_BY_SIGNAL
    split = task.config.data.held_out_split
    mesh = make_mesh(config.mesh)
    # Measuring and fetching are collective: every process takes part, before the first one writes.
    held_out = measuring.usual(task, split)
    averaged = state.averaged_variables
    report = measuring.measure(task, averaged, held_out, task.config.test, console, mesh)
    variables = fetch(averaged, mesh)
    if jax.process_index() == 0:
        write_atomically(folder / "report.json", json.dumps(report, indent=2) + "\n")
        _show(task, variables, split, console, folder)
    return 0


def _show(
    task: SudokuTask,
    variables: Variables,
    split: str,
    console: Console,
    folder: pathlib.Path,
) -> None:
    """Solves a held-out puzzle, and prints the next command."""
    console.print(f"curves: {folder / 'curves.png'}", soft_wrap=True)
    source = task.config.data.load(split)
    console.print(f"\nA held-out puzzle of rating {source.rating[0]}, step by step:")
    solving.show_held_out(task, variables, source, console)
    console.print(
        f"\nNext: python -m experiments.sudoku --mode=solve --checkpoint={folder} --puzzle=...",
        soft_wrap=True,
    )


def evaluate(console: Console) -> int:
    """Measures a checkpoint; without a terminal the last line is the report as JSON."""
    mesh = make_mesh(MeshConfig())
    # A file is read first: loading a model takes seconds.
    other = measuring.other_size(FLAGS.data, FLAGS.box, bool(FLAGS.skip_bad))
    task, variables, step = exported.load_any(_checkpoint(), mesh)
    # Fixed augmentations are for training; test.puzzles=0 measures all puzzles unless flags say
    # less.
    whole = replace(task.config, {"data.num_augmentations": 0, "test.puzzles": 0})
    config = config_flags.resolve(whole)
    task = SudokuTask(config if other else _with_data(config, "test"))
    settings = replace(task.config.test, _changes())
    console.print(f"measuring {_named(step)}")
    if other is None:
        other = measuring.usual(task, FLAGS.split or task.config.data.held_out_split)
    elif FLAGS.split is not None:
        raise app.UsageError("--split: a file of another size has no splits; leave it out")
    task, variables = measuring.proposed_by(FLAGS.proposer, task, variables)
    report = measuring.measure(task, variables, other, settings, console, mesh)
    if jax.process_index() == 0 and not console.is_terminal:
        print(json.dumps(report))
    return 0


def solve(console: Console) -> int:
    """Solves the given puzzles; returns 0 only if every one is solved."""
    if FLAGS.puzzle is None:
        message = "--mode=solve needs --puzzle: 81 characters, a file, or -"
        raise app.UsageError(message, exitcode=2)
    process.keep_compiled()
    # Puzzle and picture are checked first: loading a model takes seconds.
    box = parse_box(FLAGS.box) if FLAGS.box else None
    puzzles, board = solving.read_puzzles(FLAGS.puzzle, bool(FLAGS.skip_bad), box)
    picture = pathlib.Path(FLAGS.render) if FLAGS.render else None
    if picture is not None:
        check_picture(picture, len(puzzles))
    task, variables, _ = exported.load_any(_checkpoint(), make_mesh(MeshConfig()))
    settings = solving.settings_of(task.config, _changes())
    return solving.solve_all(task, variables, puzzles, console, picture, settings, board)


def export(console: Console) -> int:
    """Writes a trained model as a model folder, its config changed as --config says.

    Returns the exit code.
    """
    if FLAGS.out is None:
        raise app.UsageError("--mode=export needs --out: a folder", exitcode=2)
    task, variables, step = exported.load_any(_checkpoint(), make_mesh(MeshConfig()))
    # Fields may be changed, such as max_steps of tests; the weights are as they are.
    task = SudokuTask(config_flags.resolve(task.config))
    folder = pathlib.Path(FLAGS.out)
    save_model(folder, task.config, variables)
    size_bytes = sum(path.stat().st_size for path in folder.iterdir())
    console.print(f"{folder}: {size_bytes:,} bytes, of {_named(step)}", soft_wrap=True)
    return 0


def _checkpoint() -> pathlib.Path:
    """Returns the checkpoint asked for, or the model that is shipped with the package."""
    return exported.chosen(FLAGS.checkpoint or FLAGS.run)


def _named(step: int | None) -> str:
    """Returns how messages name a model; an exported one does not know its step."""
    return "an exported model" if step is None else f"the checkpoint of step {step}"


def _with_data(config: SudokuConfig, split: str) -> SudokuConfig:
    """Returns the config with the data that flags name; a file of --data is read as `split`."""
    if FLAGS.skip_bad is not None:
        config = replace(config, {"data.skip_bad": FLAGS.skip_bad})
    if FLAGS.data is None:
        return config
    names = ("bank", "extreme", "extreme_1k")
    changes = {"data.name": FLAGS.data, "data.train_csv": "", "data.test_csv": ""}
    if FLAGS.data not in names:
        if not pathlib.Path(FLAGS.data).is_file():
            raise FileNotFoundError(f"--data expects a file or one of {names}, got {FLAGS.data!r}")
        changes |= {"data.name": "csv", f"data.{split}_csv": FLAGS.data}
    return replace(config, changes)


def _changes() -> dict[str, Any]:
    """Returns the changes of evaluation settings by flags, by path; unset flags change nothing."""
    changes = {
        "puzzles": FLAGS.puzzles,
        "halting": FLAGS.halting,
        "max_steps": FLAGS.max_steps,
        "search.attempts": FLAGS.search_attempts,
        "search.max_steps": FLAGS.search_max_steps,
        "search.assume": FLAGS.search_assume,
        "search.branch": FLAGS.search_branch,
        "search.probes": FLAGS.search_probes,
        "search.noise": FLAGS.search_noise,
    }
    # One way to search takes the place of the other; both asked for are refused by the config.
    if FLAGS.search_assume and FLAGS.search_branch is None:
        changes["search.branch"] = False
    if FLAGS.search_branch:
        changes["search.symmetries"] = False
        if FLAGS.search_assume is None:
            changes["search.assume"] = False
    return {name: value for name, value in changes.items() if value is not None}


if __name__ == "__main__":
    command.run(main)
