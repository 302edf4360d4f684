"""Measures how well examples and agreement choose among samples: `--mode=choose`."""

import pathlib

from absl import app, flags
from rich.console import Console

from experiments.codegen import judging, measuring
from experiments.common.terminal import Table, live_line
from hrm_jax.core.config import from_json
from hrm_jax.evaluation.evaluate import (
    COMPLETIONS,
    SETTINGS,
    EvaluationSettings,
    ResumeError,
    read_completions,
)
from hrm_jax.verified.choices import CHOICES, Chosen, Seen, can_choose, choose, look

FLAGS = flags.FLAGS
_ROWS = {
    "the first": "first",
    "by agreement": "agreed",
    "by examples": "shown",
    "by examples, then agreement": "shown_agreed",
    "any that is right": "possible",
    "verified by examples": "verified",
    "of these wrong": "wrong",
    "of these wrong, with agreement": "wrong_agreed",
}

flags.DEFINE_list("choose_among", ["1", "10", "50"], "choose: how many samples, in groups of each")


def run(console: Console) -> int:
    """Shows a table of what would be shown, and how much of it is right; returns the exit code.

    `--results` is a folder that `--mode=eval` has filled with samples; the other flags say of which
    suite, as they did there. What was looked at is kept in the folder, so that a run that was cut
    off goes on.

    Raises:
      ResumeError: the folder holds no samples, or others.
      SuiteError, SandboxUnavailable, ToolchainMissing, PackageMissing: what is missing.
    """
    if not FLAGS.results:
        raise app.UsageError("--mode=choose needs --results: a folder of --mode=eval", exitcode=2)
    folder = pathlib.Path(FLAGS.results)
    if not (folder / SETTINGS).exists():
        raise ResumeError(f"{folder}: expected a folder of --mode=eval, got one without {SETTINGS}")
    # Read for the title and for messages; which problems there are the flags say.
    settings = from_json(EvaluationSettings, (folder / SETTINGS).read_text(encoding="utf-8"))
    suite = measuring.load_suite()
    lines = read_completions(folder / COMPLETIONS)
    unknown = {line.task_id for line in lines} - {one.task_id for one in suite.problems}
    if unknown:
        raise ResumeError(
            f"{folder}: expected samples of {suite.name}, got {sorted(unknown)[0]}; give the flags "
            f"of the suite as for --mode=eval ({settings.suite}, {settings.problems} problems)"
        )
    if not lines:
        raise ResumeError(
            f"{folder}: expected samples, got none; go on with --mode=eval by --resume"
        )
    # Before samples are looked at, which takes long: a wrong number ends the command at once.
    among = _among()
    judge = judging.make_judge("python")
    with live_line(console, "look", len(suite.problems), waits_for="first") as line:
        done = 0

        def show(seen: Seen) -> None:
            # What an earlier run has looked at is told as well, so the count begins with it.
            nonlocal done
            done += 1
            line.update(done, [seen.task_id], record=f"{done}: ")

        found = look(suite, lines, judge, folder / CHOICES, show)
    chosen = [choose(found, count) for count in among if can_choose(found, count)]
    console.print(_table(f"{settings.suite}, by {settings.completer}", found, chosen))
    return 0


def _among() -> list[int]:
    if not all(count.isdecimal() and int(count) for count in FLAGS.choose_among):
        raise app.UsageError(
            f"--choose_among: expected numbers of samples from 1, got {FLAGS.choose_among}", 2
        )
    return [int(count) for count in FLAGS.choose_among]


def _table(title: str, found: list[Seen], chosen: list[Chosen]) -> Table:
    table = Table(title=title)
    table.add_column("shown is")
    for one in chosen:
        table.add_column(f"of {one.samples}", justify="right")
    for label, name in _ROWS.items():
        table.add_row(label, *(_share(getattr(one, name)) for one in chosen))
    table.add_row("problems", *(str(len(found)) for _ in chosen))
    with_examples = sum(bool(seen.verified) for seen in found)
    table.add_row("with examples", *(str(with_examples) for _ in chosen))
    return table


def _share(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
