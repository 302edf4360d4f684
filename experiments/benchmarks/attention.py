"""The attention suite: `hrm_kernels.attention` on this machine, beside JAX's own and PyTorch's.

All run in this process, in turns of some calls each; a figure is the median over the rounds.
PyTorch takes part if it is installed in this environment.
"""

import dataclasses
import functools
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from rich.console import Console

import hrm_kernels
from experiments.benchmarks import alternate, machine
from experiments.common.terminal import Table

PASSES = ("forward", "forward + backward")
PRODUCTS = {"forward": 2, "forward + backward": 6}
"""Matrix products of a pass, without those that a backward pass repeats to save memory."""
Program = Callable[[], Any]
_PAUSE_SECONDS = 0.3
"""Pause before a turn: OpenMP's threads spin for 0.2 s by default."""
_CALLS = 5
"""Timed calls of a turn, after one that is not timed."""


@dataclasses.dataclass(frozen=True)
class AttentionCase:
    """Sizes of one call in float32, under a causal mask or none."""

    B: int
    T: int
    N: int
    K: int
    causal: bool = False

    def __str__(self) -> str:
        return f"B{self.B} T{self.T} N{self.N} K{self.K}{' causal' if self.causal else ''}"

    def flop(self, part: str) -> float:
        """Returns the FLOP of the pairs that the mask allows."""
        # A causal mask allows a query its own token and those before.
        pairs = self.T * (self.T + 1) / 2 if self.causal else self.T**2
        return PRODUCTS[part] * 2.0 * self.B * self.N * self.K * pairs

    def bytes(self, part: str) -> float:
        """Returns the bytes of every operand read and every result written once."""
        # Query, key, value and the result; backward its cotangent and three gradients as well.
        return (4 if part == "forward" else 8) * 4.0 * self.B * self.T * self.N * self.K


HRM = AttentionCase(256, 82, 8, 32)
CASES = (
    HRM,
    AttentionCase(128, 97, 8, 64),
    AttentionCase(256, 7, 8, 32),
    AttentionCase(64, 129, 8, 32),
    AttentionCase(8, 513, 8, 64),
    AttentionCase(8, 513, 8, 64, causal=True),
    AttentionCase(1, 4096, 8, 64, causal=True),
)


def _jax_programs(attend: Callable[..., Any], operands: list[np.ndarray]) -> dict[str, Program]:
    """Returns both passes, compiled."""
    # On the device before anything is timed.
    arrays = [jax.device_put(x) for x in operands]

    def gradients(query, key, value, cotangent):
        out, pullback = jax.vjp(attend, query, key, value)
        return out, *pullback(cotangent)

    forward = jax.jit(attend).lower(*arrays[:3]).compile()
    both = jax.jit(gradients).lower(*arrays).compile()
    return {
        "forward": lambda: jax.block_until_ready(forward(*arrays[:3])),
        "forward + backward": lambda: jax.block_until_ready(both(*arrays)),
    }


def _ours(case: AttentionCase, operands: list[np.ndarray]) -> dict[str, Program]:
    mask = hrm_kernels.Mask(causal=case.causal)
    return _jax_programs(functools.partial(hrm_kernels.attention, mask=mask), operands)


def _jax_nn(case: AttentionCase, operands: list[np.ndarray]) -> dict[str, Program]:
    attend = functools.partial(jax.nn.dot_product_attention, is_causal=case.causal)
    return _jax_programs(attend, operands)


def _einsum(case: AttentionCase, operands: list[np.ndarray]) -> dict[str, Program]:
    """Returns the textbook formulation on [B, T, N, K]."""

    def attend(query, key, value):
        scores = jnp.einsum("BTNK,BSNK->BNTS", query, key) * case.K**-0.5
        if case.causal:
            allowed = jnp.tril(jnp.ones((case.T, case.T), bool))
            scores = jnp.where(allowed[None, None], scores, -jnp.inf)
        return jnp.einsum("BNTS,BSNK->BTNK", jax.nn.softmax(scores, axis=-1), value)

    return _jax_programs(attend, operands)


def _torch(case: AttentionCase, operands: list[np.ndarray]) -> dict[str, Program]:
    """Returns `scaled_dot_product_attention` with heads first, as PyTorch's models call it."""
    import torch

    # PyTorch wants [B, N, T, K]; the transposition is a view, and no copy is timed.
    *arrays, cotangent = (torch.from_numpy(x).transpose(1, 2) for x in operands)
    leaves = [array.detach().requires_grad_() for array in arrays]

    def attend(query: Any, key: Any, value: Any) -> Any:
        causal = case.causal
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=causal)

    def forward():
        # Without no_grad PyTorch would record the graph of a backward pass that nobody asks for.
        with torch.no_grad():
            return attend(*arrays)

    def both():
        out = attend(*leaves)
        return out, *torch.autograd.grad(out, leaves, cotangent)

    return {"forward": forward, "forward + backward": both}


