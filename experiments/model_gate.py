"""Fails where a change has made a model worse: `python -m experiments.model_gate --recorded=FILE`.

    python -m experiments.model_gate --model=qwen2.5-coder-0.5b --record=gate.json    # before
    python -m experiments.model_gate --model=qwen2.5-coder-0.5b --recorded=gate.json  # after

The model writes --problems of HumanEval, spread over it, and they are judged in the sandbox; and
the nats per byte of the suite's own solutions are taken. Both are compared with the recorded ones,
problem by problem. It ends with status 1 where fewer pass, or the solutions are less likely, than
chance explains (1 %), and 0 otherwise. A run that ends so is not a proof: small harm stays unseen.
"""

import dataclasses
import pathlib
import tempfile
from typing import TYPE_CHECKING

from absl import flags

from experiments.common import command, process

if __name__ == "__main__":
    process.keep_heap()  # before JAX is imported: it re-executes the program once

from experiments.codegen import judging, writer
from experiments.common import language_model
from experiments.common.terminal import Table, live_line, make_console
from hrm_jax.core.config import check
from hrm_jax.evaluation import gate
from hrm_jax.evaluation.evaluate import COMPLETIONS, EvaluationSettings, evaluate, read_completions
from hrm_jax.evaluation.likelihood import nats_per_byte
from hrm_jax.evaluation.suites.humaneval import load_humaneval

if TYPE_CHECKING:
    from rich.console import Console

FLAGS = flags.FLAGS
FLAGS.set_default("max_tokens", 256)  # enough for most of HumanEval
_RECORDED = flags.DEFINE_string("recorded", None, "file of the measurement to compare with")
_RECORD = flags.DEFINE_string("record", None, "file to write the measurement to")
_PROBLEMS = flags.DEFINE_integer(
    "problems", 41, "of HumanEval, spread over it", lower_bound=1, upper_bound=164
)


def main() -> int:
    """Measures, and records or compares; returns 1 where the model is worse."""
    check(
        bool(_RECORDED.value or _RECORD.value),
        "--recorded, --record",
        expected="a file to compare with, or one to write",
        got="neither",
        remedy="record a measurement first by --record=FILE",
    )
    process.keep_compiled()
    # Read first: a damaged record must not be found out after the measurement.
    before = None if _RECORDED.value is None else gate.read(pathlib.Path(_RECORDED.value))
    console = make_console()
    measured = _measure(console)
    if _RECORD.value is not None:
        gate.write(pathlib.Path(_RECORD.value), measured)
        console.print(f"recorded in {_RECORD.value}")
    if before is None:
        return 0
    changes = gate.changes(before, measured)
    console.print(_table(changes))
    return int(any(change.is_worse for change in changes))


def _measure(console: "Console") -> gate.Measured:
    suite = load_humaneval().take(_PROBLEMS.value)
    # What is missing is told before a model is loaded.
    judge = judging.make_judge(suite.language)
    loaded = language_model.load_model()
    # The last part alone: records are compared by their settings, and a model may lie elsewhere.
    name = pathlib.PurePath(FLAGS.model or str(loaded.origin)).name
    longest = language_model.max_length(loaded.model)
    nats = nats_per_byte(loaded.model, loaded.variables, loaded.tokenizer, suite, longest)
    settings = EvaluationSettings(
        suite=suite.name,
        completer=f"{name}, {writer.named_settings()}",
        problems=len(suite.problems),
        max_tokens=FLAGS.max_tokens,
        seed=FLAGS.seed,
    )
    with (
        tempfile.TemporaryDirectory() as folder,
        live_line(console, "measure", settings.problems, waits_for="writing") as line,
    ):
        done = 0

        def progress(lines, left) -> None:
            nonlocal done
            done += len(lines)
            line.update(done, [f"{sum(one.passed for one in lines)} of {len(lines)} pass"])

        evaluate(
            suite,
            writer.make_completer(loaded, chat=False),
            judge,
            settings,
            pathlib.Path(folder),
            # Several times as many as are written at once, so that a long text does not keep all
            # waiting.
            batch=4 * FLAGS.batch_size,
            progress=progress,
        )
        judged = read_completions(pathlib.Path(folder) / COMPLETIONS)
    told = {key: str(value) for key, value in dataclasses.asdict(settings).items()}
    return gate.Measured(told, {one.task_id: one.passed for one in judged}, dict(nats))


def _table(changes: tuple[gate.Change, ...]) -> Table:
    table = Table(title="beside the recorded measurement")
    table.add_column("figure")
    for name in ("recorded", "now", "by chance"):
        table.add_column(name, justify="right")
    table.add_column("")
    for change in changes:
        table.add_row(
            change.name,
            f"{change.before:.4f}",
            f"{change.now:.4f}",
            f"{change.chance:.1%}",
            "worse" if change.is_worse else "",
        )
    return table


if __name__ == "__main__":
    command.run(main, extras="codegen,foundation")
