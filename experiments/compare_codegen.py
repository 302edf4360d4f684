"""Compares presets of codegen over several seeds.

    python -m experiments.compare_codegen                            # HRM-Text, plain transformer
    python -m experiments.compare_codegen --override=loop.steps=100  # shorter runs
    python -m experiments.compare_codegen --folder=runs/tasks --baseline=smollm2-135m \\
        --presets=tasks_smollm2,reasoned_tasks_smollm2 \\
        --eval='--suite=humaneval --max_tokens=192'                  # and which code works

Each run is `python -m experiments.codegen` in a folder of its own below --folder, one after the
other, and so is each --eval of what it trained. What has finished is not done again, what was
stopped goes on, and a folder of another comparison is refused. The table gives the mean of the
seeds and their range: bits per byte on held-out projects (lower is better), and the share of
written functions that parse; for each --eval, pass@1 with its 95 % interval over problems, and the
share that parses. Hardware, time and last measured values: docs/codegen.md.
"""

import json
import pathlib
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from typing import Any

from absl import app, flags

from experiments.codegen.presets import PRESETS
from experiments.common import command
from experiments.common.comparisons import OtherCommand, spread, train_in_process
from experiments.common.terminal import Table, make_console
from experiments.suite_figures import (
    AllMeasured,
    Measured,
    as_json,
    figures,
    folder_name,
    measure,
)
from hrm_jax.core.files import write_atomically

Reports = Mapping[str, Sequence[Mapping[str, float]]]
"""For each preset, the measures of its runs, one mapping for each seed."""


_PRESETS = flags.DEFINE_list("presets", ["nano", "transformer_nano"], "who takes part")
_BASELINE = flags.DEFINE_list("baseline", [], "models that take part in --eval as they are")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "seeds of each")
_FOLDER = flags.DEFINE_string("folder", "runs/compare", "where the runs live")
_OVERRIDES = flags.DEFINE_multi_string(
    "override", [], "field=value of every run's config, as --config.field=value of codegen"
)
_EVALS = flags.DEFINE_multi_string(
    "eval",
    [],
    "flags of codegen's --mode=eval for every model, such as '--suite=humaneval'. May be given "
    "again",
)
_DELETE = flags.DEFINE_bool(
    "delete_checkpoints", False, "delete those of a run once it has its report and its model"
)


def main() -> int:
    """Trains and measures what is missing, shows the table, and returns the exit code.

    If a run fails, the exit code is the run's.
    """
    # Presets are checked before the first run, which may take hours.
    unknown = [preset for preset in _PRESETS.value if preset not in PRESETS]
    if unknown:
        known = ", ".join(PRESETS)
        raise app.UsageError(f"--presets: expected some of {known}, got {unknown}", exitcode=2)
    console = make_console(markup=False)
    root = pathlib.Path(_FOLDER.value)
    try:
        measured = {
            f"{name}, as it is": [_measure(name, root / f"baseline-{folder_name(name)}")]
            for name in _BASELINE.value
        }
        reports: dict[str, list[dict[str, Any]]] = {}
        for preset in _PRESETS.value:
            for seed in _SEEDS.value:
                console.print(f"{preset}, seed {seed}:", style="bold")
                folder = root / f"{preset}-{seed}"
                # Runs are processes of their own, one after the other: each has the machine and the
                # memory to itself.
                reports.setdefault(preset, []).append(_train(preset, seed, folder))
                measured.setdefault(preset, []).append(_measure(str(folder / "model"), folder))
    except subprocess.CalledProcessError as error:
        # The run has said on standard error what was wrong.
        return error.returncode
    except OtherCommand as error:
        console.print(str(error), style="red", soft_wrap=True)
        return 2
    _save(root, reports, measured)
    found = {name: [report["after"] for report in own] for name, own in reports.items()}
    if found:
        console.print(comparison_table(found))
    if _EVALS.value:
        console.print(figures(measured))
    for name, own in reports.items():
        # Seeds differ in nothing that counts here, so one report speaks for all.
        flops = own[0]["training_flops_per_token"] * own[0]["trained_tokens"]
        console.print(f"{name}: {flops / 1e12:.1f} TFLOP of matrix products in a run")
    return 0


def _train(preset: str, seed: str, folder: pathlib.Path) -> dict[str, Any]:
    """Returns the report of a run, which is trained if it has none."""
    options = [f"--preset={preset}", f"--config.seed={seed}"]
    options += [f"--config.{override}" for override in _OVERRIDES.value]
    train_in_process("experiments.codegen", options, PRESETS[preset], folder)
    if _DELETE.value:
        # Only now: a run that has its report has its model too, and is never resumed.
        shutil.rmtree(folder / "checkpoints", ignore_errors=True)
    return json.loads((folder / "report.json").read_text(encoding="utf-8"))


def _save(root: pathlib.Path, reports: Mapping[str, Any], measured: AllMeasured) -> None:
    """Writes comparison.json: the reports of all runs, and what each suite found of each model."""
    suites = {name: [as_json(seed) for seed in seeds] for name, seeds in measured.items()}
    text = json.dumps({"runs": reports, "suites": suites}, indent=2) + "\n"
    write_atomically(root / "comparison.json", text)


def _measure(model: str, folder: pathlib.Path) -> dict[str, Measured]:
    """Returns what each --eval found of a model, by its flags."""
    return {text: measure(model, text, folder) for text in _EVALS.value}


def comparison_table(reports: Reports) -> Table:
    """Returns a table with a column for each preset: the mean over its seeds, and their range."""
    table = Table(title=f"{len(next(iter(reports.values())))} seeds, held-out projects")
    table.add_column("measure")
    for preset in reports:
        table.add_column(preset, justify="right")
    # Measures of all runs in the order of their first occurrence: not every run has every language.
    everyone = [report for own in reports.values() for report in own]
    for name in dict.fromkeys(name for report in everyone for name in report):
        values = [[report[name] for report in own if name in report] for own in reports.values()]
        cells = [spread(own, share=name == "parse_rate") if own else "" for own in values]
        table.add_row(name, *cells)
    return table


if __name__ == "__main__":
    command.run(main, extras="codegen,foundation")
