"""Sudoku models against each other, for the same time of training, over several seeds.

    python -m experiments.compare_sudoku --minutes=10                          # every ablation
    python -m experiments.compare_sudoku --data=bank,norvig10k_test.csv.gz     # on further files
    python -m experiments.compare_sudoku --variants=relational --seeds=0,1,2 --minutes=0

Each variant first takes a few steps, which tell how long one takes, and trains for as many as fit
into --minutes, with the whole of its schedule; with 0 minutes, for as many as its preset says. Each
seed is measured on each of --data: in a single pass, and with search. What has finished is not done
again, what was stopped goes on, and a folder of another comparison is refused. Two commands may
share a folder, if each has seeds or variants of its own; else the machine should do nothing beside
it. Published models have optimisers of their own: see their presets. Hardware and last measured
values: docs/sudoku.md.
"""

import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from absl import app, flags
from rich.console import Console
from rich.table import Table

from experiments.comparisons import OtherCommand, spread, train
from experiments.curves import save_comparison
from experiments.sudoku_presets import PRESETS
from experiments.suite_figures import folder_name
from hrm_jax.core.config import ConfigError, check
from hrm_jax.training.files import write_atomically
from hrm_jax.training.run_log import read_metrics


@dataclasses.dataclass(frozen=True)
class Variant:
    """Somebody who takes part.

    Attributes:
      text: what it is, for the table.
      preset: where its config starts.
      overrides: `field=value`, as --config.field=value of the experiment.
    """

    text: str
    preset: str = "relational"
    overrides: tuple[str, ...] = ()


_SEARCH = ("test.search.assume=True", "test.search.max_steps=16", "test.search.noise=0.5")
_LIKE_RELATIONAL = (
    *("model.L_cycles=8", "model.halt_max_steps=16", "model.halt_when_right=True"),
    *("model.distribution=softmax", "model.initial_noise=0.5", "batch_size=16"),
    *("data.reveal_share=0.5", *_SEARCH),
)
_TESTED_LITTLE = ("test.puzzles=16", "test.max_steps=1")  # runs are measured when they are done
_PUBLISHED = (
    *("batch_size=32", "data.name=bank", "data.num_augmentations=0", "optim.warmup_steps=50"),
    *("model.compute_dtype=float32", "validation.puzzles=64", "validation.batch_size=64"),
    *("test.batch_size=64", *_SEARCH),
)
VARIANTS = {
    "relational": Variant("the default preset"),
    "no_symmetry": Variant(
        "no symmetry: each candidate is told which it is, puzzles are augmented",
        overrides=("model.pos_encodings=learned", "data.augment=True"),
    ),
    "no_relations": Variant(
        "no relations: attention over cells, 128 wide, puzzles are augmented",
        preset="quick",
        overrides=("model.pos_encodings=learned", "model.mixing=attention", *_LIKE_RELATIONAL),
    ),
    "last_calls": Variant(
        "gradient through the last call of each level", overrides=("model.gradient=last_calls",)
    ),
    "no_ema": Variant("no averaging", overrides=("optim.ema_decay=0.0",)),
    "one_module": Variant("one module in both roles", overrides=("model.shared_level=True",)),
    "hrm": Variant("HRM as published, but on the bank, 32 a step", "hrm_paper", _PUBLISHED),
    "trm_mlp": Variant("TRM-MLP, likewise", "trm_mlp_paper", _PUBLISHED),
}
"""By name, as `--variants` takes it."""

Found = Mapping[str, Mapping[str, Any]]
"""By what was measured on, the report of an evaluation."""


@dataclasses.dataclass(frozen=True)
class Settings:
    """What is compared; the fields are the program's flags.

    Raises:
      ConfigError: on construction, for what cannot be compared.
    """

    variants: Sequence[str] = tuple(VARIANTS)
    seeds: Sequence[str] = ("0",)
    minutes: float = 25.0
    data: Sequence[str] = ("bank",)
    puzzles: int = 1000
    search_attempts: int = 0
    folder: str = "runs/compare_sudoku"
    probe_steps: int = 40

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
        unknown = [name for name in self.variants if name not in VARIANTS]
        known = f"some of {', '.join(VARIANTS)}"
        check(not unknown, "variants", expected=known, got=unknown, remedy="name some of these")
        for name, least in (("puzzles", 0), ("search_attempts", 0), ("probe_steps", 20)):
            value = getattr(self, name)
            check(value >= least, name, expected=f"{least} or more", got=value, remedy="raise it")
        missing = [
            data for data in self.data if data != "bank" and not pathlib.Path(data).is_file()
        ]
        check(not missing, "data", expected="bank, or files", got=missing, remedy="name others")


