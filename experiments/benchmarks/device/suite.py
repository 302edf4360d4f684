"""The device suite: one GPU's correctness, speed and memory, within a given number of minutes.

    python -m experiments.bench --suite=device --out=device           # every part
    python -m experiments.bench --suite=device --minutes=3 --out=device
    python -m experiments.bench --suite=device --parts=right,attention --out=device

It runs from a clone, without an installation: `PYTHONPATH=.:kernels`. Each part leaves a JSON file
in the folder `out` when it is done; a run that is started again there, with the same code on the
same card, goes on with what is missing. Without a GPU it runs on sizes that a CPU takes, kernels in
their interpreter, which shows that the suite works and nothing else.
"""

import dataclasses
import hashlib
import json
import os
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

import jax
from rich.console import Console

from experiments.benchmarks.device import (
    attention,
    compiling,
    mosaic,
    quantized,
    right,
    text,
    tiles,
    training,
)
from experiments.benchmarks.device.card import measure_card
from experiments.benchmarks.device.part import Part, Result, Setting, told

PARTS = ("right", "attention", "quantized", "train_step", "relational", "text", "compiling")
MORE_PARTS = ("mosaic", "tiles")
"""Parts that run only where they are asked for."""
ROOT = pathlib.Path(__file__).resolve().parents[3]


@dataclasses.dataclass(frozen=True)
class Options:
    """What to run.

    Attributes:
      parts: names of PARTS and MORE_PARTS.
      minutes: for all of them together.
      folder: where each part's JSON goes.
      processes: how many processes check cases side by side.
      torch_python: the interpreter that has PyTorch.
    """

    parts: tuple[str, ...]
    minutes: float
    folder: pathlib.Path
    processes: int = max(1, min(14, (os.cpu_count() or 1) - 2))
    torch_python: str = sys.executable


def run(options: Options, console: Console) -> dict[str, Any]:
    """Runs the parts in order, prints a table of each, and returns what was wrong by part.

    Raises:
      ValueError: there is no such part.
    """
    known = (*PARTS, *MORE_PARTS)
    unknown = set(options.parts) - set(known)
    if unknown:
        raise ValueError(f"parts: expected some of {', '.join(known)}, got {sorted(unknown)}")
    start = time.monotonic()
    small = jax.default_backend() == "cpu"
    options.folder.mkdir(parents=True, exist_ok=True)
    # torch.compile takes a minute on the host, so it starts before the parts that come first.
    building: training.Building = {}
    if "train_step" in options.parts and _finished(options.folder, "train_step") is None:
        building = training.start_building(options.torch_python, small)
    parts = _parts(building)
    card = measure_card(small)
    console.print(
        f"{card.name}: bfloat16 {card.bfloat16_flops / 1e12:.0f} TFLOP/s, float32 "
        f"{card.float32_flops / 1e12:.0f}, copy {card.copy_bytes / 1e9:.0f} GB/s, dispatch "
        f"{1e6 * card.dispatch_seconds:.0f} us; jax {jax.__version__}"
    )
    finished = {name: _finished(options.folder, name) for name in options.parts}
    unfinished = [name for name, record in finished.items() if record is None]
    wrong = {}
    # In this order, not that of the flag: correctness first.
    for name in known:
        if name not in options.parts:
            continue
        done = finished[name]
        if done is None:
            if name == "attention":
                _wait(building)  # nothing is timed while PyTorch compiles
            # Each part gets its share of the minutes, whatever time those before it took. Where the
            # suite goes on, they are for what is missing.
            allowed = 60 * options.minutes * _share(name, unfinished, parts)
            setting = Setting(
                card, small, time.monotonic() + allowed, options.processes, options.torch_python
            )
            done = _record(options.folder, name, setting, _guarded(parts[name], setting))
        if done["rows"]:
            console.print(parts[name].table(done["rows"]))
        for kind in ("left_out", "wrong"):
            if done[kind]:
                lines = "\n".join(f"  {line}" for line in done[kind])
                console.print(f"{name}, {kind.replace('_', ' ')}:\n{lines}", markup=False)
        wrong[name] = done["wrong"]
    console.print(f"{time.monotonic() - start:.0f} s in all; JSON in {options.folder}")
    return {"suite": "device", "card": dataclasses.asdict(card), "wrong": wrong}


def _parts(building: training.Building) -> dict[str, Part]:
    return {
        "right": right.PART,
        "attention": attention.PART,
        "quantized": quantized.PART,
        "train_step": training.train_step_part(building),
        "relational": training.RELATIONAL,
        "text": text.PART,
        "compiling": compiling.PART,
        "mosaic": mosaic.PART,
        "tiles": tiles.PART,
    }


def _guarded(part: Part, setting: Setting) -> Result:
    """Returns a part's results; an exception counts as wrong, and the parts after it still run."""
    try:
        return part.run(setting)
    except Exception as error:
        return Result([], wrong=[told(error)])


def _share(name: str, chosen: Sequence[str], parts: dict[str, Part]) -> float:
    return parts[name].share / sum(parts[other].share for other in chosen)


def _wait(building: training.Building) -> None:
    for future in building.values():
        future.exception()


def _record(folder: pathlib.Path, name: str, setting: Setting, result: Result) -> dict[str, Any]:
    """Writes what a part found, with all that the figures depend on."""
    record = {
        "part": name,
        "code": _code_digest(),
        "jax": jax.__version__,
        "card": dataclasses.asdict(setting.card),
        "small": setting.small,
        **dataclasses.asdict(result),
    }
    # Renamed when complete, so that a file that exists is whole.
    temporary = folder / f"{name}.json.tmp"
    temporary.write_text(json.dumps(record, indent=1) + "\n")
    temporary.replace(folder / f"{name}.json")
    return record


def _finished(folder: pathlib.Path, name: str) -> dict[str, Any] | None:
    """Returns the record of a part if this code has finished it on this kind of card, else None."""
    path = folder / f"{name}.json"
    try:
        record = json.loads(path.read_text())
        same = record["code"] == _code_digest() and record["jax"] == jax.__version__
        same = same and record["card"]["name"] == jax.devices()[0].device_kind
        return record if same and not record["left_out"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _code_digest() -> str:
    """Returns a digest of our modules, which tells whether figures are of this code."""
    digest = hashlib.sha256()
    for folder in ("kernels", "hrm_jax", "experiments"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
