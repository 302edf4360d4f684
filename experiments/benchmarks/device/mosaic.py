"""Part "mosaic": the kernels of Mosaic GPU, right and fast, beside those that are chosen today.

It is not among the parts that run by default. Once it has found nothing wrong on a Hopper card, and
the kernels faster, the automatic choice may take them (`hrm_kernels.choice.explain_case`).
"""

import dataclasses
import functools
import time
from typing import Any

from experiments.benchmarks import aot_cases
from experiments.benchmarks.device import attention, right
from experiments.benchmarks.device.part import Part, Result, Setting, table_of
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
    table = [case for case in right.ordered(cases.CASES) if _serves(case, case.keys)]
    if not table:
        result.wrong.append(f"no case is served: {path(FAMILIES['mosaic'][0]).refuses(_HRM)}")
        return result
    # Half of the time is for checks, and half for timings.
    now = time.monotonic()
    half = dataclasses.replace(setting, deadline=now + (setting.deadline - now) / 2)
    for (_, case), found in right.over_processes([("mosaic", case) for case in table], half):
        if found is None:
            result.left_out.append(str(case))
        else:
            result.rows.extend(found)
    rows = result.rows
    result.wrong.extend(f"{r['case']} by {r['path']}: {r['wrong']}" for r in rows if r["wrong"])
    for case in aot_cases.CASES.values():
        case = dataclasses.replace(case, B=attention.BATCH if case.rope else case.B)
        for part in attention.PASSES if _serves(case, case.T) else ():
            if setting.late:
                result.left_out.append(f"{case.name} {part}")
            else:
                result.rows.append(_timings(case, part))
    return result


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
    seconds, notes = attention.timed(builders)
    times = {name: 1e6 * value for name, value in seconds.items()}
    return {
        "case": case.name,
        "path": "timed",
        "pass": part,
        "us": times,
        "notes": notes,
        "wrong": "",
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
    }
    return table_of("mosaic: against float64, and microseconds", columns, rows)


PART = Part("the kernels of Mosaic GPU", 3.0, run, _table)
