"""Measures how much of the code that is written works: `--mode=eval` of `experiments.codegen`."""

import dataclasses
import pathlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from absl import app, flags
from rich.console import Console

from experiments.codegen import judging
from experiments.common.runs import RUNS
from experiments.common.terminal import Table, live_line
from hrm_jax.core.protocols import Completer
from hrm_jax.evaluation.evaluate import (
    REPORT,
    ROUND,
    EvaluationSettings,
    Judged,
    SuiteReport,
    evaluate,
)
from hrm_jax.evaluation.suites import known_answers, named
from hrm_jax.evaluation.suites.chat_form import in_chat_form
from hrm_jax.evaluation.suites.mbpp import SPLITS
from hrm_jax.evaluation.suites.problems import Suite
from hrm_jax.verified.choices import settled

FLAGS = flags.FLAGS
_MOST_NAMES = 10

LoadModel = Callable[[], tuple[Completer, str]]
"""A function that loads a model: the completer, and its name in reports with its sampling."""

flags.DEFINE_enum("suite", "humaneval", named.NAMES, "eval: the problems")
flags.DEFINE_string(
    "suite_data",
    None,
    f"eval: folder of the suites' files; {named.DATA_VARIABLE} if unset. humaneval needs none",
)
flags.DEFINE_enum("mbpp_split", "test", list(SPLITS), "eval: which problems of MBPP")
flags.DEFINE_enum(
    "mbpp_style",
    "few_shot",
    ["few_shot", "instruction"],
    "eval: how MBPP asks: after three solved tasks, or in a docstring",
)
flags.DEFINE_enum(
    "form",
    "plain",
    ["plain", "chat"],
    "eval: how solutions are asked for: the problem is gone on from, or put to the model in a "
    "conversation",
)
flags.DEFINE_enum(
    "completer",
    "model",
    ["model", "canonical", "buggy"],
    "eval: what writes: --model; or, to calibrate the judge, the suite's own "
    "solutions (all should pass) or its planted bugs (none should)",
)
flags.DEFINE_integer("suite_problems", 0, "eval: how many problems, spread over it; 0 for all")
flags.DEFINE_list("pass_k", ["1"], "eval: k of each pass@k, each at most --samples")
flags.DEFINE_integer(
    "judge_batch",
    128,
    "eval: completions written before they are judged and saved; several times --batch_size, so "
    "that a long one does not keep all others waiting",
    lower_bound=1,
)
flags.DEFINE_bool(
    "until_settled",
    False,
    f"eval: after {ROUND} samples a problem gets no more once one of them passes the examples that "
    "its prompt shows; enough for --mode=choose to tell what is verified",
)
flags.DEFINE_string("results", None, "eval: folder of the results; a new one below runs/ if unset")


def run(console: Console, load_model: LoadModel | None) -> int:
    """Measures as the flags say and shows a table; returns the exit code.

    `report.json` and all completions stay in the folder of the results. Flags of other modes that
    count here: `--samples`, `--max_tokens`, `--seed`, `--resume`.

    Args:
      console: where to show it.
      load_model: of `--completer=model`; None where no model is named.

    Raises:
      SuiteError, ToolchainMissing, PackageMissing, SandboxUnavailable, ResumeError, ConfigError:
        what is missing, or does not fit.
    """
    suite = load_suite()
    if FLAGS.until_settled and suite.language != "python":
        raise app.UsageError(
            "--until_settled: expected a suite in Python, whose examples can be run, got "
            f"{suite.name} in {suite.language}; leave it out",
            exitcode=2,
        )
    # Sandbox and toolchain are found before a model is loaded: they fail at once.
    judge = judging.make_judge(suite.language)
    completer, name = _completer(suite, load_model)
    settings = _settings(suite, name)
    # The folder is named here and made by `evaluate`: what fails before leaves none behind.
    folder = _folder(suite)
    console.print(
        f"{suite.name}: {len(suite.problems)} problems in {suite.language}, {settings.samples} "
        f"completions each by {name}, judged in {judge.sandbox.name}; results in {folder}",
        soft_wrap=True,
    )
    with _progress(console, settings.problems * settings.samples) as progress:
        report = evaluate(
            suite,
            completer,
            judge,
            settings,
            folder,
            resume=FLAGS.resume,
            batch=FLAGS.judge_batch,
            settled=settled(suite, judge),
            progress=progress,
        )
    console.print(results_table(report))
    for note in notes(report):
        console.print(note, soft_wrap=True)
    return 0


def results_table(report: SuiteReport) -> Table:
    """Returns a table of pass@k with intervals, the share that parses, and the results by kind."""
    settings = report.settings
    table = Table(title=f"{settings.suite}, by {settings.completer}")
    table.add_column("measure")
    table.add_column("value", justify="right")
    table.add_column("95 % interval", justify="right")
    for k, value in report.pass_at.items():
        table.add_row(f"pass@{k}", f"{value.value:.1%}", f"{value.low:.1%} - {value.high:.1%}")
    table.add_row("completions that parse", f"{report.parse_rate:.1%}", "")
    table.add_section()
    table.add_row("problems", str(settings.problems), "")
    if report.too_long:
        table.add_row("problems longer than the context", str(len(report.too_long)), "")
    for result, count in report.results.items():
        table.add_row(f"completions: {result}", str(count), "")
    return table


