"""The step_profile suite: where the time of a compiled training step goes, by kind of operation.

XLA's profiler names every operation it runs; instances of one kind differ by a number at the end.
Loops are left out, as the operations in their bodies are counted. Operations may overlap on
several cores, so the sum can exceed the time of the step. `ynn_fusion` are matrix products and
what is fused with them.
"""

import collections
import gzip
import json
import pathlib
import re
import tempfile
from typing import Any

import jax
from rich.console import Console

from experiments.benchmarks import jax_step, workload
from experiments.common.terminal import Table

WARMUP_STEPS = 3
SHOWN = 20
_CONTAINERS = ("while", "call", "conditional")


def run(shape_name: str, batch_size: int, console: Console) -> dict[str, Any]:
    """Profiles one step; prints and returns milliseconds and counts by kind of operation."""
    shape = workload.SHAPES[shape_name]
    step, state, batches = jax_step.make_step(shape.arguments(), batch_size)
    # One compiled program for all steps: its text has the names that the trace has.
    compiled = jax.jit(step, donate_argnums=0).lower(state, next(batches)).compile()
    for _ in range(WARMUP_STEPS):
        state, _ = jax.block_until_ready(compiled(state, next(batches)))
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            jax.block_until_ready(compiled(state, next(batches)))
        (trace,) = pathlib.Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]
    # A trace also has events of the runtime and of Python; only the program's operations count.
    rows = by_kind(events, set(re.findall(r"%?([\w.\-]+) = ", compiled.as_text() or "")))
    table = Table(title=f"{shape_name}, batch {batch_size}: one training step by operation")
    for name in ("operation", "ms", "count"):
        table.add_column(name, justify="left" if name == "operation" else "right")
    for row in rows[:SHOWN]:
        table.add_row(row["operation"], f"{row['milliseconds']:.1f}", str(row["count"]))
    console.print(table)
    return {"suite": "step_profile", "shape": shape_name, "batch_size": batch_size, "rows": rows}


def by_kind(events: list[dict[str, Any]], operations: set[str]) -> list[dict[str, Any]]:
    """Returns milliseconds and counts by kind of operation, longest kind first.

    Only complete events that are operations of the program are counted.

    Args:
      events: of a trace in Chrome's format; durations in microseconds.
      operations: names of the program's operations.
    """
    microseconds = collections.Counter()
    counts = collections.Counter()
    for event in events:
        if event.get("ph") == "X" and event["name"] in operations:
            kind = re.sub(r"[.\d]+$", "", event["name"])
            if kind not in _CONTAINERS:
                microseconds[kind] += event["dur"]
                counts[kind] += 1
    return [
        {"operation": kind, "milliseconds": total / 1e3, "count": counts[kind]}
        for kind, total in microseconds.most_common()
    ]
