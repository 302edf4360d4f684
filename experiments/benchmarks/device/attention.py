"""Part "attention": ours against XLA, cuDNN and PyTorch's, at the calls that the models make."""

import concurrent.futures
import dataclasses
import functools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import hrm_kernels
from experiments.benchmarks import aot_cases
from experiments.benchmarks.aot_cases import AotCase, DecodeCase
from experiments.benchmarks.device.card import Program, take_turns
from experiments.benchmarks.device.part import Job, Part, Result, Setting, measure, table_of, told
from hrm_kernels.mask import key_ranges

PASSES = {"forward": 2, "gradient": 6}
"""Matrix products of a pass; "gradient" is forward and backward."""
BATCH = 768
"""Batch size of HRM and TRM, as published. A call then takes longer than its dispatch."""
MOST_SCORES_BYTES = 30e9
"""Limit for float32 scores: contestants that hold all scores are left out above it."""
ROUNDS = 3
OURS = "ours"


def run(setting: Setting) -> Result:
    """Times every call; a contestant that refuses a call leaves a note in its row."""
    chosen = [dataclasses.replace(c, B=BATCH if c.rope else c.B) for c in aot_cases.CASES.values()]
    decoders = list(aot_cases.DECODERS.values())
    if setting.small:
        chosen = [AotCase("tiny", mask="packed", B=2, T=16, N=2, M=2, K=16, dtype="float32")]
        decoders = [DecodeCase("decode_tiny", B=2, S=32, N=2, M=1, K=16, dtype="float32")]
    jobs: list[Job] = [
        (f"{case.name} {part}", functools.partial(_measure, setting, case, part))
        for case in chosen
        for part in PASSES
    ]
    jobs += [(case.name, functools.partial(_measure_decoding, setting, case)) for case in decoders]
    result = measure(setting, jobs)
    for row in result.rows:
        if OURS not in row["seconds"]:
            result.wrong.append(f"{row['name']}: ours did not run: {row['notes'].get(OURS)}")
    return result


def _measure(setting: Setting, case: AotCase, part: str) -> dict[str, Any]:
    """Returns the figures of one pass of one call by all contestants."""
    arrays = arrays_of(case)
    builders = {
        OURS: functools.partial(
            jax_program, case, aot_cases.ours(case, "xla" if setting.small else "gpu")
        ),
        "xla": functools.partial(jax_program, case, aot_cases.xla(case)),
        "ours, highest": functools.partial(_highest, case, aot_cases.ours(case, "gpu")),
        "xla, highest": functools.partial(_highest, case, aot_cases.xla(case)),
        "cudnn": functools.partial(jax_program, case, aot_cases.xla(case, "cudnn")),
        "torch": functools.partial(_torch, case),
    }
    # Products of 16-bit operands are exact in any case, so the setting changes nothing there.
    if case.dtype != "float32" or setting.small:
        del builders["ours, highest"], builders["xla, highest"]
    scores = 4.0 * case.B * case.N * case.T**2
    # XLA holds all scores in any case; cuDNN and PyTorch only where the mask is an array.
    if scores > MOST_SCORES_BYTES:
        del builders["xla"]
        if case.mask == "packed":
            del builders["cudnn"], builders["torch"]
    if setting.small:
        del builders["cudnn"], builders["torch"]
    seconds, notes = timed({n: functools.partial(b, arrays, part) for n, b in builders.items()})
    # Pairs that the mask allows, whoever computes more.
    flop = PASSES[part] * 2.0 * case.N * case.K * _pairs(case, arrays)
    moved = case.floor_bytes(part == "gradient")
    row = {"case": case.name, "pass": part, "dtype": case.dtype, "B": case.B}
    return row | {"seconds": seconds, "notes": notes} | _rates(setting, case, seconds, flop, moved)


def _rates(setting, case, seconds, flop: float, moved: float) -> dict[str, Any]:
    if OURS not in seconds:
        return {}
    others = {name: value for name, value in seconds.items() if name != OURS}
    return {
        "microseconds": 1e6 * seconds[OURS],
        "teraflops": flop / seconds[OURS] / 1e12,
        "of_peak": flop / seconds[OURS] / setting.card.peak_flops(case.dtype),
        "gigabytes": moved / seconds[OURS] / 1e9,
        "of_copy": moved / seconds[OURS] / setting.card.copy_bytes,
        "speedups": {name: value / seconds[OURS] for name, value in others.items()},
    }


