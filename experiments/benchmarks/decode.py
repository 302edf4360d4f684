"""The decode suite: tokens per second of one text, ours against transformers.

Batch 1, float32, the same weights from the same folder, greedy, with a cache; every core for both.
Decoding is measured from the end of a prompt on, each turn the same tokens again; reading the
prompt is measured separately. Models: a name that `load_language_model` knows, or `hrm_text_` and
a size, with random weights.
"""

import dataclasses
import pathlib
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rich.console import Console

from experiments.benchmarks import alternate
from experiments.common.terminal import Table
from hrm_jax.core.machine import cores

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
        # The first is what the other is compared with.
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
    shared = {"path": folder, "prompt": prompt, "tokens": options.tokens}
    texts = {}
    for name in names:
        report(f"{model}: {name} writes a text to compare")
        with alternate.Worker(_python(options, name), _environment(name)) as worker:
            # Both write the text once before the timing, to compare what they write.
            texts[name] = worker.call(f"{_MODULES[name]}:greedy", **shared)
    phases = {}
    # Steps of a turn, and tokens of a step.
    for phase, steps, tokens in (("decode", options.tokens, 1), ("prefill", 1, len(prompt))):
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
        phases[phase] = measure_phase(
            contestants,
            rounds=options.rounds,
            steps=steps,
            tokens=tokens,
            report=lambda message, phase=phase: report(f"{model}, {phase}: {message}"),
        )
    agreed = _agreed(list(texts.values()))
    return {
        "model": model,
        **sizes,
        "threads": cores(),
        "agreed_tokens": agreed,
        "phases": phases,
    }


def measure_phase(
    contestants: Sequence[alternate.Contestant],
    *,
    rounds: int,
    steps: int,
    tokens: int,
    report: Callable[[str], None],
) -> dict[str, dict[str, Any]]:
    """Times contestants in turns; returns their `alternate.rates`.

    Args:
      contestants: the first is the one that the others are compared with.
      rounds: turns of each.
      steps: of a turn, and of one before that warms it up.
      tokens: that a step reads or writes.
      report: told what happens.

    Raises:
      alternate.ContestantError: a contestant failed.
    """
    samples = alternate.measure(
        contestants, rounds=rounds, steps_per_round=steps, warmup_steps=steps, report=report
    )
    return alternate.rates(
        {name: [tokens / one.seconds_per_step for one in own] for name, own in samples.items()}
    )


def phases_table(title: str, phases: Mapping[str, Mapping[str, Any]]) -> Table:
    """Returns a table with a row for each contestant of each phase.

    Args:
      title: of the table.
      phases: `measure_phase` of each, by name.
    """
    first = next(iter(next(iter(phases.values()))))
    table = Table(title=title)
    for column in ("work", "by"):
        table.add_column(column)
    for column in ("tokens/s", f"over {first}"):
        table.add_column(column, justify="right")
    for phase, figures in phases.items():
        for name, one in figures.items():
            table.add_row(phase if name == first else "", name, *alternate.cells(one))
        table.add_section()
    return table


def _environment(name: str) -> dict[str, str]:
    """Returns the environment of a contestant: equal threads; ours with the heap of `codegen`."""
    if name == REFERENCE:
        # PyTorch is told how many threads to use; XLA takes as many as there are cores by itself.
        return {"OMP_NUM_THREADS": str(cores())}
    return dict(alternate.STEADY_HEAP)


def _python(options: Options, name: str) -> str:
    return options.torch_python if name == REFERENCE else sys.executable


def _agreed(texts: list[list[int]]) -> int:
    """Returns how many tokens, from the first on, all contestants wrote alike."""
    # Up to the first difference: what comes behind it goes on from different texts.
    alike = [len(set(tokens)) == 1 for tokens in zip(*texts, strict=True)]
    return alike.index(False) if False in alike else len(alike)


def _table(options: Options, result: dict[str, Any]) -> Table:
    millions = result["parameters"] / 1e6
    title = (
        f"{result['model']}, {millions:.0f} M parameters, float32, batch 1, "
        f"{result['threads']} threads; {result['agreed_tokens']} of {options.tokens} tokens alike"
    )
    return phases_table(title, result["phases"])
