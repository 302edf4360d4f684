"""The ahead-of-time suite: what attention compiles to for machines that are not present.

For each call of `aot_cases` and each target it shows the memory beside operands and results, the
traffic over that of touching each of them once, and the compiler's cycles, for our kernels, XLA's
own attention and the kernels that JAX ships.
"""

import dataclasses
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import jax
from rich.console import Console

import hrm_kernels
from experiments.benchmarks import aot_cases, aot_targets, shipped_attention
from experiments.benchmarks.aot_cases import AotCase, DecodeCase, Function
from experiments.benchmarks.aot_targets import Target
from experiments.common.terminal import Table

PASSES = ("forward", "gradient")
MEBIBYTE = 1 << 20


def contestants(target: Target, case: AotCase) -> Iterator[tuple[str, Function]]:
    """Yields name and attention function of each contestant for a case on a target; ours first."""
    yield "ours", aot_cases.ours(case, target.family)
    yield "xla", aot_cases.xla(case)
    if not case.rope:  # the shipped kernels take no length of 82 or 97
        for name, attend in shipped_attention.SHIPPED[target.family].items():
            shipped = functools.partial(attend, causal=case.mask == "causal")
            yield name, aot_cases.on_projections(case, shipped)


def compile_case(target: Target, case: AotCase, attend: Function, part: str):
    """Returns one contestant's compiled program for a case; see `aot_targets.compile_for`."""
    operands = case.operands()
    if part == "forward":
        return aot_targets.compile_for(target, attend, *operands)
    # The first operand has the shape of the result, and so of its cotangent.
    return aot_targets.compile_for(target, aot_cases.gradient(attend), operands[0], *operands)


def run(targets: Sequence[str], console: Console) -> list[dict[str, Any]]:
    """Compiles everything for the targets, prints a table of each, and returns the rows.

    Raises:
      ValueError: if there is no such target, or its compiler is not installed.
    """
    rows = []
    for name in targets:
        if name not in aot_targets.TARGETS:
            raise ValueError(f"target: expected one of {list(aot_targets.TARGETS)}, got {name!r}")
        target = aot_targets.TARGETS[name]
        aot_targets.mesh(target)  # says so if it cannot compile here
        table = Table(title=f"attention compiled for {name}")
        for heading in ("case", "pass", "by", "temporary MiB", "traffic / floor", "cycles of XLA"):
            table.add_column(
                heading, justify="left" if heading in ("case", "pass", "by") else "right"
            )
        for row in _rows(target):
            rows.append(row)
            table.add_row(row["case"], row["pass"], row["by"], *_cells(row))
        console.print(table)
    return rows


def compile_decoder(target: Target, case: DecodeCase, decode: Function, T: int = 1):
    """Returns a compiled step of decoding, which updates the cache in place."""
    # Argument 3 is the cache; donating it is what makes the update in place.
    return aot_targets.compile_for(target, decode, *case.operands(T), donate=(3,))


def _rows(target: Target) -> Iterator[dict[str, Any]]:
    """Yields the figures of every program for a target."""
    for case in aot_cases.CASES.values():
        for part in PASSES:
            # One floor for all contestants, so that their traffic can be compared.
            floor = case.floor_bytes(part == "gradient")
            for who, attend in contestants(target, case):
                program = functools.partial(compile_case, target, case, attend, part)
                about = {"target": target.name, "case": case.name, "pass": part, "by": who}
                yield about | {"floor_bytes": floor} | _figures(program)
    for case in aot_cases.DECODERS.values():
        ours = functools.partial(hrm_kernels.decode_attention, backend=target.family)
        for who, decode in (("ours", ours), ("xla", aot_cases.xla_decode)):
            program = functools.partial(compile_decoder, target, case, decode)
            about = {"target": target.name, "case": case.name, "pass": "step", "by": who}
            yield about | {"floor_bytes": case.floor_bytes} | _figures(program)


def _figures(program: Callable[[], aot_targets.Compiled]) -> dict[str, Any]:
    """Returns the figures of one program, or why there is none, as JSON values."""
    try:
        return dataclasses.asdict(program())
    # A program that a compiler refuses is a result here: the table says why.
    except (ValueError, NotImplementedError, RuntimeError, jax.errors.JaxRuntimeError) as error:
        return {"error": (str(error).strip().splitlines() or [repr(error)])[0]}


def _cells(row: dict[str, Any]) -> tuple[str, str, str]:
    if "error" in row:
        return "none", row["error"][:60], ""
    accessed = row["accessed_bytes"]
    cycles = row["cycles"]
    return (
        f"{row['temporary_bytes'] / MEBIBYTE:,.1f}",
        f"{accessed / row['floor_bytes']:.2f}" if accessed else "",
        f"{cycles:,}" if cycles else "",
    )
