"""Part "right": every kernel of the GPU against float64, and for equal bits in two runs.

Cases are checked by several processes side by side: tracing takes as long as compiling, and one
Python traces one program at a time.
"""

import concurrent.futures
import dataclasses
import functools
import multiprocessing
import time
from collections.abc import Callable, Iterable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import hrm_kernels
from experiments.benchmarks.device.part import Part, Result, Setting, table_of, told
from hrm_kernels import cases, gpu_blocks, quantized_cases, reference
from hrm_kernels.choice import FAMILIES, path
from hrm_kernels.device import PLATFORMS
from hrm_kernels.operands import Case as Sizes
from hrm_kernels.quantized_cases import Product

PATHS = ("gpu_resident", "gpu_tiled")
PRODUCTS = {
    "exact": jax.lax.DotAlgorithmPreset.F32_F32_F32,
    "TF32x3": jax.lax.DotAlgorithmPreset.TF32_TF32_F32_X3,
    "TF32": jax.lax.DotAlgorithmPreset.TF32_TF32_F32,
}
DECODERS = {"decoding": "gpu_tiled", "mosaic decoding": "mosaic_tiled"}
"""Paths that decode, by kind of check."""
MULTIPLIERS = {"quantized": None, "mosaic quantized": "mosaic"}
"""Backends of products with quantised matrices, likewise; None for the platform's."""
SMALL = tuple(case for case in cases.CASES if case.T <= 7 and case.mask in ("full", "causal"))[:4]


@dataclasses.dataclass(frozen=True)
class Decoding:
    """A step of decoding T tokens, with keys enough to be split among programs."""

    T: int
    dtype: str
    window: int | None = None
    B: int = 3
    S: int = 2100
    N: int = 6
    M: int = 2
    K: int = 64

    def __str__(self) -> str:
        return f"decode-T{self.T}-S{self.S}-{self.dtype}-window{self.window}"


DECODING = tuple(
    Decoding(T, dtype, window)
    for T in (1, 4)
    for dtype in ("float32", "bfloat16", "float16")
    for window in (None, 700)
)


PRODUCTS_OF_MATRICES = (
    *(Product(form, 1) for form in quantized_cases.FORMS),
    Product("Q5_0", 5, D=1312),
    Product("Q4_1", 16, "bfloat16"),
    Product("Q8_0", 8, "float16"),
    Product("Q6_K", 100),
)


def run(setting: Setting) -> Result:
    """Checks all cases at the default precision, and some of them at the highest."""
    rotated = [case for case in cases.CASES if case.rope and case.dtype == "float32"]
    jobs: list[tuple[str, Any]] = [("products", case) for case in rotated[:1]]
    jobs += [("decoding", case) for case in DECODING]
    jobs += [("quantized", case) for case in PRODUCTS_OF_MATRICES]
    # Wider heads in three products each are too much for the resident kernel's shared memory; the
    # automatic choice leaves exact float32 to XLA, which is faster at it.
    jobs += [("highest", case) for case in rotated if case.K == 32]
    jobs += [("default", case) for case in ordered(cases.CASES)]
    jobs += [("xla_blocked", case) for case in cases.CASES[::8]]
    if setting.small:
        jobs = [("default", SMALL[0]), ("decoding", Decoding(1, "float32", S=70))]
        jobs += [("quantized", Product("Q4_0", 1, V=64, D=128))]
    rows = []
    left_out = []
    for (_, case), found in over_processes(jobs, setting):
        if found is None:
            left_out.append(str(case))
        else:
            rows += found
    wrong = [f"{row['case']} by {row['path']}: {row['wrong']}" for row in rows if row["wrong"]]
    return Result(rows, wrong, left_out)


def ordered(table: Iterable[cases.Case]) -> list[cases.Case]:
    """Returns the cases, those of HRM and TRM first."""
    # If the deadline comes early, the cases that matter most have been checked.
    return sorted(table, key=lambda case: (not case.rope, case.T not in (82, 97)))


def over_processes(jobs: list[tuple[str, Any]], setting: Setting):
    """Yields each job, a kind of check and a case, with its rows; None after the deadline."""
    # Not fork: a process with CUDA in use must not be forked.
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(setting.processes, mp_context=context)
    try:
        futures = {pool.submit(_check, *job, setting.small): job for job in jobs}
        wait = max(1.0, setting.deadline - time.monotonic())
        done, _ = concurrent.futures.wait(futures, timeout=wait)
        for future, job in futures.items():
            yield job, _rows_of(future, job) if future in done else None
    finally:
        # Without waiting: a job that runs would delay the end of the part, so its process is ended.
        pool.shutdown(wait=False, cancel_futures=True)
        for process in multiprocessing.active_children():
            process.terminate()


