"""The training-step suite: one whole HRM step, ours against PyTorch.

A step is what training repeats: refill of halted sequences, inner step, Q-continue target, loss,
gradient, Adam-atan2 and the puzzle rows' sign-SGD, in float32, on the same synthetic batches.
"""

import dataclasses
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console

from experiments.benchmarks import alternate, machine, workload
from experiments.common.terminal import Table, waiting

REFERENCE = "torch_compile"
HEAP_SUFFIX = "+heap"
INSTALL_TORCH = "pip install -e '.[oracle]'"


@dataclasses.dataclass(frozen=True)
class Options:
    """What is measured, and for how long; `contestants` are names of CONTESTANTS.

    A name ending in "+heap" is that contestant with `alternate.STEADY_HEAP`, so that a run can
    give the setting to none, to one or to all. `torch_python` is the interpreter that has PyTorch.
    """

    contestants: Sequence[str]
    batch_sizes: Sequence[int]
    shape: str = "hrm_small"
    rounds: int = 5
    steps_per_round: int = 2
    warmup_steps: int = 2
    torch_python: str = sys.executable


@dataclasses.dataclass(frozen=True)
class Implementation:
    """Where a contestant's `build` is, its own arguments, and the library that it needs."""

    function: str
    library: str
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)


_TORCH_BUILD = "experiments.benchmarks.torch_step:build"
CONTESTANTS = {
    "torch_eager": Implementation(_TORCH_BUILD, "torch", {"compiled": False}),
    "torch_compile": Implementation(_TORCH_BUILD, "torch", {"compiled": True}),
    "hrm_jax": Implementation("experiments.benchmarks.jax_step:build", "jax"),
}


def run(options: Options, console: Console) -> dict[str, Any]:
    """Measures every batch size, prints a table of each, and returns all of it as JSON values.

    Raises:
        ValueError: a name is unknown, or no contestant's library is installed.
        alternate.ContestantError: a contestant failed.
    """
    # Each once: where both are the same, a library is measured once.
    pythons = list(dict.fromkeys([sys.executable, options.torch_python]))
    with waiting(console, "measuring the matrix multiplication peak"):
        # Measured before any contestant lives: its memory and threads would disturb the peak.
        host = machine.describe(pythons)
    console.print(
        f"{host.cpu}, {host.cores} cores, {host.ram_bytes / 2**30:.1f} GiB; float32 matmul peak "
        + ", ".join(f"{name} {peak / 1e9:.1f}" for name, peak in host.matmul_flops.items())
        + " GFLOP/s"
    )
    shape = workload.SHAPES[options.shape]
    results = []
    for batch_size in options.batch_sizes:
        contestants = _contestants(options, shape, batch_size, console)
        with console.status("starting") as status:
            samples = alternate.measure(
                contestants,
                rounds=options.rounds,
                steps_per_round=options.steps_per_round,
                warmup_steps=options.warmup_steps,
                report=lambda message, size=batch_size: status.update(f"batch {size}: {message}"),
            )
        rows = _rows(samples, workload.train_step_flops(shape, batch_size), batch_size, host)
        console.print(_table(f"{options.shape}, batch {batch_size}", rows))
        results.append({"batch_size": batch_size, "contestants": rows})
    return {
        "options": dataclasses.asdict(options),
        "model": shape.arguments(),
        "machine": dataclasses.asdict(host),
        "results": results,
    }


def _contestants(
    options: Options, shape: workload.ModelShape, batch_size: int, console: Console
) -> list[alternate.Contestant]:
    """Returns the contestants whose library is installed, and prints which are left out."""
    chosen = []
    missing = []
    for name in options.contestants:
        plain = name.removesuffix(HEAP_SUFFIX)
        if plain not in CONTESTANTS:
            raise ValueError(f"contestants: expected {', '.join(CONTESTANTS)}, got {name!r}")
        implementation = CONTESTANTS[plain]
        # Only PyTorch may be in another environment: ours is imported where this runs.
        python = options.torch_python if implementation.library == "torch" else sys.executable
        if not alternate.importable(implementation.library, python):
            missing.append(name)
            continue
        arguments = {"shape": shape.arguments(), "batch_size": batch_size}
        chosen.append(
            alternate.Contestant(
                name=name,
                function=implementation.function,
                arguments=arguments | dict(implementation.arguments),
                # The worker starts without malloc settings, so this is the only difference of a
                # +heap name.
                environment=alternate.STEADY_HEAP if name != plain else {},
                python=python,
            )
        )
    if missing:
        message = f"left out: {', '.join(missing)}; to run them: {INSTALL_TORCH}"
        console.print(message, markup=False)  # the brackets are pip's
    if not chosen:
        raise ValueError(f"contestants: none can run; {INSTALL_TORCH}")
    return chosen


def _rows(
    samples: alternate.Samples, flops: int, batch_size: int, host: machine.Machine
) -> list[dict[str, Any]]:
    """Returns the figures of each contestant.

    Ratios are to REFERENCE, or to the first without it.
    """
    # All ratios are to one contestant, round by round, so that a slow round slows both sides.
    reference = REFERENCE if REFERENCE in samples else next(iter(samples))
    rows = []
    for name, turns in samples.items():
        seconds = alternate.step_seconds(turns)
        ratio = alternate.speed_ratio(turns, samples[reference])
        rows.append(
            {
                "name": name,
                "step_seconds": dataclasses.asdict(seconds),
                "puzzles_per_second": batch_size / seconds.median,
                "flops_per_step": flops,
                "flops_per_second": flops / seconds.median,
                "fraction_of_peak": flops / seconds.median / host.peak_flops,
                "reference": reference,
                "speed_ratio": dataclasses.asdict(ratio),
                "samples": [dataclasses.asdict(turn) for turn in turns],
            }
        )
    return rows


def _table(title: str, rows: list[dict[str, Any]]) -> Table:
    """Returns a table: medians, with the least and greatest value of the rounds in brackets."""
    table = Table(title=title)
    table.add_column("contestant", no_wrap=True)
    columns = ("ms/step", "puzzles/s", "GFLOP/s", "of peak", f"x {rows[0]['reference']}")
    for column in (*columns, "faults/step", "peak GiB"):
        table.add_column(column, justify="right", no_wrap=True)
    for row in rows:
        seconds = row["step_seconds"]
        ratio = row["speed_ratio"]
        last = row["samples"][-1]
        table.add_row(
            row["name"],
            "{median:.0f} ({low:.0f}-{high:.0f})".format(
                **{key: 1e3 * value for key, value in seconds.items()}
            ),
            f"{row['puzzles_per_second']:.1f}",
            f"{row['flops_per_second'] / 1e9:.1f}",
            f"{row['fraction_of_peak']:.0%}",
            "{median:.2f} ({low:.2f}-{high:.2f})".format(**ratio),
            f"{last['page_faults'] / last['steps']:.0f}",
            f"{last['peak_rss_bytes'] / 2**30:.1f}",
        )
    return table
