"""Checks the Mosaic kernels in their interpreter, in a process of its own.

    NPROC=16 python -m tests.kernels.mosaic_cases

takes every case of the table, each by both kernels where they serve it. The interpreter's
warpgroups wait for each other in threads of XLA, whose number is settled when a process starts
(`NPROC`).
"""

import contextlib
import dataclasses
import functools
import json
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from hrm_kernels import (
    KVCache,
    cases,
    decode_attention,
    mosaic_quantized,
    quantized_cases,
    reference,
)
from hrm_kernels.cases import Case
from hrm_kernels.choice import FAMILIES, path
from hrm_kernels.mosaic_blocks import Kernel, plgpu
from hrm_kernels.mosaic_stream import Slots
from hrm_kernels.operands import Case as Sizes
from hrm_kernels.quantized import quantized_product
from hrm_kernels.quantized_cases import FORMS, Product

RESIDENT = (
    Case(82, K=32, dtype="bfloat16", B=1),
    Case(97, N=4, M=2, K=64, dtype="bfloat16", mask="all", rope=True, B=1),
    Case(5, S=97, N=1, M=1, K=128, dtype="float16", mask="segments"),
    Case(60, N=2, M=1, K=32, dtype="float16", mask="causal_lengths", rope=True, B=3),
)
TILED = (
    Case(200, N=2, M=1, K=64, dtype="bfloat16", mask="packed_prefix", B=1),
    Case(136, S=392, N=1, M=1, K=32, dtype="bfloat16", B=1),
    # No multiple of 8: blocks pass through registers. Few queries: keys are split.
    Case(129, S=257, N=4, M=1, K=64, dtype="bfloat16", mask="causal_window", B=1),
    Case(5, S=393, N=2, M=1, K=128, dtype="float16", mask="lengths", B=3),
)
DECODED = Case(2, S=400, N=4, M=2, K=64, dtype="bfloat16", B=3)
PRODUCTS = (
    Product("Q4_0", 3, "bfloat16", V=130, D=672),
    Product("Q6_K", 1, "float16", V=64, D=512),
    Product("Q8_0", 1, "float16", V=264, D=160),
    Product("Q5_1", 11, "float16", V=72, D=704),
    Product("Q4_K", 2, "bfloat16", V=64, D=512),
    Product("Q6_K", 5, "bfloat16", V=130, D=768),
    Product("Q5_0", 70, "bfloat16", V=128, D=576),
)
"""Of one panel the inputs are split; 70 rows are two blocks."""
MISSING_WAITS = ("RACE DETECTED", "no threads observed phase")
"""What the interpreter's errors say where one warpgroup does not wait for another."""
RACES = {"detect_races": True, "uninitialized_memory": "nan"}
POISONED = Case(120, N=1, M=1, K=32, dtype="bfloat16", mask="causal_lengths", B=3)


def check(case: Case, backend: str, **params: Any) -> dict[str, str]:
    """Returns what is wrong with the values and gradients of a case, by name.

    `params` are those of the interpreter.
    """
    found = cases.compute(
        cases.example(case), backend=backend, interpret=plgpu.InterpretGPUParams(**params)
    )
    wrong = {
        name: str(value)
        for name, value in cases.deviations(case, found).items()
        if not value.is_small
    }
    return wrong | {
        name: f"{x.dtype} {x.shape}"
        for name, x in found.items()
        if x.shape != cases.expected(case)[name].shape
    }


def check_races(case: Case, backend: str) -> dict[str, str]:
    """Returns the same where memory is NaN at first, and whether threads of a case race."""
    return check(case, backend, **RACES) | _races()


def _races() -> dict[str, str]:
    from jax._src.pallas.mosaic_gpu.interpret import gpu_callbacks  # no public name

    return {"races": "found"} if gpu_callbacks.get_races().races_found else {}


def check_product(case: Product, backend: str, **params: Any) -> dict[str, str]:
    """Returns how far a product with a quantised matrix is from float64; NaN spoils its own row."""
    example = quantized_cases.example(FORMS[case.form], case.V, case.D)
    x = quantized_cases.activations(case.rows, case.D).astype(jnp.dtype(case.dtype))
    if case.rows > 1:
        x[-1, 40] = np.nan
    interpret = plgpu.InterpretGPUParams(**params)
    product = functools.partial(quantized_product, backend=backend, interpret=interpret)
    # So few programs that each has several steps, or that inputs are split.
    with mock.patch.multiple(mosaic_quantized, PROGRAMS=2, PROGRAMS_OF_MANY=2):
        found = np.asarray(jax.jit(product)(jnp.asarray(x), example.matrix))
    assert found.shape == (case.rows, case.V)
    assert found.dtype == x.dtype
    finite = np.isfinite(x.astype(np.float32)).all(1)
    if np.isfinite(found[~finite].astype(np.float32)).any():
        return {"NaN": "does not spoil its row"}
    share = quantized_cases.share_of_allowed(found[finite], x[finite], example)
    return {} if share < 1 else {"product": f"{share:.2f} of the allowed error"}


def check_product_races(case: Product, backend: str) -> dict[str, str]:
    """Returns the same where memory is NaN at first, and whether threads race."""
    return check_product(case, backend, **RACES) | _races()


