"""The attention suite: our CPU formulation beside the obvious ones, forward and backward.

All run in this process, in turns; a figure is the median over the rounds.
"""

import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from rich.console import Console
from rich.table import Table

import kernels
from experiments.benchmarks import workload

Attention = Callable[[jax.Array, jax.Array, jax.Array], jax.Array]


def _einsum(query: jax.Array, key: jax.Array, value: jax.Array) -> jax.Array:
    """The textbook formulation on [B, T, N, K]."""
    scores = jnp.einsum("BTNK,BSNK->BNTS", query, key) * query.shape[-1] ** -0.5
    return jnp.einsum("BNTS,BSNK->BTNK", jax.nn.softmax(scores, axis=-1), value)


FORMULATIONS: dict[str, Attention] = {
    "kernels.attention": kernels.attention,
    "einsum": _einsum,
    "jax.nn.dot_product_attention": jax.nn.dot_product_attention,
}


def run(shape_name: str, batch_size: int, rounds: int, console: Console) -> dict[str, Any]:
    """Times every formulation at a model's attention shape; prints and returns the figures."""
    shape = workload.SHAPES[shape_name]
    prefix = -(-shape.puzzle_emb_ndim // shape.hidden_size)
    heads = (shape.num_heads, shape.hidden_size // shape.num_heads)
    size = (batch_size, prefix + shape.seq_len, *heads)
    operands = [jax.random.normal(key, size) for key in jax.random.split(jax.random.key(0), 4)]
    programs = {}
    for name, attention in FORMULATIONS.items():
        programs[name, "forward"] = jax.jit(attention).lower(*operands[:3]).compile()
        gradient = jax.jit(lambda q, k, v, do, f=attention: jax.vjp(f, q, k, v)[1](do))
        programs[name, "forward + backward"] = gradient.lower(*operands).compile()
    seconds: dict[tuple[str, str], list[float]] = {name: [] for name in programs}
    for _ in range(rounds + 1):  # the first round warms up
        for name, program in programs.items():
            arguments = operands[:3] if name[1] == "forward" else operands
            start = time.perf_counter()
            jax.block_until_ready(program(*arguments))
            seconds[name].append(time.perf_counter() - start)
    rows = [
        {"formulation": name, "pass": part, "seconds": statistics.median(times[1:])}
        for (name, part), times in seconds.items()
    ]
    table = Table(title=f"attention, float32 {list(size)}, median of {rounds}")
    for heading in ("formulation", "pass", "ms", "x kernels.attention"):
        table.add_column(heading)
    ours = {row["pass"]: row["seconds"] for row in rows[:2]}
    for row in rows:
        ratio = row["seconds"] / ours[row["pass"]]
        milliseconds = f"{row['seconds'] * 1e3:.2f}"
        table.add_row(row["formulation"], row["pass"], milliseconds, f"{ratio:.2f}")
    console.print(table)
    return {"suite": "attention", "size": size, "rows": rows}
