"""What kernels are made of on H100: registers, spills, shared memory and instructions.

    pip install -e '.[aot-gpu]' nvidia-cuda-cuobjdump
    python -m experiments.benchmarks.aot_kernels --by=mosaic --calls=hrm_82,smollm2_8192

compiles the calls that models make, of `aot_cases`, and takes each kernel apart: attention, steps
of decoding, products with quantised matrices (for `--rows` each). `--by` is "mosaic" or "shipped",
JAX's own for Mosaic GPU (float16 without a mask), with jax 0.11 or newer on Python 3.12; "gpu",
ours for Triton, or "xla", with jax 0.10, as newer ones do not say what they made.
"""

import dataclasses
import functools
import os
import pathlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

from absl import app, flags
from rich.console import Console

from experiments.common.terminal import Table, make_console

_BY = flags.DEFINE_enum("by", "mosaic", ["mosaic", "gpu", "xla", "shipped"], "whose kernels")
_CALLS = flags.DEFINE_list(
    "calls", ["hrm_82", "smollm2_8192"], "names of calls, of decoders, or of quantised matrices"
)
_ROWS = flags.DEFINE_multi_integer("rows", [1, 512], "rows of activations of quantised products")
_ARCHITECTURE = "sm_90a"
_SPILLED = re.compile(r"(\d+) bytes spill stores")
_REGISTERS = re.compile(r"Used (\d+) registers.*?(?:(\d+) bytes smem)?$", re.MULTILINE)
_SCRATCH = re.compile(r"smem_scratch_bytes=(\d+)")
_THUNK = re.compile(r"\] (\w+) grid:.*shared_memory: (\d+) bytes")
_INSTRUCTION = re.compile(r"^\s+/\*[0-9a-f]{4,}\*/\s+(?:@!?\w+\s+)?(\w+)", re.MULTILINE)
_PRODUCTS = ("HGMMA", "HMMA")


def main(arguments: list[str]) -> None:
    """Compiles and prints the table."""
    if len(arguments) > 1:
        raise app.UsageError(f"expected flags alone, got {arguments[1:]}", exitcode=2)
    with tempfile.TemporaryDirectory() as folder:
        # Both are read when the first program is compiled, and not again.
        os.environ["XLA_FLAGS"] = f"--xla_dump_to={folder} " + os.environ.get("XLA_FLAGS", "")
        os.environ |= {"MOSAIC_GPU_DUMP_TO": folder, "MOSAIC_GPU_DUMP_PTX": "1"}
        folder = pathlib.Path(folder)
        print_kernels(_BY.value, _CALLS.value, _ROWS.value, folder, make_console())


def print_kernels(
    by: str, calls: list[str], rows: list[int], folder: pathlib.Path, console: Console
) -> None:
    """Prints a row for each kernel of each call; compilers leave its code in `folder`."""
    import jax

    table = Table(title=f"kernels of {by} for H100, jax {jax.__version__}")
    for heading in ("call", "kernel", "registers", "spilled", "shared KiB", "instructions", "mma"):
        table.add_column(heading, justify="left" if heading in ("call", "kernel") else "right")
    for call in calls:
        for part, compile_it in programs(by, call, rows):
            temporary = compile_it().temporary_bytes
            about = f"{call} {part}, {temporary / 2**20:,.1f} MiB"
            for kernel in kernels_in(folder):
                table.add_row(about, *(str(kernel[key]) for key in kernel))
                # The call is named in its first row alone.
                about = ""
            # The folder is the compilers' own: what is in it after a program is of that program.
            for path in folder.iterdir():
                path.unlink()
    console.print(table)


