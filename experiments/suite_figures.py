"""Measures models on suites of problems, over several seeds, and shows the figures."""

import dataclasses
import json
import pathlib
import re
import shlex
import subprocess
import sys
import zlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np

from experiments.common.terminal import Table
from hrm_jax.evaluation.evaluate import COMPLETIONS, REPORT, read_completions
from hrm_jax.evaluation.pass_at_k import Estimate, estimate


@dataclasses.dataclass(frozen=True)
class Measured:
    """Results of a model's completions of a suite."""

    samples: int
    right: Mapping[str, int]
    parse_rate: float


AllMeasured: TypeAlias = Mapping[str, Sequence[Mapping[str, Measured]]]
"""For each model and seed, the results by the arguments they were measured with."""


def measure(model: str, arguments: str, folder: pathlib.Path) -> Measured:
    """Returns the results of a model, measured unless the folder below `folder` has its report.

    A measurement that was interrupted is resumed.

    Args:
      model: as `--model` of codegen.
      arguments: flags of `--mode=eval`, the suite among them.
      folder: of the model's run.

    Raises:
      subprocess.CalledProcessError: measuring failed, and has said why.
    """
    # The flags name the folder, so that several suites of a model lie side by side.
    results = folder / folder_name(arguments)
    if not (results / REPORT).exists():
        command = [sys.executable, "-m", "experiments.codegen", "--mode=eval", f"--model={model}"]
        command += [*shlex.split(arguments), f"--results={results}"]
        if results.exists():
            # A folder without a report is an interrupted measurement.
            command.append("--resume")
        subprocess.run(command, check=True)
    return read(results)


def folder_name(text: str) -> str:
    """Returns a text as a folder's name; different texts have different names."""
    # The checksum tells apart texts that differ in punctuation only.
    return f"{re.sub(r'[^A-Za-z0-9]+', '_', text).strip('_')}-{zlib.crc32(text.encode()):08x}"


def as_json(seed: Mapping[str, Measured]) -> dict[str, Any]:
    """Returns what was measured, by arguments, as JSON values."""
    return {arguments: dataclasses.asdict(found) for arguments, found in seed.items()}


def read(results: pathlib.Path) -> Measured:
    """Returns the results in a folder."""
    report = json.loads((results / REPORT).read_text(encoding="utf-8"))
    lines = read_completions(results / COMPLETIONS)
    # Tasks that no completion solved count as well, with 0.
    right = Counter({line.task_id: 0 for line in lines})
    right.update(line.task_id for line in lines if line.passed)
    return Measured(report["settings"]["samples"], dict(right), report["parse_rate"])


def pooled(seeds: Sequence[Measured]) -> Estimate:
    """Returns pass@1 over the completions of all seeds, with an interval over problems."""
    tasks = sorted(seeds[0].right)
    # Samples of all seeds count as samples of one model: problems are what the interval is over.
    counts = np.array([sum(seed.right[task] for seed in seeds) for task in tasks])
    return estimate(sum(seed.samples for seed in seeds), counts, 1)


def figures(measured: AllMeasured) -> Table:
    """Returns a table with a column for each model and two rows for each suite."""
    table = Table(title="completions, all seeds together")
    table.add_column("measure")
    for model in measured:
        table.add_column(model, justify="right")
    for arguments in next(iter(measured.values()))[0]:
        columns = [[seed[arguments] for seed in seeds] for seeds in measured.values()]
        table.add_section()
        table.add_row(arguments)
        table.add_row("  pass@1 (95 % interval)", *(_shown(pooled(own)) for own in columns))
        rates = [[one.parse_rate for one in own] for own in columns]
        table.add_row("  parse (range of seeds)", *(_range(own) for own in rates))
    return table


def _shown(found: Estimate) -> str:
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def _range(rates: Sequence[float]) -> str:
    return f"{np.mean(rates):.1%} ({min(rates):.1%} to {max(rates):.1%})"
