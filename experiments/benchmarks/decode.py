"""The decode suite: tokens per second of one text, ours against transformers.

Batch 1, float32, the same weights from the same folder, greedy, with a cache; every core for both.
Decoding is measured from the end of a prompt on, each turn the same tokens again; reading the
prompt is measured separately. Models: a name that `load_language_model` knows, or `hrm_text_` and
a size, with random weights.
"""

import dataclasses
import os
import pathlib
import sys
import tempfile
from collections.abc import Sequence
from typing import Any

from rich.console import Console

from experiments.benchmarks import alternate
from experiments.common.terminal import Table

REFERENCE = "transformers"
OURS = "hrm_jax"
INSTALL = "pip install -e '.[oracle]'"
_MODULES = {
    REFERENCE: "experiments.benchmarks.torch_decode",
    OURS: "experiments.benchmarks.jax_decode",
}


@dataclasses.dataclass(frozen=True)
class Options:
    """What is measured.

    Attributes:
      models: names.
      prompt_tokens: read before anything is written.
      tokens: written in a turn.
      rounds: turns of each contestant.
      torch_python: the interpreter that has transformers.
    """

    models: Sequence[str]
    prompt_tokens: int = 64
    tokens: int = 64
    rounds: int = 5
    torch_python: str = sys.executable


def run(options: Options, console: Console) -> dict[str, Any]:
    """Measures every model, prints a table of each, and returns all of it as JSON values.

    Raises:
      alternate.ContestantError: a contestant failed.
    """
    names = [OURS]
    if alternate.importable("transformers", options.torch_python):
        names.insert(0, REFERENCE)
    else:
        message = f"left out: {REFERENCE}; to run it: {INSTALL}"
        console.print(message, markup=False)  # the brackets are pip's
    results = []
    for model in options.models:
        with tempfile.TemporaryDirectory() as place, console.status(model) as status:
            results.append(_measure(options, model, names, pathlib.Path(place), status.update))
        console.print(_table(options, results[-1]))
    return {"options": dataclasses.asdict(options), "results": results}


def _measure(options: Options, model: str, names, place: pathlib.Path, report) -> dict[str, Any]:
    folder = str(place / "model")
    # In a process of its own, so that its memory is free again before anything is timed.
    with alternate.Worker() as worker:
        report(f"{model}: writing its folder")
        sizes = worker.call(f"{_MODULES[OURS]}:write_folder", name=model, folder=folder)
    # Any tokens do, as long as they are the same for both.
    prompt = [(7 * i) % sizes["vocab_size"] for i in range(1, options.prompt_tokens + 1)]
    shared = {"folder": folder, "prompt": prompt, "tokens": options.tokens}
    texts = {}
    for name in names:
        report(f"{model}: {name} writes a text to compare")
        with alternate.Worker(_python(options, name), _environment(name)) as worker:
            # Both write the text once before the timing, to compare what they write.
            texts[name] = worker.call(f"{_MODULES[name]}:greedy", **shared)
    phases = {}
    for phase, steps in (("decode", options.tokens), ("prefill", 1)):
        contestants = [
            alternate.Contestant(
                name,
                f"{_MODULES[name]}:build",
                {**shared, "phase": phase},
                _environment(name),
                _python(options, name),
            )
            for name in names
        ]
        phases[phase] = alternate.measure(
            contestants,
            rounds=options.rounds,
            steps_per_round=steps,
            warmup_steps=steps,
            report=lambda message, phase=phase: report(f"{model}, {phase}: {message}"),
        )
    rows = [_row(name, names[0], phases, options.prompt_tokens) for name in names]
    agreed = _agreed(list(texts.values()))
    return {"model": model, **sizes, "threads": threads(), "agreed_tokens": agreed, "rows": rows}


def threads() -> int:
    """Returns the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _environment(name: str) -> dict[str, str]:
    """Returns the environment of a contestant: equal threads; ours with the heap of `codegen`."""
    if name == REFERENCE:
        return {"OMP_NUM_THREADS": str(threads())}
    return dict(alternate.STEADY_HEAP)


def _python(options: Options, name: str) -> str:
    return options.torch_python if name == REFERENCE else sys.executable


def _agreed(texts: list[list[int]]) -> int:
    """Returns how many tokens, from the first on, all contestants wrote alike."""
    alike = [len(set(tokens)) == 1 for tokens in zip(*texts, strict=True)]
    return alike.index(False) if False in alike else len(alike)


def _row(
    name: str, reference: str, phases: dict[str, alternate.Samples], prompt_tokens: int
) -> dict[str, Any]:
    """Returns a contestant's figures."""
    row: dict[str, Any] = {"name": name, "reference": reference}
    for phase, samples in phases.items():
        # A step of the prefill phase reads the whole prompt.
        scale = prompt_tokens if phase == "prefill" else 1
        rates = [scale / sample.seconds_per_step for sample in samples[name]]
        row[phase] = {
            "tokens_per_second": dataclasses.asdict(alternate.Spread.of(rates)),
            "speed_ratio": dataclasses.asdict(
                alternate.speed_ratio(samples[name], samples[reference])
            ),
            "samples": [dataclasses.asdict(sample) for sample in samples[name]],
        }
    return row


def _table(options: Options, result: dict[str, Any]) -> Table:
    """Returns a table: medians, with the least and greatest value of the rounds in brackets."""
    millions = result["parameters"] / 1e6
    table = Table(
        title=f"{result['model']}, {millions:.0f} M parameters, float32, batch 1, "
        f"{result['threads']} threads; {result['agreed_tokens']} of {options.tokens} tokens alike"
    )
    table.add_column("contestant", no_wrap=True)
    reference = result["rows"][0]["reference"]
    for phase in ("decode", "prefill"):
        table.add_column(f"{phase}, tokens/s", justify="right")
        table.add_column(f"over {reference}", justify="right")
    for row in result["rows"]:
        cells = []
        for phase in ("decode", "prefill"):
            form = "{median:.1f} ({low:.1f}-{high:.1f})"
            cells.append(form.format(**row[phase]["tokens_per_second"]))
            form = "{median:.2f} ({low:.2f}-{high:.2f})"
            cells.append(form.format(**row[phase]["speed_ratio"]))
        table.add_row(row["name"], *cells)
    return table
