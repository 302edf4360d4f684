"""Part "mosaic": the kernels of Mosaic GPU, right and fast, beside those that are chosen today.

It is not among the parts that run by default. Once it has found nothing wrong on a Hopper card, and
the kernels faster, the automatic choice may take them (`hrm_kernels.choice.explain_case`).
"""

import dataclasses
import functools
import time
from collections.abc import Callable, Iterator
from typing import Any

import hrm_kernels
from experiments.benchmarks import aot_cases
from experiments.benchmarks.device import attention, quantized, right
from experiments.benchmarks.device.card import Program
from experiments.benchmarks.device.part import Job, Part, Result, Setting, measure, table_of
from hrm_kernels import cases
from hrm_kernels.choice import FAMILIES, path
from hrm_kernels.device import device_of
from hrm_kernels.operands import Case as Sizes


def run(setting: Setting) -> Result:
    """Checks every case that the kernels serve, then times the calls of models that they serve."""
    result = Result([])
    if setting.small:
        result.left_out.append("needs a Hopper card; tests/kernels/mosaic_test.py interprets")
        return result
    table = [case for case in right.ordered(cases.NARROW_CASES) if _serves(case, case.keys)]
    if not table:
        case = dataclasses.replace(_HRM, generation=device_of().generation)
        result.wrong.append(f"no case is served: {path(FAMILIES['mosaic'][0]).refuses(case)}")
        return result
    jobs: list[tuple[str, Any]] = [("mosaic", case) for case in table]
    # A few of each kind first, so that minutes show whether all kernels work.
    decoding = [("mosaic decoding", case) for case in right.DECODING if case.dtype != "float32"]
    products = [
        ("mosaic quantized", dataclasses.replace(case, dtype="bfloat16"))
        for case in right.PRODUCTS_OF_MATRICES
    ]
    jobs = [*jobs[:4], *decoding, *products, *jobs[4:]]
    # Half of the time is for checks, and half for timings.
    now = time.monotonic()
    half = dataclasses.replace(setting, deadline=now + (setting.deadline - now) / 2)
    for (_, case), found in right.over_processes(jobs, half):
        if found is None:
            result.left_out.append(str(case))
        else:
            result.rows.extend(found)
    rows = result.rows
    result.wrong.extend(f"{r['case']} by {r['path']}: {r['wrong']}" for r in rows if r["wrong"])
    timed = measure(setting, _measurements())
    result.left_out.extend(timed.left_out)
    result.wrong.extend(timed.wrong)
    result.wrong.extend(f"{row['name']}: {row['wrong']}" for row in timed.rows if row["wrong"])
    result.rows.extend(timed.rows)
    return result


def _measurements() -> Iterator[Job]:
    """Yields name and function of each call of a model that the kernels serve."""
    for case in aot_cases.CASES.values():
        case = dataclasses.replace(case, B=attention.BATCH if case.rope else case.B)
        for part in attention.PASSES if _serves(case, case.T) else ():
            yield f"{case.name} {part}", functools.partial(_timings, case, part)
    for case in aot_cases.DECODERS.values():
        if case.dtype != "float32":
            yield case.name, functools.partial(_decoding_timings, case)
    for case in aot_cases.QUANTIZED.values():
        for rows in quantized.ROWS:
            yield f"{case.name}, {rows} rows", functools.partial(_product_timings, case, rows)


STEPS = 64
"""Steps of decoding in one program, as in part "attention"."""
_HRM = Sizes(T=82, S=82, N=8, M=8, K=64, dtype="bfloat16")


def _serves(case: Any, S: int) -> bool:
    """Returns whether a kernel of Mosaic's serves a case of the table, or a call of a model."""
    generation = device_of().generation
    sizes = Sizes(case.T, S, case.N, case.M, case.K, case.dtype, generation=generation)
    return any(path(name).refuses(sizes) is None for name in FAMILIES["mosaic"])


def _timings(case: aot_cases.AotCase, part: str) -> dict[str, Any]:
    """Returns the microseconds of a call by contestant."""
    arrays = attention.arrays_of(case)
    attends = {
        "mosaic": aot_cases.ours(case, "mosaic"),
        "gpu": aot_cases.ours(case, "gpu"),
        "cudnn": aot_cases.xla(case, "cudnn"),
    }
    builders = {
        name: functools.partial(attention.jax_program, case, attend, arrays, part)
        for name, attend in attends.items()
    }
    return _timed_row(case.name, part, builders)


def _decoding_timings(case: aot_cases.DecodeCase) -> dict[str, Any]:
    """Returns the microseconds of a step of decoding by contestant."""
    decoders = {
        backend: functools.partial(hrm_kernels.decode_attention, backend=backend)
        for backend in ("mosaic", "gpu")
    }
    builders = {
        name: functools.partial(attention.decoder, case, STEPS, decode)
        for name, decode in (decoders | {"xla": aot_cases.xla_decode}).items()
    }
    return _timed_row(case.name, "step", builders, calls=STEPS)


def _product_timings(case: aot_cases.QuantizedCase, rows: int) -> dict[str, Any]:
    """Returns the microseconds of a product with a quantised matrix by contestant."""
    count = quantized.matrices_of(case)
    backends = {"mosaic": "mosaic", "gpu": "gpu"}
    builders = quantized.builders(case, rows, backends, count)
    return _timed_row(case.name, f"{rows} rows", builders, calls=count)


def _timed_row(
    name: str, part: str, builders: dict[str, Callable[[], Program]], calls: int = 1
) -> dict[str, Any]:
    seconds, notes = attention.timed(builders)
    # A kernel of ours that does not run on the card is an error; others' are left out.
    wrong = notes.get("mosaic", "")
    times = {who: 1e6 * value / calls for who, value in seconds.items()}
    return {
        "case": name,
        "path": "timed",
        "pass": part,
        "us": times,
        "notes": notes,
        "wrong": wrong,
    }


def _table(rows: list[dict[str, Any]]):
    columns = {
        "case": "{case}",
        "by": "{path}",
        "pass": "{pass}",
        "of allowed": "{of_allowed:.2f}",
        "us": "{us[mosaic]:.0f}",
        "Triton": "{us[gpu]:.0f}",
        "cuDNN": "{us[cudnn]:.0f}",
        "XLA": "{us[xla]:.0f}",
    }
    return table_of("mosaic: against float64, and microseconds", columns, rows)


PART = Part("the kernels of Mosaic GPU", 3.0, run, _table)