def _rows_of(future: concurrent.futures.Future, job: tuple[str, Any]) -> list[dict[str, Any]]:
    """Returns a job's rows; where its process died, one that says so."""
    try:
        return future.result()
    # A crash inside a kernel ends the process, which no handler in it can turn into a row.
    except concurrent.futures.process.BrokenProcessPool as error:
        name, case = job
        row = {"path": name, "case": str(case), "dtype": case.dtype}
        return [row | {"wrong": told(error)}]


def _check(kind: str, case: Any, small: bool) -> list[dict[str, Any]]:
    """Returns the rows of one job, in a process of the pool; an exception becomes a row."""
    # Read at tracing, by XLA's products and by ours.
    precision = "default" if kind == "default" else "highest"
    with jax.default_matmul_precision(precision):
        if kind in DECODERS:
            backend = DECODERS[kind]
            return [_guarded(backend, case, lambda: _decoding(backend, case, small))]
        if kind in MULTIPLIERS:
            backend = MULTIPLIERS[kind] or PLATFORMS.get(jax.default_backend(), "gpu")
            return [_guarded(kind, case, lambda: _quantized(backend, case, small))]
        if kind == "products":
            return [
                _guarded(f"gpu_resident, {name}", case, _products(case, name)) for name in PRODUCTS
            ]
        if kind == "xla_blocked":
            return [_guarded(kind, case, lambda: _case(kind, case, "float32", small))]
        # Only the paths that take these sizes are checked; a refusal is no error.
        sizes = Sizes(case.T, case.keys, case.N, case.M, case.K, case.dtype, case.mask != "full")
        paths = FAMILIES["mosaic"] if kind == "mosaic" else PATHS
        served = [name for name in paths if path(name).refuses(sizes) is None]
        products: cases.Products = "tf32" if kind == "default" else "tf32x3"
        if small:
            products = "float32"
        label = ", highest" if kind == "highest" else ""
        return [
            _guarded(name + label, case, lambda name=name: _case(name, case, products, small))
            for name in served
        ]


def _guarded(name: str, case: Any, check) -> dict[str, Any]:
    row = {"path": name, "case": str(case), "dtype": case.dtype}
    try:
        return row | check()
    except Exception as error:  # a table with a hole tells more than none
        return row | {"wrong": told(error)}


def _case(name: str, case: cases.Case, products: cases.Products, small: bool) -> dict[str, Any]:
    """Checks one path at one case: errors as a share of the allowed ones, and repeated bits."""
    interpret = small and name.startswith("gpu")
    start = time.perf_counter()
    call = cases.program(cases.example(case), backend=name, interpret=interpret)
    compile_seconds = time.perf_counter() - start
    # Twice: kernels without atomics have to give equal bits.
    first = call()
    second = call()
    repeats = all(np.array_equal(first[key], second[key], equal_nan=True) for key in first)
    found = cases.deviations(case, first, products)
    bad = [f"{key} {value}" for key, value in found.items() if not value.is_small]
    return {
        "compile_seconds": compile_seconds,
        "of_allowed": max(value.rms / value.allowed_rms for value in found.values()),
        "relative_error": _relative(case, found),
        "repeats": repeats,
        "wrong": "; ".join(bad) or ("" if repeats else "two runs differ"),
    }


def _products(case: cases.Case, name: str) -> Callable[[], dict[str, Any]]:
    """Returns a function that measures the error of a kind of float32 product.

    The error is recorded, and never counts as wrong.
    """

    def measure() -> dict[str, Any]:
        # A global of the kernels, which is read at tracing; `finally` restores it for later jobs.
        before = gpu_blocks.HIGHEST_PRODUCTS
        gpu_blocks.HIGHEST_PRODUCTS = PRODUCTS[name]
        try:
            found = cases.compute(cases.example(case), backend="gpu_resident")
        finally:
            gpu_blocks.HIGHEST_PRODUCTS = before
        deviations = cases.deviations(case, found)
        return {"relative_error": _relative(case, deviations), "wrong": ""}

    return measure


