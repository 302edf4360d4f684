"""The recurrence suite: the cost of cycles in compilation and in a training step's memory.

HRM's truncated backpropagation leaves all but the last call of each level out of the backward
pass, and the cycles run in a loop: neither compile time nor temporary memory should grow with
them.
"""

import dataclasses
import time
from typing import Any

import jax
from rich.console import Console

from experiments.benchmarks import jax_step, workload
from experiments.common.terminal import Table

CYCLES = (1, 2, 4, 8)


def run(shape_name: str, batch_size: int, console: Console) -> dict[str, Any]:
    """Compiles the training step at several numbers of cycles; prints and returns the figures."""
    rows = []
    for cycles in CYCLES:
        shape = dataclasses.replace(workload.SHAPES[shape_name], H_cycles=cycles, L_cycles=cycles)
        step, state, batch = jax_step.make_step(shape.arguments(), batch_size)
        lowered = jax.jit(step, donate_argnums=0).lower(state, next(batch))
        # Lowering traces Python and is not counted: the loop's body is traced once whatever its
        # length.
        start = time.perf_counter()
        compiled = lowered.compile()
        seconds = time.perf_counter() - start
        memory = compiled.memory_analysis()
        assert memory is not None, "this backend does not report memory"
        rows.append(
            {
                "cycles": cycles,
                "compile_seconds": seconds,
                "temporary_bytes": memory.temp_size_in_bytes,
                "argument_bytes": memory.argument_size_in_bytes,
            }
        )
    table = Table(title=f"{shape_name}, batch {batch_size}: H_cycles = L_cycles = n")
    for name in ("n", "compile seconds", "temporaries, MiB", "arguments, MiB"):
        table.add_column(name, justify="right")
    for row in rows:
        table.add_row(
            str(row["cycles"]),
            f"{row['compile_seconds']:.1f}",
            f"{row['temporary_bytes'] / 2**20:.1f}",
            f"{row['argument_bytes'] / 2**20:.1f}",
        )
    console.print(table)
    return {"suite": "recurrence", "shape": shape_name, "batch_size": batch_size, "rows": rows}
