"""Compares Sudoku models that are trained for the same time, over several seeds."""

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags
from rich.console import Console

from experiments.common import command
from experiments.common.comparisons import OtherCommand, check_command, spread, train_in_process
from experiments.common.curves import save_comparison
from experiments.common.terminal import Table, make_console
from experiments.sudoku.presets import PRESETS
from experiments.sudoku.variants import VARIANTS, Variant
from experiments.suite_figures import folder_name
from hrm_jax.core.config import check, configclass, field
from hrm_jax.core.files import write_atomically
from hrm_jax.training.run_log import read_metrics

_EVALUATIONS = 8
"""Evaluations, and so points of the curve, of a run that --minutes limits."""

Found = Mapping[str, Mapping[str, Any]]
"""For each data set, the report of an evaluation."""


@configclass
class Settings:
    """What is compared; the fields are the program's flags.

    Raises:
      ConfigError: on construction, for what cannot be compared.
    """

    variants: tuple[str, ...] = field(tuple(VARIANTS), one_of=tuple(VARIANTS))
    seeds: tuple[str, ...] = ("0",)
    minutes: float = field(25.0, at_least=0)
    data: tuple[str, ...] = ("bank",)
    puzzles: int = field(1000, at_least=0)
    search_attempts: int = field(0, at_least=0)
    folder: str = "runs/compare_sudoku"
    probe_steps: int = field(40, at_least=20)

    def __post_init__(self):
        for name in ("variants", "seeds", "data"):
            given = getattr(self, name)
            distinct = len(set(given)) == len(given) > 0
            check(
                distinct,
                name,
                expected="one or more, none twice",
                got=given,
                remedy="name each once",
            )
        # "01" and "1" are one seed, but would be two folders.
        seeds = [seed for seed in self.seeds if not (seed.isdecimal() and seed == str(int(seed)))]
        check(not seeds, "seeds", expected="whole numbers", got=seeds, remedy="as in 0,1,2")
        missing = [
            data for data in self.data if data != "bank" and not pathlib.Path(data).is_file()
        ]
        check(not missing, "data", expected="bank, or files", got=missing, remedy="name others")


def define_flags() -> None:
    """Defines the program's flags.

    It is called by the program alone, as other programs define flags of the same names.
    """
    default = Settings()
    texts = "\n".join(f"{name}: {variant.text}" for name, variant in VARIANTS.items())
    flags.DEFINE_list("variants", list(default.variants), f"Who takes part:\n{texts}")
    flags.DEFINE_list("seeds", list(default.seeds), "seeds: each variant is trained with each")
    flags.DEFINE_float(
        "minutes",
        default.minutes,
        "minutes of training of each run; 0 for the preset's steps, however long they take",
        lower_bound=0.0,
    )
    flags.DEFINE_list("data", list(default.data), "what is measured on: bank, or puzzle files")
    flags.DEFINE_integer(
        "puzzles", default.puzzles, "how many of each of --data, spread over it; 0 for all"
    )
    flags.DEFINE_integer(
        "search_attempts", default.search_attempts, "further attempts at an unsolved puzzle"
    )
    flags.DEFINE_string("folder", default.folder, "folder for the runs, the table and the curves")
    flags.DEFINE_integer(
        "probe_steps", default.probe_steps, "steps of the short run that tells how long one takes"
    )


def main() -> int:
    """Compares as the flags say; returns the exit code."""
    names = [field.name for field in dataclasses.fields(Settings)]
    given: dict[str, Any] = {name: flags.FLAGS[name].value for name in names}
    return compare(Settings(**given), make_console(markup=False))