def _relative(case: cases.Case, found: dict[str, cases.Deviation]) -> float:
    """Returns the largest root-mean-square error relative to that of the values."""
    exact = cases.expected(case)
    return max(
        deviation.rms / cases.rms(np.where(np.isfinite(exact[key]), exact[key], 0))
        for key, deviation in found.items()
        if np.isfinite(exact[key]).any() and cases.rms(np.nan_to_num(exact[key], neginf=0)) > 0
    )


def _decoding(backend: str, case: Decoding, small: bool) -> dict[str, Any]:
    """Compares a step of decoding with float64; the error is in epsilons of the dtype.

    Rows of the batch have an empty, a half-full and a full cache.
    """
    rng = np.random.default_rng(0)

    def normal(*shape: int) -> jax.Array:
        return jnp.asarray(rng.standard_normal(shape), case.dtype)

    before = jnp.asarray([0, case.S // 2, case.S - case.T], jnp.int32)
    heads = case.M * case.K
    cache = hrm_kernels.KVCache(
        normal(case.B, case.S, heads), normal(case.B, case.S, heads), before
    )
    query = normal(case.B, case.T, case.N, case.K)
    key = normal(case.B, case.T, case.M, case.K)
    value = normal(case.B, case.T, case.M, case.K)
    step = jax.jit(
        lambda *x: hrm_kernels.decode_attention(
            *x, window=case.window, backend=backend, interpret=small
        )
    )
    out, after = step(query, key, value, cache)
    again, _ = step(query, key, value, cache)
    shape = case.B, case.S, case.M, case.K
    mask = hrm_kernels.Mask(
        causal=True, window=case.window, query_offset=before, lengths=after.lengths
    )
    exact = reference.attention(
        query, after.key.reshape(shape), after.value.reshape(shape), mask=mask
    ).out
    error = cases.rms(cases.error(out, exact)) / cases.rms(exact)
    allowed = 4 * float(jnp.finfo(case.dtype).eps)
    repeats = np.array_equal(out, again)
    wrong = "" if error <= allowed else f"relative error {error:.2e}, allowed {allowed:.2e}"
    return {
        "of_allowed": error / allowed,
        "relative_error": error,
        "repeats": repeats,
        "wrong": wrong or ("" if repeats else "two runs differ"),
    }


def _quantized(backend: str, case: Product, small: bool) -> dict[str, Any]:
    """Compares a product with a quantised matrix with float64."""
    form = quantized_cases.FORMS[case.form]
    example = quantized_cases.example(form, case.V, case.D)
    x = quantized_cases.activations(case.rows, case.D).astype(jnp.dtype(case.dtype))
    product = jax.jit(
        functools.partial(hrm_kernels.quantized_product, backend=backend, interpret=small)
    )
    first = np.asarray(product(x, example.matrix))
    repeats = np.array_equal(first, product(x, example.matrix))
    share = quantized_cases.share_of_allowed(first, x, example)
    exact = x.astype(np.float64) @ example.weights.T
    wrong = "" if share <= 1 else f"{share:.2f} of the allowed error"
    return {
        "of_allowed": share,
        "relative_error": cases.rms(first - exact) / cases.rms(exact),
        "repeats": repeats,
        "wrong": wrong or ("" if repeats else "two runs differ"),
    }


def _table(rows: list[dict[str, Any]]):
    """Returns a table by path and dtype: the number of rows, the worst error, the wrong ones."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for row in rows:
        kind = "decode, " if row["case"].startswith("decode") else ""
        groups.setdefault((kind + row["path"], row["dtype"]), []).append(row)
    shown = [
        {
            "path": name,
            "dtype": dtype,
            "cases": len(group),
            "wrong": sum(bool(row["wrong"]) for row in group),
            "of_allowed": max((row.get("of_allowed", 0.0) for row in group), default=0.0),
            "error": max((row.get("relative_error", 0.0) for row in group), default=0.0),
        }
        for (name, dtype), group in sorted(groups.items())
    ]
    columns = {
        "path": "{path}",
        "dtype": "{dtype}",
        "cases": "{cases}",
        "wrong": "{wrong}",
        "worst, of allowed": "{of_allowed:.2f}",
        "relative error": "{error:.1e}",
    }
    return table_of("right: against float64", columns, shown)


PART = Part("every kernel against float64, and bitwise repeatability", 2.6, run, _table)