def define_flags() -> None:
    """Defines the program's flags: only when it runs, as other programs define some of the same."""
    default = Settings()
    flags.DEFINE_list("variants", list(default.variants), "who takes part")
    flags.DEFINE_list("seeds", list(default.seeds), "seeds of each")
    flags.DEFINE_float(
        "minutes",
        default.minutes,
        "of training each run; 0 for the preset's steps",
        lower_bound=0.0,
    )
    flags.DEFINE_list("data", list(default.data), "what is measured on: bank, or a puzzle file")
    flags.DEFINE_integer("puzzles", default.puzzles, "of each, spread over it; 0 for all")
    flags.DEFINE_integer(
        "search_attempts", default.search_attempts, "at what the single pass leaves unsolved"
    )
    flags.DEFINE_string("folder", default.folder, "where the runs live")
    flags.DEFINE_integer("probe_steps", default.probe_steps, "that tell how long one takes")


def main(argv: list[str]) -> int:
    """Compares as the flags say."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; flags start with --", exitcode=2)
    names = [field.name for field in dataclasses.fields(Settings)]
    try:
        given: dict[str, Any] = {name: flags.FLAGS[name].value for name in names}
        settings = Settings(**given)
    except ConfigError as error:
        raise app.UsageError(str(error), exitcode=2) from None
    return compare(settings, Console(markup=False))


def compare(settings: Settings, console: Console) -> int:
    """Trains and measures what is missing; the table and the curves; a failed run's exit code."""
    root = pathlib.Path(settings.folder)
    found: dict[str, list[Found]] = {}
    trained: dict[str, Any] = {}
    try:
        for name in settings.variants:
            variant = VARIANTS[name]
            steps = PRESETS[variant.preset].loop.steps
            if settings.minutes:
                steps = _steps_within(settings, variant, root / f"{name}-probe")
            for seed in settings.seeds:
                console.print(f"{name}, seed {seed}: {steps} steps", style="bold")
                folder = root / f"{name}-{seed}"
                _train(variant, folder, f"seed={seed}", f"loop.steps={steps}", *_TESTED_LITTLE)
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
        VARIANTS[name].text: [read_metrics(root / f"{name}-{seed}") for seed in settings.seeds]
        for name in settings.variants
    }
    save_comparison(logs, root / "curves.png", "exact_accuracy")
    console.print(figures(found))
    return 0


def _steps_within(settings: Settings, variant: Variant, folder: pathlib.Path) -> int:
    """How many steps of a variant fit into the time, by a short run that lies in `folder`."""
    if not (folder / "report.json").exists():
        shutil.rmtree(folder, ignore_errors=True)  # times before and after a stop are not one
    short = [f"loop.steps={settings.probe_steps}", "loop.log_every=10"]
    _train(variant, folder, *short, "validation.puzzles=64", *_TESTED_LITTLE)
    rows = [row for row in read_metrics(folder) if row["split"] == "train"]
    first, last = rows[0], rows[-1]
    seconds = (last["time_seconds"] - first["time_seconds"]) / (last["step"] - first["step"])
    return max(1, int(settings.minutes * 60 / seconds))


def _train(variant: Variant, folder: pathlib.Path, *more: str) -> None:
    """A run of the experiment, unless it is there."""
    overrides = [f"--config.{override}" for override in (*variant.overrides, *more)]
    options = [f"--preset={variant.preset}", *overrides]
    train("experiments.sudoku", options, PRESETS[variant.preset], folder)


def _measure(settings: Settings, folder: pathlib.Path, data: str) -> dict[str, Any]:
    """The report of an evaluation, which stays beside the run."""
    measured = f"--data={data} --puzzles={settings.puzzles} --attempts={settings.search_attempts}"
    path = folder / f"measured-{folder_name(measured)}.json"
    if not path.exists():
        command = [sys.executable, "-m", "experiments.sudoku", "--mode=eval"]
        command += [f"--checkpoint={folder}", f"--data={data}", "--halting=rules"]
        command += ["--max_steps=64", f"--puzzles={settings.puzzles}"]
        command += [f"--search_attempts={settings.search_attempts}"]
        said = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
        report = json.loads(said.splitlines()[-1])
        write_atomically(path, json.dumps(report, indent=2) + "\n")
    return json.loads(path.read_text(encoding="utf-8"))


def figures(found: Mapping[str, Sequence[Found]]) -> Table:
    """A row for each variant, a column for each file, and one more where there was a search."""
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
    app.run(main)
