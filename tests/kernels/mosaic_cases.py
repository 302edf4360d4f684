"""Checks the Mosaic kernels in their interpreter, in a process of its own: `python -m` this module.

The interpreter's warpgroups wait for each other in threads of XLA, whose number is settled when a
process starts (`NPROC`). It prints a line of JSON for each case.
"""

import dataclasses
import json
import sys
import traceback
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from hrm_kernels import cases, reference
from hrm_kernels.cases import Case
from hrm_kernels.mosaic_blocks import Kernel, plgpu

RESIDENT = (
    Case(82, K=32, dtype="bfloat16", B=1),
    Case(97, N=4, M=2, K=64, dtype="bfloat16", mask="all", rope=True, B=1),
    Case(5, S=97, N=1, M=1, K=128, dtype="float16", mask="segments"),
    Case(60, N=2, M=1, K=32, dtype="float16", mask="causal_lengths", rope=True, B=3),
)
TILED = (
    Case(200, N=2, M=1, K=64, dtype="bfloat16", mask="packed_prefix", B=1),
    Case(136, S=392, N=1, M=1, K=32, dtype="bfloat16", B=1),
)
RACES = RESIDENT[:2]
POISONED = Case(120, N=1, M=1, K=32, dtype="bfloat16", mask="causal_lengths", B=3)


def check(case: Case, backend: str) -> dict[str, str]:
    """Returns what is wrong with the values and gradients of a case, by name."""
    found = cases.compute(
        cases.example(case), backend=backend, interpret=plgpu.InterpretGPUParams()
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
    """Returns whether threads of a case read what others may write."""
    from jax._src.pallas.mosaic_gpu.interpret import gpu_callbacks  # no public name

    params = plgpu.InterpretGPUParams(detect_races=True, uninitialized_memory="nan")
    found = cases.compute(cases.example(case), backend=backend, interpret=params)
    bad = {name: "NaN" for name, x in found.items() if np.isnan(x).any()}
    return bad | ({"races": "found"} if gpu_callbacks.get_races().races_found else {})


def check_that_races_are_found(case: Case, backend: str) -> dict[str, str]:
    """Returns what is wrong if warpgroups that do not wait for each other go unnoticed."""

    def write_alone(*_) -> None:
        plgpu.commit_smem()

    with mock.patch.object(Kernel, "meet", write_alone):
        try:
            check_races(case, backend)
        except RuntimeError as error:
            return {} if "RACE DETECTED" in str(error) else {"races": str(error)}
    return {"races": "not found"}


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
    *((check, case, "mosaic_resident") for case in RESIDENT),
    *((check_races, case, "mosaic_resident") for case in RACES),
    (check_poison, POISONED, "mosaic_resident"),
    *((check, case, "mosaic_tiled") for case in TILED),
    (check_races, TILED[0], "mosaic_tiled"),
    (check_poison, POISONED, "mosaic_tiled"),
    # The last, as it leaves the interpreter in disorder.
    (check_that_races_are_found, RACES[0], "mosaic_resident"),
)
"""What is checked, each a function, a case and a path."""


def name_of(job) -> str:
    """Returns the name of a job."""
    function, case, backend = job
    return f"{function.__name__}-{backend}-{case}"


def main() -> None:
    """Runs all jobs and prints what each found."""
    for job in JOBS:
        function, case, backend = job
        try:
            wrong = function(case, backend)
        except Exception:  # the other jobs go on
            wrong = {"error": traceback.format_exc()[-2000:]}
        print(json.dumps({"name": name_of(job), "wrong": wrong}), flush=True)


if __name__ == "__main__":
    jax.config.update("jax_platforms", "cpu")
    sys.exit(main())
