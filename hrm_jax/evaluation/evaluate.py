"""Measures a completer on a suite: completions, verdicts, pass@k; an interrupted run resumes.

A folder holds `settings.json`, what was measured; `completions.jsonl`, a line for each completion
with its verdict, in the order they were judged; and `report.json`, the figures.
"""

import dataclasses
import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from hrm_jax.core import config as config_lib
from hrm_jax.core.config import ConfigError, check, configclass, field
from hrm_jax.core.errors import UserError
from hrm_jax.core.files import write_atomically
from hrm_jax.core.protocols import Completer
from hrm_jax.evaluation.judge.exams import Verdict
from hrm_jax.evaluation.judge.judge import Judge
from hrm_jax.evaluation.pass_at_k import Estimate, estimate
from hrm_jax.evaluation.suites.problems import Problem, Suite
from hrm_jax.evaluation.syntax import parses

Line = TypeVar("Line")

SETTINGS = "settings.json"
COMPLETIONS = "completions.jsonl"
REPORT = "report.json"
ROUND = 10
"""Samples of each problem that are drawn before any problem gets more."""
TOO_LONG = "prompt_too_long"
"""Result of a problem whose prompt is longer than the model's context: nothing was written."""


class ResumeError(UserError, ValueError):
    """The folder holds another measurement, or one that cannot be read."""


@configclass
class EvaluationSettings:
    """What is measured; completions under other settings are not comparable."""

    suite: str = field(help="name, split and style of the problems")
    completer: str = field(help="what writes, with what it depends on, such as the temperature")
    problems: int = field(help="how many problems", at_least=1)
    samples: int = field(1, help="n, completions of each problem", at_least=1)
    ks: tuple[int, ...] = field(
        (1,), help="the k of each pass@k, each at most n", at_least=1, nonempty=True
    )
    max_tokens: int = field(512, help="longest completion", at_least=1)
    seed: int = field(0, help="of the completions' seeds and of the intervals")
    packages: tuple[str, ...] = field(
        (), help="what programs may import beyond the standard library"
    )
    until_settled: bool = field(
        False, help=f"whether a problem that is settled gets no more samples after {ROUND}"
    )

    def __post_init__(self):
        check(
            max(self.ks) <= self.of_each,
            "ks",
            expected=f"numbers up to {self.of_each}, the samples of each problem",
            got=self.ks,
            remedy="draw more samples or ask for smaller k",
        )

    @property
    def of_each(self) -> int:
        """The number of samples that every problem has."""
        return min(self.samples, ROUND) if self.until_settled else self.samples


@dataclasses.dataclass(frozen=True)
class Judged:
    """A line of `completions.jsonl`.

    Attributes:
      task_id, sample: the problem, and which of its completions.
      seed: that the completion was drawn with.
      completion: as the completer gave it, before `Suite.finish`; empty where it gave none.
      parses: whether the program that was judged is free of syntax errors.
      passed: the verdict.
      result, detail, seconds: see `Verdict`; the result may be `TOO_LONG` as well.
    """

    task_id: str
    sample: int
    seed: int
    completion: str
    parses: bool
    passed: bool
    result: str
    detail: str
    seconds: float


@dataclasses.dataclass(frozen=True)
class SuiteReport:
    """The figures of a measurement.

    Attributes:
      settings: what was measured.
      pass_at: the estimate by k.
      parse_rate: the share of completions whose programs are free of syntax errors; 0 if nothing
        was written.
      results: how many completions came to each result.
      unsolved: task ids of which no completion passed.
      too_long: those of them whose prompt is longer than the model's context.
      missing_packages: how many completions failed for want of a package, by its name.
      judging_seconds: of all verdicts together.
    """

    settings: EvaluationSettings
    pass_at: dict[int, Estimate]
    parse_rate: float
    results: dict[str, int]
    unsolved: tuple[str, ...]
    too_long: tuple[str, ...]
    missing_packages: dict[str, int]
    judging_seconds: float

    def as_dict(self) -> dict[str, Any]:
        """Returns JSON values; each `pass@k` holds value, low and high."""
        return {
            "settings": config_lib.to_dict(self.settings),
            **{f"pass@{k}": dataclasses.asdict(value) for k, value in self.pass_at.items()},
            "parse_rate": self.parse_rate,
            "results": self.results,
            "unsolved": list(self.unsolved),
            "too_long": list(self.too_long),
            "missing_packages": self.missing_packages,
            "judging_seconds": self.judging_seconds,
        }