def timed(
    builders: dict[str, Callable[[], Program]],
) -> tuple[dict[str, float], dict[str, str]]:
    """Builds the programs side by side and times those that work; notes say why others do not.

    Returns:
      Median seconds of a call by name, and a note for each program that could not be built or run.
    """
    programs: dict[str, Program] = {}
    notes: dict[str, str] = {}
    # XLA compiles outside of Python's lock, so threads compile in parallel.
    with concurrent.futures.ThreadPoolExecutor() as pool:
        futures = {name: pool.submit(build) for name, build in builders.items()}
        for name, future in futures.items():
            try:
                programs[name] = future.result()
                programs[name].wait(programs[name].dispatch())
            except Exception as error:  # what a library does not serve is a result here
                notes[name] = told(error)
                programs.pop(name, None)
    return take_turns(programs, ROUNDS) if programs else {}, notes


def arrays_of(case: AotCase) -> list[jax.Array]:
    """Returns random operands, the cotangent first, and the mask's arrays."""
    keys = jax.random.split(jax.random.key(0), 4)
    query, key, value, *masks = case.operands()
    shapes = (query, query, key, value)
    arrays = [jax.random.normal(k, x.shape, x.dtype) for k, x in zip(keys, shapes, strict=True)]
    if masks:
        # Packed texts of 100 to 1,000 tokens, a quarter of each its prefix.
        rng = np.random.default_rng(0)
        ids = np.zeros((case.B, case.T), np.int32)
        prefix = np.zeros((case.B, case.T), bool)
        for row in range(case.B):
            start = 0
            while start < case.T:
                length = int(rng.integers(100, 1000))
                ids[row, start : start + length] = start + 1
                prefix[row, start : start + length // 4] = True
                start += length
        arrays += [jnp.asarray(prefix), jnp.asarray(ids)]
    return arrays


def _pairs(case: AotCase, arrays: list[jax.Array]) -> float:
    """Returns the pairs of a query and a key that the mask allows, over the batch."""
    prefix, ids = arrays[4:] or (None, None)
    mask = hrm_kernels.Mask(causal=case.mask == "causal", prefix=prefix, segment_ids=ids)
    ranges = key_ranges(mask, case.B, case.T, case.T)
    if ranges is None:
        return float(case.B) * case.T**2
    sizes = np.asarray(jnp.maximum(ranges.end - ranges.first, 0), np.float64)
    return float(sizes.sum())


def jax_program(
    case: AotCase, attend: Callable[..., Any], arrays: list[jax.Array], part: str
) -> Program:
    """Returns a contestant in JAX, compiled."""
    if part == "gradient":
        function = aot_cases.gradient(attend)
    else:
        function = attend
        arrays = arrays[1:]
    compiled = jax.jit(function).lower(*arrays).compile()
    return Program(lambda: compiled(*arrays))


def _highest(
    case: AotCase, attend: Callable[..., Any], arrays: list[jax.Array], part: str
) -> Program:
    """Returns the same with float32 products as exact as the device allows."""
    # The precision is read when the function is traced, which `_jax` does.
    with jax.default_matmul_precision("highest"):
        return jax_program(case, attend, arrays, part)


def _torch(case: AotCase, arrays: list[jax.Array], part: str) -> Program:
    """Returns `scaled_dot_product_attention`, which chooses among its own kernels and cuDNN's."""
    import torch

    dtype = getattr(torch, case.dtype)
    on_device = [torch.tensor(np.asarray(x, np.float32)).to("cuda", dtype) for x in arrays[:4]]
    cotangent, query, key, value = (
        x.unflatten(-1, (-1, case.K)).transpose(1, 2) for x in on_device
    )
    settings: dict[str, Any] = {"is_causal": case.mask == "causal", "enable_gqa": case.N != case.M}
    if len(arrays) > 4:
        settings["attn_mask"] = torch.from_numpy(_dense(case, arrays)).to("cuda")
    tables = None
    if case.rope:
        angles = torch.rand(case.T, case.K, device="cuda")
        tables = angles.cos(), angles.sin()
    leaves = [x.detach().requires_grad_(part == "gradient") for x in (query, key, value)]

    def attend(query, key, value):
        if tables is not None:
            query = _rotated(query, *tables)
            key = _rotated(key, *tables)
        return torch.nn.functional.scaled_dot_product_attention(query, key, value, **settings)

    # Rotation in eager PyTorch is six kernels: fused, as its users would.
    compiled = torch.compile(attend) if case.rope else attend

    def forward():
        with torch.no_grad():
            return compiled(*leaves)

    def gradient():
        return torch.autograd.grad(compiled(*leaves), leaves, cotangent)

    return Program(forward if part == "forward" else gradient, lambda _: torch.cuda.synchronize())


def _rotated(x: Any, cos: Any, sin: Any) -> Any:
    """Returns `x` [B, N, T, K] rotated in float32, in rotate-half form."""
    import torch

    wide = x.float()
    first, second = wide.chunk(2, dim=-1)
    return (wide * cos + torch.cat((-second, first), dim=-1) * sin).to(x.dtype)


def _dense(case: AotCase, arrays: list[jax.Array]) -> np.ndarray:
    """Returns the mask of packed texts as [B, 1, T, T] booleans."""
    prefix, ids = arrays[4:]
    mask = hrm_kernels.Mask(prefix=prefix, segment_ids=ids)
    ranges = key_ranges(mask, case.B, case.T, case.T)
    assert ranges is not None
    key = np.arange(case.T)[None, None]
    first = np.asarray(ranges.first)[:, :, None]
    end = np.asarray(ranges.end)[:, :, None]
    return ((first <= key) & (key < end))[:, None]


def _measure_decoding(setting: Setting, case: DecodeCase) -> dict[str, Any]:
    """Returns the figures of a step of decoding with a full cache.

    The loop is inside the program, as in writing: a step may take less time than its dispatch.
    """
    backend = "xla" if setting.small else "gpu"
    ours = functools.partial(hrm_kernels.decode_attention, backend=backend)
    steps = 4 if setting.small else 64
    contestants = {OURS: ours, "xla": aot_cases.xla_decode}
    builders = {
        name: functools.partial(decoder, case, steps, decode)
        for name, decode in contestants.items()
    }
    seconds, notes = timed(builders)
    seconds = {name: value / steps for name, value in seconds.items()}
    flop = 4.0 * case.B * case.N * case.K * case.S
    row = {"case": case.name, "pass": "step", "dtype": case.dtype, "B": case.B}
    rates = _rates(setting, case, seconds, flop, case.floor_bytes)
    return row | {"seconds": seconds, "notes": notes} | rates


def decoder(case: DecodeCase, steps: int, decode: Callable[..., Any]) -> Program:
    """Returns so many steps of decoding with a full cache as one program."""
    keys = jax.random.split(jax.random.key(0), 5)
    query = jax.random.normal(keys[0], (case.B, 1, case.N, case.K), case.dtype)
    key, value = jax.random.normal(keys[1], (2, case.B, 1, case.M, case.K), case.dtype)
    room = jax.random.normal(keys[2], (2, case.B, case.S, case.M * case.K), case.dtype)
    lengths = jnp.full(case.B, case.S - 1, jnp.int32)

    def many(query, key, value, cache):
        def step(_, state):
            query, cache = state
            out, after = decode(query, key, value, cache)
            # The same token is written again: the cache stays full, and as long.
            return out, hrm_kernels.KVCache(after.key, after.value, lengths)

        # Each step's output is the next step's query, so that no step can be skipped or run early.
        return jax.lax.fori_loop(0, steps, step, (query, cache))

    cache = hrm_kernels.KVCache(room[0], room[1], lengths)
    compiled = jax.jit(many, donate_argnums=3).lower(query, key, value, cache).compile()

    def dispatch():
        nonlocal cache
        out, cache = compiled(query, key, value, cache)
        return out

    return Program(dispatch)


def _table(rows: list[dict[str, Any]]):
    columns = {
        "call": "{case}",
        "pass": "{pass}",
        "us": "{microseconds:.1f}",
        "TFLOP/s": "{teraflops:.0f}",
        "of peak": "{of_peak:.0%}",
        "GB/s": "{gigabytes:.0f}",
        "of copy": "{of_copy:.0%}",
        "XLA": "{speedups[xla]:.2f}",
        "cuDNN": "{speedups[cudnn]:.2f}",
        "PyTorch": "{speedups[torch]:.2f}",
    }
    return table_of("attention: ours, and others' time over ours", columns, rows)


PART = Part("attention against XLA, cuDNN and PyTorch", 1.9, run, _table)
