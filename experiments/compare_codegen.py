"""HRM-Text against a plain transformer that trains with the same FLOP, over several seeds.

    python -m experiments.compare_codegen                            # nano, 3 seeds, about 2 hours
    python -m experiments.compare_codegen --override=loop.steps=100  # shorter runs

Each run is `python -m experiments.codegen` in a folder of its own below --folder, one after the
other. What has finished is not trained again, what was stopped goes on. The table gives the mean of
the seeds and their range: bits per byte on held-out projects (lower is better), and the share of
written functions that parse. Hardware, time and last measured values: docs/codegen.md.
"""

import json
import pathlib
import subprocess
import sys
from collections.abc import Mapping, Sequence

from absl import app, flags
from rich.console import Console
from rich.table import Table

from hrm_jax.training.files import write_atomically

Reports = Mapping[str, Sequence[Mapping[str, float]]]
"""What each preset's runs came to, a mapping of measures for each seed."""

_PRESETS = flags.DEFINE_list("presets", ["nano", "transformer_nano"], "who takes part")
_SEEDS = flags.DEFINE_list("seeds", ["0", "1", "2"], "seeds of each")
_FOLDER = flags.DEFINE_string("folder", "runs/compare", "where the runs live")
_OVERRIDES = flags.DEFINE_multi_string(
    "override", [], "field=value of every run's config, as --config.field=value of codegen"
)


def main(argv: list[str]) -> int:
    """Trains what is missing, then shows the table; the exit code of a run that failed."""
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments {argv[1:]}; flags start with --", exitcode=2)
    console, reports = Console(markup=False), {}
    for preset in _PRESETS.value:
        for seed in _SEEDS.value:
            folder = pathlib.Path(_FOLDER.value) / f"{preset}-{seed}"
            if not (folder / "report.json").exists():
                console.print(f"{preset}, seed {seed}:", style="bold")
                code = _train(preset, seed, folder)
                if code:
                    return code
            report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
            reports.setdefault(preset, []).append(report)
    found = {name: [report["after"] for report in own] for name, own in reports.items()}
    console.print(comparison_table(found))
    for name, own in reports.items():
        flops = own[0]["training_flops_per_token"] * own[0]["trained_tokens"]
        console.print(f"{name}: {flops / 1e12:.1f} TFLOP of matrix products in a run")
    text = json.dumps(reports, indent=2) + "\n"
    write_atomically(pathlib.Path(_FOLDER.value) / "comparison.json", text)
    return 0


def _train(preset: str, seed: str, folder: pathlib.Path) -> int:
    command = [sys.executable, "-m", "experiments.codegen", f"--preset={preset}"]
    command += [f"--config.seed={seed}", f"--run={folder}", "--resume"]
    command += [f"--config.{override}" for override in _OVERRIDES.value]
    if not (folder / "config.json").exists():
        command.remove("--resume")
    return subprocess.run(command, check=False).returncode


def comparison_table(reports: Reports) -> Table:
    """A column for each preset: the mean over its seeds, and their range."""
    table = Table(title=f"{len(next(iter(reports.values())))} seeds, held-out projects")
    table.add_column("measure")
    for preset in reports:
        table.add_column(preset, justify="right")
    for name in next(iter(reports.values()))[0]:
        values = [[report[name] for report in own] for own in reports.values()]
        table.add_row(name, *(_spread(own, share=name == "parse_rate") for own in values))
    return table


def _spread(values: Sequence[float], *, share: bool) -> str:
    mean, form = sum(values) / len(values), "{:.1%}" if share else "{:.3f}"
    low, high = (form.format(limit(values)) for limit in (min, max))
    return f"{form.format(mean)} ({low} to {high})"


if __name__ == "__main__":
    app.run(main)