def programs(by: str, call: str, rows: list[int]) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Yields each pass of a call, or number of rows of a product, with what compiles it.

    Raises:
      app.UsageError: there is no such call.
    """
    import hrm_kernels
    from experiments.benchmarks import aot, aot_cases, aot_targets, shipped_attention

    target = aot_targets.TARGETS["h100"]
    if call in aot_cases.DECODERS:
        decode = functools.partial(hrm_kernels.decode_attention, backend=by)
        if by == "xla":
            decode = aot_cases.xla_decode
        yield (
            "step",
            functools.partial(aot.compile_decoder, target, aot_cases.DECODERS[call], decode),
        )
        return
    if call in aot_cases.QUANTIZED:
        product = functools.partial(hrm_kernels.quantized_product, backend=by)
        for number in rows:
            operands = aot_cases.QUANTIZED[call].operands(number, "bfloat16")
            yield (
                f"{number} rows",
                functools.partial(aot_targets.compile_for, target, product, *operands),
            )
        return
    if call not in aot_cases.CASES:
        known = ", ".join([*aot_cases.CASES, *aot_cases.DECODERS, *aot_cases.QUANTIZED])
        raise app.UsageError(f"--calls: expected some of {known}, got {call}", exitcode=2)
    case = aot_cases.CASES[call]
    if by == "shipped":
        # What JAX's own kernel takes, so that it can be compared at all.
        case = dataclasses.replace(case, dtype="float16", mask="full", rope=False)
    shipped = functools.partial(shipped_attention.mosaic, causal=False)
    attends = {"xla": aot_cases.xla(case), "shipped": aot_cases.on_projections(case, shipped)}
    attend = attends.get(by) or aot_cases.ours(case, by)
    for part in aot.PASSES:
        yield part, functools.partial(aot.compile_case, target, case, attend, part)


def kernels_in(folder: pathlib.Path) -> Iterator[dict[str, Any]]:
    """Yields the kernels whose code (PTX) compilers left in a folder, assembled."""
    shared = {
        name: int(size)
        for path in folder.glob("*thunk_sequence.txt")
        for name, size in _THUNK.findall(path.read_text())
    }
    for path in folder.glob("*.resources.txt"):
        found = _SCRATCH.search(path.read_text())
        kernel = re.sub(r"_\d+\.resources\.txt$", "", path.name)
        shared[kernel] = int(found[1]) if found else 0
    # The last of a program's files is empty.
    for path in sorted(path for path in folder.glob("*.ptx") if path.stat().st_size):
        said, code = assembled(path)
        # One part for each kernel; before the first stands what concerns the whole file.
        for part in said.split("Compiling entry function")[1:]:
            entry = part.split("'")[1]
            name = entry.removesuffix("_mosaic_gpu_kernel")
            spilled = _SPILLED.search(part)
            registers = _REGISTERS.search(part)
            operations = _INSTRUCTION.findall(code.get(entry, ""))
            yield {
                "kernel": name,
                "registers": registers[1] if registers else "",
                "spilled": spilled[1] if spilled else "",
                "shared": f"{shared.get(name, 0) / 1024:.0f}",
                "instructions": len(operations) or "",
                "products": sum(operation in _PRODUCTS for operation in operations) or "",
            }


def assembled(path: pathlib.Path) -> tuple[str, dict[str, str]]:
    """Returns what the assembler says of a file, and the instructions of its kernels by name."""
    cubin = path.with_suffix(".cubin")
    done = subprocess.run(
        [tool("ptxas"), "-v", f"-arch={_ARCHITECTURE}", path, "-o", cubin],
        capture_output=True,
        text=True,
        check=True,
    )
    listing = subprocess.run(
        [tool("cuobjdump"), "-sass", cubin], capture_output=True, text=True, check=True
    ).stdout
    parts = listing.split("Function : ")[1:]
    return done.stderr, {part.split()[0]: part for part in parts}


def tool(name: str) -> str:
    """Returns a tool of CUDA's, from the packages of this environment or the machine's PATH."""
    for folder in sys.path:
        path = pathlib.Path(folder) / "nvidia" / "cu13" / "bin" / name
        if path.exists():
            return str(path)
    return name


if __name__ == "__main__":
    app.run(main)
