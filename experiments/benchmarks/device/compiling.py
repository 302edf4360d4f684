"""Part "compiling": seconds that each kernel takes to compile, and NVIDIA's sanitizers on four.

The sanitizers run this module: `compute-sanitizer --tool=racecheck python -m
experiments.benchmarks.device.compiling` computes four small cases by both kernels.
"""

import dataclasses
import functools
import os
import pathlib
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax

import hrm_kernels
from experiments.benchmarks import aot_cases
from experiments.benchmarks.device.part import Job, Part, Result, Setting, measure, table_of
from hrm_kernels import cases

CALLS = ("hrm_82", "hrm_82_float32", "hrm_text_4096", "smollm2_8192", "code_32768")
DECODERS = ("decode_code",)
MATRICES = ("code_down", "smollm2_down")
TOOLS = ("memcheck", "racecheck")
SANITIZED = (
    ("gpu_resident", cases.Case(82, rope=True, dtype="bfloat16", B=1)),
    ("gpu_resident", cases.Case(97, N=4, M=2, K=64, mask="lengths", rope=True, B=1)),
    ("gpu_tiled", cases.Case(129, mask="packed_prefix", B=1)),
    ("gpu_tiled", cases.Case(300, N=4, M=2, K=64, mask="causal", dtype="bfloat16", B=1)),
)
_FOUND_STATUS = 97
"""Exit status with which the sanitizer reports findings."""


def run(setting: Setting) -> Result:
    """Starts the sanitizers, compiles meanwhile, and collects what they found."""
    tool = shutil.which("compute-sanitizer") or "/usr/local/cuda/bin/compute-sanitizer"
    reason = ""
    if setting.small:
        reason = "not run: needs a GPU"
    elif not os.path.exists(tool):
        reason = "not run: no compute-sanitizer on this machine"
    running = {}
    if not reason:
        # Beside the compilations, which leave the device idle.
        running = {name: _start(tool, name) for name in TOOLS}
    result = measure(setting, _programs(setting.small))
    if reason:
        # A row, not something left out, since running the part again would not help.
        result.rows.append({"name": "compute-sanitizer", "found": reason})
    for name, (process, start) in running.items():
        found = _finish(process, max(1.0, setting.deadline + 30 - time.monotonic()))
        seconds = time.monotonic() - start
        result.rows.append({"name": f"compute-sanitizer {name}", "seconds": seconds} | found)
        if found["wrong"]:
            result.wrong.append(f"{name}: {found['found']}")
    return result


def _programs(small: bool) -> Iterator[Job]:
    """Yields each program, and what compiles it and returns the seconds of that."""
    if small:
        path, case = SANITIZED[0]
        tiny = dataclasses.replace(case, T=5)
        yield f"{path} {tiny}", lambda: _seconds(lambda: _compute(path, tiny, interpret=True))
        return

    def compiling(function: Callable[..., Any], *operands: Any) -> Callable[[], dict[str, Any]]:
        return lambda: _seconds(jax.jit(function).lower(*operands).compile)

    for name in CALLS:
        case = aot_cases.CASES[name]
        attend = aot_cases.ours(case, "gpu")
        operands = case.operands()
        yield f"{name} forward", compiling(attend, *operands)
        yield f"{name} gradient", compiling(aot_cases.gradient(attend), operands[0], *operands)
    decode = functools.partial(hrm_kernels.decode_attention, backend="gpu")
    for name in DECODERS:
        yield name, compiling(decode, *aot_cases.DECODERS[name].operands(1))
    product = functools.partial(hrm_kernels.quantized_product, backend="gpu")
    for name in MATRICES:
        for rows in (1, 512):
            operands = aot_cases.QUANTIZED[name].operands(rows, "bfloat16")
            yield f"{name}, {rows} rows", compiling(product, *operands)


def _seconds(function: Callable[[], Any]) -> dict[str, Any]:
    start = time.perf_counter()
    function()
    return {"seconds": time.perf_counter() - start, "found": ""}


def _start(tool: str, name: str) -> tuple[subprocess.Popen, float]:
    command = [tool, f"--tool={name}", f"--error-exitcode={_FOUND_STATUS}", "--print-limit=5"]
    # Only our kernels: XLA's are many, and not ours to judge.
    command += ["--kernel-regex=kns=attention", sys.executable, "-m", __spec__.name]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=_environment()
    )
    return process, time.monotonic()


def _environment() -> dict[str, str]:
    root = pathlib.Path(__file__).resolve().parents[3]
    paths = [str(root), str(root / "kernels")]
    return os.environ | {
        "PYTHONPATH": os.pathsep.join(paths),
        # An allocator that hands out parts of one block would hide what lies outside of an array.
        "XLA_PYTHON_CLIENT_ALLOCATOR": "platform",
    }


def _finish(process: subprocess.Popen, timeout_seconds: float) -> dict[str, Any]:
    try:
        text, _ = process.communicate(timeout=timeout_seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        return {"found": "stopped: out of time", "wrong": False}
    lines = [line for line in text.splitlines() if "ERROR SUMMARY" in line or "RACECHECK" in line]
    last = (lines or text.strip().splitlines() or ["no output"])[-1]
    return {"found": last.strip("= "), "wrong": process.returncode != 0, "output": text[-2000:]}


def _compute(path: str, case: cases.Case, interpret: bool = False) -> None:
    cases.compute(cases.example(case), backend=path, interpret=interpret)


def _table(rows: list[dict[str, Any]]):
    columns = {"program": "{name}", "s": "{seconds:.1f}", "found": "{found}"}
    return table_of("compiling: seconds, and the sanitizers' findings", columns, rows)


PART = Part("seconds of compilation, and NVIDIA's sanitizers", 1.0, run, _table)

if __name__ == "__main__":
    for sanitized_path, sanitized_case in SANITIZED:
        _compute(sanitized_path, sanitized_case)
    print("computed", len(SANITIZED), "cases")