def check_that_races_are_found(case: Any, backend: str) -> dict[str, str]:
    """Returns what is wrong if warpgroups that do not wait for each other go unnoticed."""

    def write_alone(*_) -> None:
        plgpu.commit_smem()

    with contextlib.ExitStack() as careless:
        careless.enter_context(mock.patch.object(Kernel, "meet", write_alone))
        for method in ("wait_until_read", "release"):
            careless.enter_context(mock.patch.object(Slots, method, return_value=None))
        races = check_product_races if isinstance(case, Product) else check_races
        try:
            found = races(case, backend)
        except RuntimeError as error:  # by jax 0.12; 0.11 goes on, or finds a wait missing
            known = any(message in str(error) for message in MISSING_WAITS)
            return {} if known else {"races": str(error)}
    return {} if found.get("races") == "found" else {"races": "not found"}


def check_repeats(case: Case, backend: str) -> dict[str, str]:
    """Returns which results of two runs differ."""
    call = cases.program(cases.example(case), backend=backend, interpret=True)
    first, second = call(), call()
    return {k: "differs" for k, x in first.items() if not np.array_equal(x, second[k])}


def check_decoding(case: Case, backend: str) -> dict[str, str]:
    """Returns how far steps with a cache, whose unused part is NaN, are from XLA's without."""
    lengths = np.array([0, 130, case.S - case.T - 1])
    data = cases.example(case)
    used = (np.arange(case.S) < lengths[:, None])[..., None, None]
    rooms = [jnp.where(used, x, jnp.nan).reshape(case.B, case.S, -1) for x in data.operands[1:]]
    cache = KVCache(*rooms, jnp.asarray(lengths, jnp.int32))
    new = [x[:, : case.T] for x in data.operands[1:]]
    wrong = {}
    for window in (None, 100):
        decode = functools.partial(decode_attention, data.query, *new, cache, window=window)
        found, exact = decode(backend=backend, interpret=True)[0], decode(backend="xla_blocked")[0]
        worst = float(jnp.abs(found - exact).max())
        if not worst <= 2 * float(jnp.finfo(case.dtype).eps):
            wrong[f"window {window}"] = f"off by {worst}"
    return wrong


def check_poison(case: Case, backend: str) -> dict[str, str]:
    """Returns which results depend on keys, values and queries that the mask hides."""
    data = cases.example(case)
    pairs = reference.allowed(data.mask, case.B, case.T, case.keys)
    hidden = ~pairs.any(1)[:, :, None, None]
    dead = ~pairs.any(2)[:, :, None, None]
    assert hidden.any()
    assert dead.any()
    poisoned = dataclasses.replace(
        data,
        query=jnp.where(dead, jnp.nan, data.query),
        key=jnp.where(hidden, jnp.nan, data.key),
        value=jnp.where(hidden, jnp.nan, data.value),
        cotangents=(jnp.where(dead, jnp.nan, data.cotangents[0]), data.cotangents[1]),
    )
    clean, found = (cases.compute(x, backend=backend, interpret=True) for x in (data, poisoned))
    return {k: "differs" for k, x in found.items() if not np.array_equal(x, clean[k])}


JOBS = (
    *((check, case, "mosaic_resident") for case in RESIDENT[2:]),
    *((check_races, case, "mosaic_resident") for case in RESIDENT[:2]),
    *((check_races, case, "mosaic_tiled") for case in TILED),
    (check_poison, POISONED, "mosaic_resident"),
    (check_poison, POISONED, "mosaic_tiled"),
    (check_poison, dataclasses.replace(POISONED, T=117), "mosaic_tiled"),
    (check_repeats, TILED[0], "mosaic_tiled"),
    (check_decoding, DECODED, "mosaic_tiled"),
    *((check_product, case, "mosaic") for case in PRODUCTS[2:]),
    *((check_product_races, case, "mosaic") for case in PRODUCTS[:2]),
)
"""What is checked, each a function, a case and a path."""
RACING = (
    (check_that_races_are_found, RESIDENT[0], "mosaic_resident"),
    (check_that_races_are_found, TILED[1], "mosaic_tiled"),
    (check_that_races_are_found, PRODUCTS[0], "mosaic"),
)
"""These leave the interpreter in disorder, so each needs a process of its own."""


def _table() -> Iterator[tuple[Any, ...]]:
    """Yields the checks of the whole table of cases in 16 bits."""
    for case in cases.NARROW_CASES:
        sizes = Sizes(case.T, case.keys, case.N, case.M, case.K, case.dtype)
        for name in FAMILIES["mosaic"]:
            if path(name).refuses(sizes) is None:
                yield check, case, name


TABLE = tuple(_table()) if plgpu is not None else ()


def name_of(job) -> str:
    """Returns the name of a job."""
    function, case, backend = job
    return f"{function.__name__}-{backend}-{case}"


def run(job) -> dict[str, str]:
    """Returns what a job finds wrong, an error included."""
    function, case, backend = job
    try:
        return function(case, backend)
    except Exception:  # the other jobs go on
        return {"error": traceback.format_exc()[-2000:]}


def main(arguments: list[str]) -> int:
    """Runs jobs, prints a line of JSON for each, and returns 1 if one found anything wrong.

    Without arguments these are the jobs of the whole table; with "-", those whose names come in by
    standard input, a line each.
    """
    jobs = {name_of(job): job for job in (*JOBS, *RACING, *TABLE)}
    names: Iterable[str] = map(name_of, TABLE)
    if arguments == ["-"]:
        names = (line.strip() for line in sys.stdin)
    failed = False
    for name in names:
        start = time.monotonic()
        wrong = run(jobs[name])
        failed |= bool(wrong)
        seconds = round(time.monotonic() - start, 1)
        print(json.dumps({"name": name, "wrong": wrong, "seconds": seconds}), flush=True)
    return int(failed)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    sys.exit(main(sys.argv[1:]))
