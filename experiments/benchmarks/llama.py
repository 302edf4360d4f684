"""The llama suite: a GGUF file written with by llama.cpp and by us, in tokens per second.

All contestants take turns on all cores: llama.cpp with the file, ours with its weights as they are
stored, and ours and transformers widened to float32. A prompt is read, and tokens are written after
it, of one text and of several together. What bounds them is told too: the bytes of the weights that
a token needs, and how fast memory is read, both measured in the same run.
"""

import concurrent.futures
import dataclasses
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from rich.console import Console

from experiments.benchmarks import alternate, decode
from experiments.common.terminal import Table
from hrm_jax.convert.language import load_language_model, locate
from hrm_jax.core.machine import cores

LLAMA = "llama.cpp"
TRANSFORMERS = "transformers float32"
_INSTALL = {
    LLAMA: "pip install llama-cpp-python; name it by --llama_python",
    TRANSFORMERS: "pip install torch transformers gguf; name it by --torch_python",
}
_HOLDINGS = ("stored", "float32")
_MEMORY_BYTES = 1 << 29


@dataclasses.dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
      models: names or GGUF files.
      rows: numbers of texts written together.
      prompt_tokens: read before anything is written.
      tokens: written in a turn, of each text.
      rounds: turns of each contestant.
      llama_python: the interpreter that has llama-cpp-python, built for this machine.
      torch_python: the interpreter that has transformers.
    """

    models: Sequence[str]
    rows: Sequence[int] = (1, 8)
    prompt_tokens: int = 512
    tokens: int = 128
    rounds: int = 3
    llama_python: str = sys.executable
    torch_python: str = sys.executable


def run(options: Options, console: Console) -> dict[str, Any]:
    """Measures every model, prints a table of each, and returns all of it as JSON values.

    Raises:
      alternate.ContestantError: a contestant failed.
    """
    names = [f"hrm_jax {holding}" for holding in _HOLDINGS]
    others = {
        LLAMA: alternate.importable("llama_cpp", options.llama_python),
        TRANSFORMERS: alternate.importable("transformers", options.torch_python),
    }
    for name, is_there in others.items():
        if not is_there:
            console.print(f"left out: {name}; to run it: {_INSTALL[name]}", markup=False)
    # The first is what the others are compared with.
    names = [LLAMA] * others[LLAMA] + names + [TRANSFORMERS] * others[TRANSFORMERS]
    results = []
    for model in options.models:
        with console.status(model) as status:
            results.append(_measure(options, model, names, status.update))
        console.print(_table(options, results[-1]))
    return {"options": dataclasses.asdict(options), "results": results}


def _measure(options: Options, model: str, names: list[str], report) -> dict[str, Any]:
    path = str(locate(model))
    # Any tokens do, as long as they are the same for all.
    prompt = [(7 * i) % 40000 for i in range(1, options.prompt_tokens + 1)]
    shared = {"path": path, "prompt": prompt, "tokens": options.tokens}
    phases: dict[str, Any] = {}
    # Reading is timed of one text alone; a step of it is the whole prompt.
    works = [("prefill", 1, 1)] + [("decode", rows, options.tokens) for rows in options.rows]
    for phase, rows, steps in works:
        contestants = [_contestant(options, name, phase, rows, shared) for name in names]
        title = f"{phase} {rows}"
        phases[title] = decode.measure_phase(
            contestants,
            rounds=options.rounds,
            steps=steps,
            # A step of decoding writes a token in every row.
            tokens=options.prompt_tokens if phase == "prefill" else rows,
            report=lambda message, title=title: report(f"{model}, {title}: {message}"),
        )
    return {
        "model": model,
        "threads": cores(),
        "phases": phases,
        "token_bytes": token_bytes(path),
        "memory_bytes_per_second": memory_speed(),
    }


def _contestant(
    options: Options, name: str, phase: str, rows: int, shared: dict[str, Any]
) -> alternate.Contestant:
    arguments = {**shared, "rows": rows, "phase": phase}
    if name == LLAMA:
        function = "experiments.benchmarks.llama_decode:build"
        return alternate.Contestant(name, function, arguments, {}, options.llama_python)
    if name == TRANSFORMERS:
        function = "experiments.benchmarks.torch_decode:build"
        environment = {"OMP_NUM_THREADS": str(cores()), "TQDM_DISABLE": "1"}
        return alternate.Contestant(name, function, arguments, environment, options.torch_python)
    arguments["dtype"] = name.split()[1]
    function = "experiments.benchmarks.jax_decode:build_stored"
    return alternate.Contestant(name, function, arguments, dict(alternate.STEADY_HEAP))


def token_bytes(path: str) -> int:
    """Returns the bytes of weights that a token is multiplied with, as they are stored."""
    import jax

    loaded = load_language_model(path, dtype="stored")
    params: Any = loaded.variables.params
    sizes = [leaf.nbytes for leaf in jax.tree.leaves(params)]
    # An embedding of its own is looked up, and not multiplied with.
    table = jax.tree.leaves(params["embed_tokens"]) if "lm_head" in params else []
    return sum(sizes) - sum(leaf.nbytes for leaf in table)


def memory_speed(repeats: int = 5) -> float:
    """Returns how many bytes a second all cores read, by the squares of a large array."""
    count = cores()
    parts = [np.ones(_MEMORY_BYTES // 4 // count, np.float32) for _ in range(count)]
    best = float("inf")
    with concurrent.futures.ThreadPoolExecutor(count) as pool:
        for _ in range(repeats):
            begin = time.perf_counter()
            list(pool.map(lambda part: part.dot(part), parts))
            # The best, as a bound is what can be reached; a copy would count writing as well.
            best = min(best, time.perf_counter() - begin)
    return _MEMORY_BYTES / best


def _table(options: Options, result: dict[str, Any]) -> Table:
    bound = result["memory_bytes_per_second"] / result["token_bytes"]
    title = (
        f"{result['model']}, {result['threads']} threads, prompt of {options.prompt_tokens}; "
        f"memory bounds one text at {bound:.0f} tokens/s"
    )
    return decode.phases_table(title, result["phases"])
