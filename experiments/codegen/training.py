"""Trains a model of code: `--mode=train` of `experiments.codegen`."""

import json
import pathlib

import jax
from absl import flags
from rich.console import Console

from experiments.codegen.presets import PRESETS
from experiments.common import config_flags, curves, terminal
from experiments.common.runs import STOPPED_BY_SIGNAL, is_stopped, run_folder, train_in_sight
from experiments.common.terminal import Table
from hrm_jax.convert.language import RUN_MODEL, save_language_model
from hrm_jax.core.files import write_atomically
from hrm_jax.core.mesh import fetch, make_mesh
from hrm_jax.tasks.code.config import CodeConfig
from hrm_jax.tasks.code.samples import as_text
from hrm_jax.tasks.code.task import CodeReport, CodeTask
from hrm_jax.training import trackers
from hrm_jax.training.first_state import begin
from hrm_jax.training.run_folder import read_config

FLAGS = flags.FLAGS
SAMPLES = "samples.txt"
_SHOWN_SAMPLES = 4
_AVERAGES = {"bits_per_byte": "{:.3f} bits/byte", "loss": "loss {:.3f}"}
_PANELS = (
    curves.Panel("loss, nats a token", ("loss",)),
    curves.Panel("bits per byte", ("bits_per_byte", "bits_per_byte_*")),
    curves.Panel("share that parses", ("parse_rate",), shares=True),
)

flags.DEFINE_string(
    "run", None, "train: the run's folder; a new one below runs/, or to --resume the newest one"
)
flags.DEFINE_multi_enum("log_to", None, trackers.CHOICES, f"train: {trackers.HELP}")
flags.DEFINE_bool(
    "accept_changed_data",
    False,
    "train: go on with --resume though the training texts are others than before",
)
config_flags.define(PRESETS, default="first_look")


def run(console: Console) -> int:
    """Trains, and shows what the model writes before and after; returns the exit code."""
    folder = run_folder("code", FLAGS.run, resume=FLAGS.resume)
    # A resumed run keeps its own config, which flags may change; the preset is not looked at.
    config = config_flags.resolve(read_config(folder, CodeConfig) if FLAGS.resume else None)
    task = CodeTask(config, folder)
    mesh = make_mesh(config.mesh)
    state = train_in_sight(
        task,
        folder,
        console,
        terminal.Shown("tokens", config.batch_tokens, _AVERAGES),
        _PANELS,
        config.description,
        resume=FLAGS.resume,
        accept_changed_data=FLAGS.accept_changed_data,
        trackers=FLAGS.log_to,
    )
    if is_stopped(task, state):
        return STOPPED_BY_SIGNAL
    with terminal.waiting(console, "measuring, before and after"):
        before, after = (
            task.evaluate(variables, task.load().test, config.test, mesh)
            # The initial values are made again from the seed rather than kept: training donated
            # them.
            for variables in (begin(task, mesh).variables, state.averaged_variables)
        )
    # All processes take part in fetching, though the first alone writes.
    variables = fetch(state.averaged_variables, mesh)
    if jax.process_index() == 0:
        save_language_model(folder / RUN_MODEL, task.trained(variables))
        _save_report(task, before, after)
        _show(console, folder, before, after)
    return 0


def _save_report(task: CodeTask, before: CodeReport, after: CodeReport) -> None:
    """Writes report.json, and all samples as text."""
    found = {
        "before": before.as_dict(),
        "after": after.as_dict(),
        "training_flops_per_token": task.flops_per_token(),
        "trained_tokens": task.config.loop.steps * task.config.batch_tokens,
    }
    write_atomically(task.folder / "report.json", json.dumps(found, indent=2) + "\n")
    parts = [
        as_text(report.samples, f"{title} training")
        for title, report in (("before", before), ("after", after))
        if report.samples
    ]
    write_atomically(task.folder / SAMPLES, "\n".join(parts))


def _show(console: Console, folder: pathlib.Path, before: CodeReport, after: CodeReport) -> None:
    """Prints the measures side by side, a few samples, and the next command."""
    for title, report in (("before", before), ("after", after)):
        if report.samples:
            text = as_text(report.samples[:_SHOWN_SAMPLES], f"\n{title} training")
            console.print(text, highlight=False, soft_wrap=True)
    table = Table(title="held-out projects, test split")
    table.add_column("measure")
    for title in ("before", "after"):
        table.add_column(title, justify="right")
    for name, value in after.as_dict().items():
        form = "{:.1%}" if name == "parse_rate" else "{:.3f}"
        table.add_row(name, form.format(before.as_dict()[name]), form.format(value))
    console.print(table)
    for what in ("curves.png", SAMPLES, "report.json", RUN_MODEL):
        console.print(f"{what}: {folder / what}", soft_wrap=True)
    command = f"python -m experiments.codegen --mode=generate --model={folder / RUN_MODEL}"
    console.print(f"\nNext: {command} --prompt=...", soft_wrap=True)