def notes(report: SuiteReport) -> list[str]:
    """Returns what to say below the table: problems too long for the model, missing packages."""
    said = []
    if report.too_long:
        said.append(
            "not written, as their prompts are longer than the model's context, and counted as "
            f"unsolved: {named_briefly(report.too_long)}"
        )
    if report.missing_packages:
        counts = [f"{name} ({count})" for name, count in report.missing_packages.items()]
        said.append(
            f"completions that failed as a package is not there: {named_briefly(counts)}; "
            "--allow_packages lets programs import what is installed here"
        )
    return said


def named_briefly(names: Sequence[str]) -> str:
    """Returns the first names, and how many more there are."""
    shown = ", ".join(names[:_MOST_NAMES])
    more = len(names) - _MOST_NAMES
    return f"{shown} and {more} more (all in {REPORT})" if more > 0 else shown


def load_suite() -> Suite:
    """Returns the suite that the flags name; raises SuiteError as `named.load_suite`."""
    folder = named.data_folder(FLAGS.suite_data)
    suite = named.load_suite(FLAGS.suite, folder, split=FLAGS.mbpp_split, style=FLAGS.mbpp_style)
    suite = suite.take(FLAGS.suite_problems)
    return in_chat_form(suite) if FLAGS.form == "chat" else suite


def _completer(suite: Suite, load_model: LoadModel | None) -> tuple[Completer, str]:
    # Known solutions go on from the problem; an answer in a conversation is a whole program.
    if FLAGS.completer != "model" and FLAGS.form == "chat":
        raise app.UsageError("--form=chat: expected with --completer=model; leave it out")
    if FLAGS.completer == "canonical":
        return known_answers.canonical(suite), "canonical"
    if FLAGS.completer == "buggy":
        return known_answers.buggy(suite), "buggy"
    if load_model is None:
        raise app.UsageError(
            "--completer=model needs --model: a run's folder or a model's", exitcode=2
        )
    return load_model()


def _settings(suite: Suite, completer: str) -> EvaluationSettings:
    try:
        ks = tuple(int(k) for k in FLAGS.pass_k)
    except ValueError as error:
        raise app.UsageError(f"--pass_k: expected numbers, got {FLAGS.pass_k}", 2) from error
    # Flags that change the problems are part of the name: a resumed run must agree in them.
    variant = f", {FLAGS.mbpp_split}, {FLAGS.mbpp_style}" if suite.name.startswith("mbpp") else ""
    variant += ", chat" if FLAGS.form == "chat" else ""
    return EvaluationSettings(
        suite=suite.name + variant,
        completer=completer,
        problems=len(suite.problems),
        samples=FLAGS.samples,
        ks=ks,
        max_tokens=FLAGS.max_tokens,
        seed=FLAGS.seed,
        # In order, as settings are compared with those of the folder that is gone on with.
        packages=tuple(sorted(FLAGS.allow_packages)),
        until_settled=FLAGS.until_settled,
    )


def _folder(suite: Suite) -> pathlib.Path:
    # The folder that is named by default is new: it has nothing to go on with.
    if FLAGS.resume and not FLAGS.results:
        raise app.UsageError("--resume needs --results: the folder to go on with", exitcode=2)
    return pathlib.Path(FLAGS.results or RUNS / time.strftime(f"{suite.name}-%Y%m%d-%H%M%S"))


@dataclasses.dataclass
class _Tally:
    """Counts verdicts; the first lines are what an earlier run left, and do not count as speed."""

    begun: float
    passed: int = 0
    judged: int = 0
    found: int | None = None

    def add(self, lines: Sequence[Judged]) -> list[str]:
        self.passed += sum(line.passed for line in lines)
        self.judged += len(lines)
        self.found = len(lines) if self.found is None else self.found
        # Completions of an earlier run count for the share, not for the speed.
        rate = (self.judged - self.found) / (time.monotonic() - self.begun)
        return [f"{self.passed / max(self.judged, 1):.1%} pass", f"{rate:.1f} completions/s"]


@contextmanager
def _progress(console: Console, total: int) -> Iterator[Callable[[Sequence[Judged], int], None]]:
    """Yields a function that takes new verdicts, and how many are left, and shows them.

    It shows a line of progress on a terminal, and a line for each batch elsewhere.
    """
    tally = _Tally(time.monotonic())
    with live_line(console, "measure", total, waits_for="writing") as line:

        def update(lines: Sequence[Judged], left: int) -> None:
            parts = tally.add(lines)
            # Before the first completion there is nothing to tell.
            if tally.judged:
                most = tally.judged + left
                record = f"{tally.judged}/{most}: "
                line.update(tally.judged, parts, total=most, record=record)

        yield update