OURS = "hrm_kernels.attention"
JAX_NN = "jax.nn"
EINSUM = "einsum"
TORCH = "PyTorch"
CONTESTANTS = {OURS: _ours, JAX_NN: _jax_nn, EINSUM: _einsum}


def run(rounds: int, console: Console, picture: pathlib.Path | None = None) -> dict[str, Any]:
    """Times every case; prints a table, draws a picture if asked to, and returns the figures."""
    about = machine.describe()
    # Ceilings are measured in the same run, as the machine is not equally fast every day.
    bandwidth = machine.copy_bandwidth()
    peak = about.peak_flops
    console.print(
        f"{about.cpu}, {about.cores} cores; measured ceilings: {peak / 1e9:.0f} GFLOP/s, "
        f"{bandwidth / 1e9:.1f} GB/s"
    )
    contestants = CONTESTANTS | ({TORCH: _torch} if alternate.importable("torch") else {})
    rows = [row for case in CASES for row in _measure(case, contestants, rounds)]
    for row in rows:
        row["of_peak"] = row["flops"] / peak
        row["of_bandwidth"] = row["bandwidth"] / bandwidth
    console.print(_table(rows, list(contestants), rounds))
    if picture is not None:
        _draw(rows, list(contestants), picture)
    return {"suite": "attention", "peak_flops": peak, "bandwidth": bandwidth, "rows": rows}


def _measure(case: AttentionCase, contestants: dict[str, Any], rounds: int) -> list[dict[str, Any]]:
    """Returns one row for each pass: our figures, and the seconds of every contestant."""
    rng = np.random.default_rng(0)
    shape = (case.B, case.T, case.N, case.K)
    # Query, key, value and the result's cotangent.
    operands = [rng.standard_normal(shape, dtype=np.float32) for _ in range(4)]
    programs = {name: build(case, operands) for name, build in contestants.items()}
    rows = []
    for part in PASSES:
        seconds: dict[str, list[float]] = {name: [] for name in programs}
        # Every round times all contestants, so that drift of the machine's speed hits them alike.
        for _ in range(rounds):
            for name, passes in programs.items():
                seconds[name].append(_turn(passes[part]))
        medians = {name: statistics.median(times) for name, times in seconds.items()}
        rows.append(
            {
                "case": str(case),
                "pass": part,
                "seconds": medians,
                "flops": case.flop(part) / medians[OURS],
                "bandwidth": case.bytes(part) / medians[OURS],
            }
        )
    return rows


def _turn(program: Program) -> float:
    """Returns the mean seconds of a call, over several in a row.

    PyTorch's threads (OpenMP) go on spinning for some time after a call, in case another follows,
    and would keep a core from the next contestant. So a turn begins with a pause, and its first
    call, which wakes the contestant's own threads, is not timed.
    """
    time.sleep(_PAUSE_SECONDS)
    program()
    start = time.perf_counter()
    for _ in range(_CALLS):
        program()
    return (time.perf_counter() - start) / _CALLS


def _table(rows: list[dict[str, Any]], names: list[str], rounds: int) -> Table:
    table = Table(title=f"attention, float32, median of {rounds}; others' time over ours")
    for heading in ("case", "pass", "ms", "GFLOP/s", "of peak", "GB/s", "of copy", *names[1:]):
        table.add_column(heading, justify="left" if heading in ("case", "pass") else "right")
    for row in rows:
        ours = row["seconds"][OURS]
        table.add_row(
            row["case"],
            row["pass"],
            f"{ours * 1e3:.2f}",
            f"{row['flops'] / 1e9:.1f}",
            f"{row['of_peak']:.0%}",
            f"{row['bandwidth'] / 1e9:.1f}",
            f"{row['of_bandwidth']:.0%}",
            *(f"{row['seconds'][name] / ours:.2f}" for name in names[1:]),
        )
    return table


def _draw(rows: list[dict[str, Any]], names: list[str], path: pathlib.Path) -> None:
    """Draws bars of every contestant's time over ours, a panel for each pass."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    for axes, part in zip(figure.subplots(1, len(PASSES), sharey=True), PASSES, strict=True):
        chosen = [row for row in rows if row["pass"] == part]
        place = np.arange(len(chosen))
        height = 0.8 / len(names)
        for index, name in enumerate(names):
            ratios = [row["seconds"][name] / row["seconds"][OURS] for row in chosen]
            axes.barh(place + index * height, ratios, height, label=name)
        axes.axvline(1, color="black", linewidth=0.8)
        axes.set(title=part, xlabel="time over ours (less is faster)")
        # In the middle of a case's bars, of which the first is centred on its place.
        axes.set_yticks(place + 0.4 - height / 2, [row["case"] for row in chosen])
        axes.invert_yaxis()
        axes.legend()
    figure.savefig(path, dpi=110)