def evaluate(
    suite: Suite,
    completer: Completer,
    judge: Judge,
    settings: EvaluationSettings,
    folder: Path,
    *,
    resume: bool = False,
    batch: int = 32,
    settled: Callable[[Problem, Sequence[Judged]], bool] = lambda *_: False,
    progress: Callable[[Sequence[Judged], int], None] = lambda *_: None,
) -> SuiteReport:
    """Completes and judges what the folder does not hold yet, and returns the report on all of it.

    Args:
      suite: the problems.
      completer: called with `batch` prompts at a time.
      judge: of the suite's language.
      settings: what is measured.
      folder: made if need be. After each batch its completions are on disk.
      resume: go on with what the folder holds.
      batch: completions at a time; changes no completion.
      settled: where `settings.until_settled`, called with a problem and its last `ROUND` samples:
        whether more samples of it would tell nothing.
      progress: called with the lines of the folder, then with those of each batch, and with how
        many are left to be written at most; without lines where a round begins.

    Raises:
      ImportError: the grammar of the suite's language is not installed.
      ResumeError: the folder holds a measurement and `resume` is False; its settings differ; or a
        line before the last one is broken.
    """
    # Grammars belong to an extra: a missing one should not show after hours of writing.
    parses("", suite.language)  # raises before anything is written
    folder.mkdir(parents=True, exist_ok=True)
    done = _open(folder, settings, resume)
    # A completion is identified by its problem and number, so a resumed run does only what is
    # missing, in any order.
    present = {(line.task_id, line.sample) for line in done}
    progress(done, len(suite.problems) * settings.samples - len(done))
    # A round of all problems at a time, so that a run that is cut off has samples of each; several
    # of a problem in a row, as they share what was read of its prompt.
    problems = suite.problems
    for begin in range(0, settings.samples, ROUND):
        if begin and settings.until_settled:
            problems = _open_problems(problems, settled, done, begin)
        wanted = [
            (problem, sample)
            for problem in problems
            for sample in range(begin, settings.samples)
            if (problem.task_id, sample) not in present
        ]
        missing = [(problem, sample) for problem, sample in wanted if sample < begin + ROUND]
        left = len(wanted)
        progress((), left)
        for start in range(0, len(missing), batch):
            lines = _judge(suite, completer, judge, settings, missing[start : start + batch])
            # Written after each batch, with its verdicts: a kill loses one batch at most.
            append_lines(folder / COMPLETIONS, lines)
            done.extend(lines)
            left -= len(lines)
            progress(lines, left)
    report = summarize(suite, settings, done)
    write_atomically(folder / REPORT, json.dumps(report.as_dict(), indent=2) + "\n")
    return report


def _open_problems(
    problems: Sequence[Problem],
    settled: Callable[[Problem, Sequence[Judged]], bool],
    lines: Sequence[Judged],
    begin: int,
) -> list[Problem]:
    """Returns the problems that are not settled by the round before sample `begin`."""
    newest: dict[str, list[Judged]] = {problem.task_id: [] for problem in problems}
    for line in lines:
        if line.task_id in newest and begin - ROUND <= line.sample < begin:
            newest[line.task_id].append(line)
    return [problem for problem in problems if not settled(problem, newest[problem.task_id])]


def summarize(suite: Suite, settings: EvaluationSettings, lines: Iterable[Judged]) -> SuiteReport:
    """Returns the figures of a suite's completions.

    Args:
      suite: the problems, which count as unsolved where no completion passed.
      settings: what was measured.
      lines: at least one completion.
    """
    lines = list(lines)
    # Whether a problem got more samples depended on those before: they tell nothing of pass@k.
    counted = [line for line in lines if line.sample < settings.of_each]
    right = Counter(line.task_id for line in counted if line.passed)
    solved = {line.task_id for line in lines if line.passed}
    # Of all problems, of which some may have no right completion.
    counts = np.array([right[problem.task_id] for problem in suite.problems])
    written = [line for line in lines if line.result != TOO_LONG]
    too_long = {line.task_id for line in lines if line.result == TOO_LONG}
    return SuiteReport(
        settings,
        {k: estimate(settings.of_each, counts, k, settings.seed) for k in settings.ks},
        sum(line.parses for line in written) / max(len(written), 1),
        dict(Counter(line.result for line in lines).most_common()),
        tuple(p.task_id for p in suite.problems if p.task_id not in solved),
        tuple(p.task_id for p in suite.problems if p.task_id in too_long),
        dict(Counter(filter(None, map(_missing_package, lines))).most_common()),
        sum(line.seconds for line in lines),
    )


def _missing_package(line: Judged) -> str | None:
    """Returns the package for want of which a program failed; None if that was not the reason."""
    found = re.match(r"ModuleNotFoundError: No module named '(\w+)", line.detail)
    return found[1] if found and not line.passed else None