def compare(settings: Settings, console: Console) -> int:
    """Trains and measures what is missing, and shows table and curves; returns the exit code.

    If a run fails, the exit code is the run's.
    """
    root = pathlib.Path(settings.folder)
    found: dict[str, list[Found]] = {}
    trained: dict[str, Any] = {}
    try:
        for name in settings.variants:
            variant = VARIANTS[name]
            # Without --minutes the preset's own steps are taken, however long they last.
            loop = PRESETS[variant.preset].loop
            steps = loop.steps
            evaluate_every = loop.evaluate_every
            if settings.minutes:
                # The number of steps is found before any seed is trained, so that all seeds take
                # equally many.
                steps = _steps_within(settings, variant, root / f"{name}-probe")
                # Rounded up, so that there are at most eight evaluations.
                evaluate_every = -(-steps // _EVALUATIONS)
            lengths = f"loop.steps={steps}", f"loop.evaluate_every={evaluate_every}"
            for seed in settings.seeds:
                console.print(f"{name}, seed {seed}: {steps} steps", style="bold")
                folder = root / f"{name}-{seed}"
                options = _options(variant, f"seed={seed}", *lengths)
                train_in_process("experiments.sudoku", options, PRESETS[variant.preset], folder)
                reports = {data: _measure(settings, folder, data) for data in settings.data}
                found.setdefault(name, []).append(reports)
                trained.setdefault(name, {"steps": steps, "minutes": settings.minutes})
    except subprocess.CalledProcessError as error:
        return error.returncode
    except OtherCommand as error:
        console.print(str(error), style="red", soft_wrap=True)
        return 2
    write_atomically(
        root / "comparison.json", json.dumps({"trained": trained, "solved": found}, indent=2) + "\n"
    )
    logs = {
        name.replace("_", " "): [read_metrics(root / f"{name}-{seed}") for seed in settings.seeds]
        for name in settings.variants
    }
    save_comparison(logs, root / "curves.png", "exact_accuracy")
    console.print(figures(found))
    return 0


def _steps_within(settings: Settings, variant: Variant, folder: pathlib.Path) -> int:
    """Returns how many steps fit into the time, by the pace of a short run in `folder`."""
    short = [f"loop.steps={settings.probe_steps}", "loop.log_every=10", "validation.puzzles=64"]
    options = _options(variant, *short)
    # First of all: it refuses a folder of something else, which is removed below.
    check_command(folder, options, PRESETS[variant.preset])
    if not (folder / "report.json").exists():
        shutil.rmtree(folder)  # times before and after a stop are not one
    train_in_process("experiments.sudoku", options, PRESETS[variant.preset], folder)
    rows = [row for row in read_metrics(folder) if row["split"] == "train"]
    # The first record's time includes compilation; the differences from there on do not.
    first = rows[0]
    last = rows[-1]
    seconds = (last["time_seconds"] - first["time_seconds"]) / (last["step"] - first["step"])
    return max(1, int(settings.minutes * 60 / seconds))


def _options(variant: Variant, *more: str) -> list[str]:
    """Returns flags of the experiment.

    A run's own test is made short, as its model is measured afterwards.
    """
    overrides = (*variant.overrides, *more, "test.puzzles=16", "test.max_steps=1")
    return [f"--preset={variant.preset}", *(f"--config.{override}" for override in overrides)]


def _measure(settings: Settings, folder: pathlib.Path, data: str) -> dict[str, Any]:
    """Returns the report of an evaluation, which stays beside the run."""
    measured = f"--data={data} --puzzles={settings.puzzles} --attempts={settings.search_attempts}"
    # The name says what was measured, so that other data or attempts are measured beside it.
    path = folder / f"measured-{folder_name(measured)}.json"
    if not path.exists():
        command = [sys.executable, "-m", "experiments.sudoku", "--mode=eval"]
        command += [f"--checkpoint={folder}", f"--data={data}", "--halting=rules"]
        # More steps than in training: what a model does not need it does not use under "rules".
        command += ["--max_steps=64", f"--puzzles={settings.puzzles}"]
        command += [f"--search_attempts={settings.search_attempts}"]
        # The report is the last line on standard output.
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        report = json.loads(said.splitlines()[-1])
        write_atomically(path, json.dumps(report, indent=2) + "\n")
    return json.loads(path.read_text(encoding="utf-8"))


def figures(found: Mapping[str, Sequence[Found]]) -> Table:
    """Returns a table: a row for each variant, a column for each data set and for its search."""
    first = next(iter(found.values()))
    table = Table(title=f"solved, seeds: {len(first)}, mean (range)")
    table.add_column("variant")
    columns = [(data, kind) for data in first[0] for kind in _kinds(first[0][data])]
    for data, kind in columns:
        table.add_column(f"{pathlib.Path(data).name}{kind and f', {kind}'}", justify="right")
    for name, seeds in found.items():
        reports = [[_part(seed[data], kind) for seed in seeds] for data, kind in columns]
        shares = [[report["exact_accuracy"] for report in column] for column in reports]
        table.add_row(VARIANTS[name].text, *(spread(share, share=True) for share in shares))
    return table


def _kinds(report: Mapping[str, Any]) -> list[str]:
    return ["", "search"] if "search" in report else [""]


def _part(report: Mapping[str, Any], kind: str) -> Mapping[str, Any]:
    return report[kind] if kind else report


if __name__ == "__main__":
    define_flags()
    command.run(main)
