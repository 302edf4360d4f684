"""Part "quantized": products with quantised matrices of real models against XLA in bfloat16."""

import functools
import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

import hrm_kernels
from experiments.benchmarks.aot_cases import QUANTIZED, QuantizedCase
from experiments.benchmarks.device.card import Program, take_turns
from experiments.benchmarks.device.part import Part, Result, Setting, measure, table_of
from hrm_kernels.device import PLATFORMS

ROWS = (1, 8, 512)
ROUNDS = 3
READ_BYTES = 256e6
MOST_MATRICES = 64
"""A program multiplies with so many matrices that no cache holds them, or with this many."""


def run(setting: Setting) -> Result:
    """Times every matrix with few rows, as in decoding, and with many, as in reading a prompt."""
    jobs = [(case, rows) for rows in ROWS for case in QUANTIZED.values()]
    if setting.small:
        jobs = [(QuantizedCase("tiny", "Q4_1", 128, 128), 1)]
    return measure(
        setting,
        [
            (f"{case.name}, {rows} rows", functools.partial(_measure, setting, case, rows))
            for case, rows in jobs
        ],
    )


def _measure(setting: Setting, case: QuantizedCase, rows: int) -> dict[str, Any]:
    """Returns the microseconds of one product by each contestant, and bytes a second of ours."""
    _, shapes = case.operands(rows, "bfloat16")
    count = 2 if setting.small else matrices_of(case)
    backend = "xla" if setting.small else PLATFORMS[jax.default_backend()]
    programs = {
        name: build() for name, build in builders(case, rows, {"ours": backend}, count).items()
    }
    seconds = {name: t / count for name, t in take_turns(programs, ROUNDS).items()}
    return {
        "case": case.name,
        "form": case.form,
        "shape": f"{case.V} x {case.D}",
        "rows": rows,
        "microseconds": 1e6 * seconds["ours"],
        "xla_microseconds": 1e6 * seconds["xla"],
        "speedup": seconds["xla"] / seconds["ours"],
        "gigabytes": shapes.nbytes / seconds["ours"] / 1e9,
        "of_copy": shapes.nbytes / seconds["ours"] / setting.card.copy_bytes,
    }


def matrices_of(case: QuantizedCase) -> int:
    """Returns how many matrices a program multiplies with."""
    _, shapes = case.operands(1, "bfloat16")
    return max(1, min(MOST_MATRICES, round(READ_BYTES / shapes.nbytes)))


def builders(
    case: QuantizedCase, rows: int, backends: dict[str, str], count: int
) -> dict[str, Callable[[], Program]]:
    """Returns what builds the program of each contestant, which takes `count` products.

    Args:
      case: the matrix.
      rows: of activations, bfloat16.
      backends: of `quantized_product`, by the contestant's name; XLA in bfloat16 is one more.
      count: matrices.
    """
    _, shapes = case.operands(rows, "bfloat16")
    keys = jax.random.split(jax.random.key(0), count)
    stored = [jax.tree.map(functools.partial(_random, key), shapes) for key in keys]
    wide = [jax.random.normal(key, (case.D, case.V), jnp.bfloat16) for key in keys]
    x = jax.random.normal(jax.random.key(1), (rows, case.D), jnp.bfloat16)
    products = {
        name: functools.partial(hrm_kernels.quantized_product, backend=backend)
        for name, backend in backends.items()
    }
    found = {
        name: functools.partial(_program, product, x, stored) for name, product in products.items()
    }
    return found | {"xla": functools.partial(_program, jnp.matmul, x, wide)}


def _random(key: jax.Array, shape: Any) -> jax.Array:
    """Returns any bits; as float16 their size is below 1, so that nothing becomes infinite."""
    bits = jax.random.bits(key, (math.prod(shape.shape),), "uint32").reshape(shape.shape)
    if shape.dtype == jnp.int16:
        bits = bits & 0x3BFF
    return bits.astype(shape.dtype)


def _program(product: Callable[..., Any], x: jax.Array, matrices: list[Any]) -> Program:
    """Returns a program that multiplies with one matrix after the other."""

    def all_of_them(x, matrices):
        for matrix in matrices:
            # Each product depends on the one before, so that none runs beside it.
            x = x + 1e-30 * product(x, matrix)[:, :1]
        return x

    compiled = jax.jit(all_of_them).lower(x, matrices).compile()
    return Program(lambda: compiled(x, matrices))


def _table(rows: list[dict[str, Any]]):
    columns = {
        "matrix": "{case}",
        "type": "{form}",
        "shape": "{shape}",
        "rows": "{rows}",
        "us": "{microseconds:.1f}",
        "GB/s": "{gigabytes:.0f}",
        "of copy": "{of_copy:.0%}",
        "bfloat16 us": "{xla_microseconds:.1f}",
        "over bfloat16": "{speedup:.2f}",
    }
    return table_of("quantized: ours, and XLA's bfloat16 product's time over ours", columns, rows)


PART = Part("quantised products against XLA in bfloat16", 0.6, run, _table)