def seed_of(settings: EvaluationSettings, task_id: str, sample: int) -> int:
    """Returns the seed of a completion, in [0, 2^31): independent of all other completions."""
    # CRC-32 rather than `hash`, which differs from process to process; 31 bits fit an int32.
    return zlib.crc32(f"{settings.seed}/{task_id}/{sample}".encode()) & 0x7FFFFFFF


def _judge(
    suite: Suite,
    completer: Completer,
    judge: Judge,
    settings: EvaluationSettings,
    wanted: Sequence[tuple[Problem, int]],
) -> list[Judged]:
    seeds = [seed_of(settings, problem.task_id, sample) for problem, sample in wanted]
    completions = completer(
        [problem.prompt for problem, _ in wanted],
        seeds=seeds,
        stop=suite.stop,
        max_tokens=settings.max_tokens,
    )
    # Completions are recorded as written; only exams have them finished by the suite.
    exams = [
        None if completion is None else suite.exam_of(problem, completion)
        for (problem, _), completion in zip(wanted, completions, strict=True)
    ]
    # In the order of the exams, of which prompts that are too long have none.
    verdicts = judge.judge_all(exam for exam in exams if exam is not None)
    return [
        Judged(
            problem.task_id,
            sample,
            seed,
            completion or "",
            exam is not None and parses(exam.program, suite.language),
            **_TOO_LONG if exam is None else _as_fields(next(verdicts)),
        )
        for (problem, sample), seed, completion, exam in zip(
            wanted, seeds, completions, exams, strict=True
        )
    ]


_TOO_LONG = {
    "passed": False,
    "result": TOO_LONG,
    "detail": "the prompt is longer than the model's context",
    "seconds": 0.0,
}


def _as_fields(verdict: Verdict) -> dict[str, Any]:
    """Returns the fields of a verdict in `Judged`."""
    return {
        "passed": verdict.passed,
        "result": verdict.result,
        "detail": verdict.detail,
        "seconds": round(verdict.seconds, 3),
    }


def _open(folder: Path, settings: EvaluationSettings, resume: bool) -> list[Judged]:
    """Returns the lines of a folder with the same settings; writes the settings of a new one.

    Raises:
      ResumeError: the folder holds a measurement and `resume` is False, or its settings differ.
    """
    path = folder / SETTINGS
    if not path.exists():
        write_atomically(path, config_lib.to_json(settings))
        return []
    if not resume:
        raise ResumeError(
            f"{folder} holds a measurement; go on with it by --resume, or name another"
        )
    try:
        found = config_lib.from_json(EvaluationSettings, path.read_text(encoding="utf-8"))
    except (ConfigError, UnicodeDecodeError) as error:
        raise ResumeError(f"{path}: cannot be read ({error})") from error
    # Both are of one class, so their fields are compared in pairs.
    differing = [
        f"{info.path} {was.value!r}, now {info.value!r}"
        for was, info in zip(config_lib.fields(found), config_lib.fields(settings), strict=True)
        if was.value != info.value
    ]
    if differing:
        raise ResumeError(f"{folder} holds other settings: {'; '.join(differing)}; name another")
    return read_completions(folder / COMPLETIONS)


def read_completions(path: Path) -> list[Judged]:
    """Returns the completions of a file; see `read_lines`."""
    return read_lines(path, Judged)


def read_lines(path: Path, kind: Callable[..., Line]) -> list[Line]:
    """Returns the lines of a file; none where there is no file.

    A last line without its line end, left by a kill, is cut off the file.

    Args:
      path: of lines that `append_lines` wrote.
      kind: the dataclass of each, or what makes one of its fields.

    Raises:
      ResumeError: another line is broken.
    """
    if not path.exists():
        return []
    content = path.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    if whole != content:
        # The next line would otherwise be appended to the torn one.
        os.truncate(path, len(whole))
    lines = []
    for number, line in enumerate(whole[:-1].split(b"\n") if whole else (), 1):
        try:
            lines.append(kind(**json.loads(line)))
        except (ValueError, TypeError, RecursionError) as error:
            raise ResumeError(
                f"{path}, line {number}: expected a line as this version writes it, got one that "
                f"does not read so ({error}): measure into a new folder"
            ) from error
    return lines


def append_lines(path: Path, lines: Sequence[Any]) -> None:
    """Appends dataclasses to a file, a line of JSON each, and waits until they are on disk."""
    text = "".join(json.dumps(dataclasses.asdict(line)) + "\n" for line in lines)
    with open(path, "a", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        # On disk before the next batch starts, so that only the last line can be torn.
        os.fsync(file.fileno())
