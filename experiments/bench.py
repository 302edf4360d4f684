"""Benchmarks: `python -m experiments.bench --suite=train_step --out=results.json`.

A comparison follows the protocol of `experiments.benchmarks.alternate`. PyTorch contestants need
`pip install -e '.[oracle]'`, or `--torch_python` with another environment's interpreter; without
them ours is measured alone. `--preset=hrm_tiny --batch_sizes=4` finishes in about a minute.
`--suite=solve --checkpoint=RUN` measures ways to run a trained model, `--suite=decode` how fast a
language model writes, against transformers, `--suite=llama` the same of a GGUF file, against
llama.cpp too; `--suite=speculation` what proposing repeated tokens gains, `--suite=syntax` what it
costs to write Python alone, `--suite=first_token` how long an editor waits after a change,
`--suite=context` what parts of other files are worth there; `--suite=serve_load` puts a server
under many clients, `--suite=serve_speed` measures it beside llama.cpp's; `--suite=studio_load` puts
the studio under many runs and pages, `--suite=first_curve` measures how soon it shows a curve,
`--suite=telemetry` what its figures cost a run; `--suite=device` is the whole picture of one GPU.
Results are medians over rounds; the JSON holds every turn.
"""

import json
import os
import pathlib
import sys
from collections.abc import Callable
from typing import Any

from absl import app, flags
from rich.console import Console

from experiments.common import command, process
from experiments.common.terminal import make_console
from hrm_jax.core.files import write_atomically

if __name__ == "__main__":
    process.keep_heap()  # as the experiments do; the contestants' workers decide for themselves

from experiments.benchmarks import train_step, workload

Suite = Callable[[Console], Any]
"""A suite measures what the flags ask for, prints tables, and returns figures as JSON values."""


# A suite imports what it needs when it runs: a machine lent to measure kernels has neither the data
# libraries nor the compilers for other machines.


def _train_step(console: Console) -> dict[str, Any]:
    """Measures a training step, ours against PyTorch."""
    options = train_step.Options(
        contestants=_CONTESTANTS.value,
        batch_sizes=_counts(_BATCH_SIZES),
        shape=_PRESET.value,
        rounds=_ROUNDS.value,
        steps_per_round=_STEPS.value,
        warmup_steps=_WARMUP.value,
        torch_python=_TORCH_PYTHON.value,
    )
    return train_step.run(options, console)


def _step_profile(console: Console) -> list[dict[str, Any]]:
    """Measures where the time of a training step goes."""
    from experiments.benchmarks import step_profile

    return [step_profile.run(_PRESET.value, size, console) for size in _counts(_BATCH_SIZES)]


def _recurrence(console: Console) -> list[dict[str, Any]]:
    """Measures compilation and memory by the number of cycles."""
    from experiments.benchmarks import recurrence

    return [recurrence.run(_PRESET.value, size, console) for size in _counts(_BATCH_SIZES)]


def _aot(console: Console) -> list[dict[str, Any]]:
    """Compiles kernels for other machines and reads their costs."""
    from experiments.benchmarks import aot

    return aot.run(_TARGETS.value, console)


def _attention(console: Console) -> dict[str, Any]:
    """Measures attention on this machine's CPU."""
    from experiments.benchmarks import attention

    picture = pathlib.Path(_PICTURE.value) if _PICTURE.value else None
    return attention.run(_ROUNDS.value, console, picture)


def _device(console: Console) -> dict[str, Any]:
    """Measures everything on one GPU."""
    # Several processes share the card; each takes memory as it needs it.
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    from experiments.benchmarks.device import suite

    options = suite.Options(
        parts=tuple(_PARTS.value) or suite.PARTS,
        minutes=_MINUTES.value,
        folder=pathlib.Path(_OUT.value or "device"),
        torch_python=_TORCH_PYTHON.value,
    )
    return suite.run(options, console)


def _counts(flag: flags.FlagHolder[list[str]]) -> list[int]:
    """Returns the numbers that a flag lists; raises UsageError where one is none."""
    if not all(one.isdecimal() for one in flag.value):
        told = f"--{flag.name}: expected numbers, such as 1,8, got {','.join(flag.value)}"
        raise app.UsageError(told, exitcode=2)
    return [int(one) for one in flag.value]


def _solve(console: Console) -> list[dict[str, Any]]:
    """Measures ways to run a trained model on puzzles, and a solver without one."""
    from experiments.benchmarks import solve
    from experiments.sudoku import exported

    named = _CHECKPOINT.value
    shared = {
        # Without a name the weights that are shipped: they are there on a machine without a
        # network.
        "checkpoint": exported.chosen(named),
        "data": _DATA.value,
        "puzzles": _PUZZLES.value,
        "max_steps": _MAX_STEPS.value,
        "attempts": _ATTEMPTS.value,
        "noise": _NOISE.value,
        "rounds": _ROUNDS.value,
    }
    sizes = _counts(_BATCH_SIZES)
    return [solve.run(solve.Options(batch_size=size, **shared), console) for size in sizes]


def _decode(console: Console) -> dict[str, Any]:
    """Measures how fast a text is written, ours against transformers."""
    from experiments.benchmarks import decode

    options = decode.Options(
        models=_MODELS.value,
        prompt_tokens=_PROMPT_TOKENS.value,
        tokens=_TOKENS.value,
        rounds=_ROUNDS.value,
        torch_python=_TORCH_PYTHON.value,
    )
    return decode.run(options, console)


def _llama(console: Console) -> dict[str, Any]:
    """Measures how fast a GGUF file writes, ours against llama.cpp and transformers."""
    from experiments.benchmarks import llama

    options = llama.Options(
        models=_MODELS.value,
        rows=_counts(_ROWS),
        prompt_tokens=_PROMPT_TOKENS.value,
        tokens=_TOKENS.value,
        rounds=_ROUNDS.value,
        llama_python=_LLAMA_PYTHON.value,
        torch_python=_TORCH_PYTHON.value,
    )
    return llama.run(options, console)


def _exactness(console: Console) -> dict[str, Any]:
    """Measures what quantised products change in what a model says."""
    from experiments.benchmarks import exactness

    options = exactness.Options(models=_MODELS.value, holdings=_HOLDINGS.value)
    return exactness.run(options, console)


def _speculation(console: Console) -> dict[str, Any]:
    """Measures what proposing repeated tokens gains and costs."""
    from experiments.benchmarks import speculation

    options = speculation.Options(
        models=_MODELS.value,
        proposed=_counts(_PROPOSED),
        tokens=_TOKENS.value,
        rounds=_ROUNDS.value,
    )
    return speculation.run(options, console)


def _first_token(console: Console) -> dict[str, Any]:
    """Measures how long an editor waits for the first token."""
    from experiments.benchmarks import first_token

    options = first_token.Options(
        models=_MODELS.value, tokens=_PROMPT_TOKENS.value, rounds=_ROUNDS.value
    )
    return first_token.run(options, console)


def _context(console: Console) -> dict[str, Any]:
    """Measures what parts of other files are worth when a line is completed."""
    from experiments.benchmarks import context_gain

    options = [
        context_gain.Options(model, _VARIANTS.value, _REGIONS.value, pathlib.Path(_RECORDS.value))
        for model in _MODELS.value
    ]
    return {"runs": [context_gain.run(one, console) for one in options]}


def _syntax(console: Console) -> dict[str, Any]:
    """Measures what it costs to write nothing but Python."""
    from experiments.benchmarks import syntax

    options = syntax.Options(
        models=_MODELS.value,
        rows=_counts(_ROWS),
        tokens=_TOKENS.value,
        rounds=_ROUNDS.value,
    )
    return syntax.run(options, console)


def _serve_load(console: Console) -> dict[str, Any]:
    """Measures a server under many clients; ends with status 1 where a text was wrong."""
    from experiments.benchmarks import serve_load

    # A server of its own for each model and number of clients: memory is told from its start on.
    found = [
        serve_load.run(serve_load.Options(model, minutes=_MINUTES.value, clients=clients), console)
        for model in _MODELS.value
        for clients in _counts(_CLIENTS)
    ]
    return {"runs": found, "right": all(map(serve_load.is_right, found))}


def _serve_speed(console: Console) -> dict[str, Any]:
    """Measures a server's throughput, ours against llama.cpp's."""
    from experiments.benchmarks import serve_speed

    # The rows are the server's, so each number of them needs another; the clients are ours.
    options = [
        serve_speed.Options(
            model,
            clients=_counts(_CLIENTS),
            rows=rows,
            rounds=_ROUNDS.value,
            llama_server=_LLAMA_SERVER.value,
        )
        for model in _MODELS.value
        for rows in _counts(_ROWS)
    ]
    return {"runs": [serve_speed.run(one, console) for one in options]}


def _studio_load(console: Console) -> dict[str, Any]:
    """Measures the studio with live runs, open pages, and a log of a million records."""
    from experiments.benchmarks import studio_load

    return studio_load.run(studio_load.Options(), console)


def _first_curve(console: Console) -> dict[str, Any]:
    """Measures the time from a command to the first curve, beside other tools."""
    from experiments.benchmarks import first_curve

    return first_curve.run(_TOOLS.value, _ROUNDS.value, console)


def _telemetry(console: Console) -> dict[str, Any]:
    """Measures what a run's telemetry costs."""
    from experiments.benchmarks import telemetry, thoughts

    rounds = _ROUNDS.value
    found = {one: telemetry.run(one, rounds, console) for one in ("relational", "quick")}
    codes = {f"code_{one}": thoughts.run(one, rounds, console) for one in ("minute", "nano")}
    return {**found, **codes}


SUITES: dict[str, Suite] = {
    "train_step": _train_step,
    "step_profile": _step_profile,
    "recurrence": _recurrence,
    "aot": _aot,
    "attention": _attention,
    "solve": _solve,
    "decode": _decode,
    "llama": _llama,
    "exactness": _exactness,
    "speculation": _speculation,
    "first_token": _first_token,
    "context": _context,
    "syntax": _syntax,
    "serve_load": _serve_load,
    "serve_speed": _serve_speed,
    "studio_load": _studio_load,
    "telemetry": _telemetry,
    "first_curve": _first_curve,
    "device": _device,
}

_SUITE = flags.DEFINE_enum("suite", "train_step", list(SUITES), "What to measure.")
_TOOLS = flags.DEFINE_list(
    "tools", ["tensorboard", "trackio"], "first_curve: commands to compare with, names or paths."
)
_PRESET = flags.DEFINE_enum("preset", "hrm_small", list(workload.SHAPES), "The sizes measured.")
_BATCH_SIZES = flags.DEFINE_list("batch_sizes", ["32", "128"], "Batch sizes, each on its own.")
_CONTESTANTS = flags.DEFINE_list(
    "contestants",
    ["torch_eager", "torch_compile", "torch_compile+heap", "hrm_jax", "hrm_jax+heap"],
    f"Who takes part, of {', '.join(train_step.CONTESTANTS)}; a name with +heap runs with malloc "
    "set to keep its memory.",
)
_ROUNDS = flags.DEFINE_integer("rounds", 5, "Turns of each contestant.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps_per_round", 2, "Steps in a turn.", lower_bound=1)
_WARMUP = flags.DEFINE_integer("warmup_steps", 2, "Untimed steps before.", lower_bound=1)
_TARGETS = flags.DEFINE_list(
    "targets",
    ["v5e", "v6e"],
    "aot: machines to compile for: of v5e and v6e (pip install -e '.[aot-tpu]'), or of h100, a100, "
    "l4 and b200 ('.[aot-gpu]').",
)
_TORCH_PYTHON = flags.DEFINE_string(
    "torch_python", sys.executable, "The interpreter that has PyTorch."
)
_LLAMA_PYTHON = flags.DEFINE_string(
    "llama_python", sys.executable, "The interpreter that has llama-cpp-python."
)
_LLAMA_SERVER = flags.DEFINE_string(
    "llama_server", None, "serve_speed: llama.cpp's server, a program built for this machine."
)
_ROWS = flags.DEFINE_list(
    "rows", ["1", "8"], "llama, syntax, serve_speed: numbers of texts written together."
)
_HOLDINGS = flags.DEFINE_list(
    "holdings", ["stored"], "exactness: how weights are held, beside float32."
)
_PROPOSED = flags.DEFINE_list(
    "proposed", ["0", "7"], "speculation: tokens proposed at once; the first is compared with."
)
_PICTURE = flags.DEFINE_string("picture", None, "Where the attention suite draws its PNG.")
_CHECKPOINT = flags.DEFINE_string(
    "checkpoint", None, "solve: a run's folder or a model's; the one that is shipped if unset."
)
_DATA = flags.DEFINE_string("data", None, "solve: a puzzle file; the bank's test split if unset.")
_PUZZLES = flags.DEFINE_integer("puzzles", 0, "solve: how many, spread over the data; 0 for all.")
_MAX_STEPS = flags.DEFINE_integer("max_steps", 0, "solve: steps; 0 for those of training.")
_ATTEMPTS = flags.DEFINE_integer(
    "search_attempts", 8, "solve: attempts after the first at puzzles left unsolved.", lower_bound=1
)
_NOISE = flags.DEFINE_float(
    "search_noise", None, "solve: noise on their initial states; as the model was tested if unset."
)
_MODELS = flags.DEFINE_list(
    "models", ["smollm2-135m", "hrm_text_B"], "decode: which; hrm_text_ and a size has no training."
)
_PROMPT_TOKENS = flags.DEFINE_integer(
    "prompt_tokens", 64, "decode: tokens of the prompt.", lower_bound=1
)
_TOKENS = flags.DEFINE_integer("tokens_per_round", 64, "decode: tokens of a turn.", lower_bound=1)
_PARTS = flags.DEFINE_list(
    "parts",
    [],
    "device: which; all of right, attention, quantized, train_step, relational, text, compiling. "
    "Besides, if named: mosaic, the kernels that are not chosen yet, and tiles, "
    "which tunes the kernels' blocks.",
)
_MINUTES = flags.DEFINE_float(
    "minutes", 8.0, "device: for all parts together; serve_load: of each model.", lower_bound=0.1
)
_CLIENTS = flags.DEFINE_list(
    "clients", ["32"], "serve_load, serve_speed: numbers of clients that ask at a time."
)
_VARIANTS = flags.DEFINE_list(
    "variants",
    ["alone", "path", "others:1000", "all:1000"],
    "context: what is shown besides the file's window, with the characters that it takes of it.",
)
_REGIONS = flags.DEFINE_integer(
    "regions", 100, "context: parts of files, with up to four lines each.", lower_bound=1
)
_RECORDS = flags.DEFINE_string(
    "records", "context.jsonl", "context: file with a record of each line; it is gone on with."
)
_OUT = flags.DEFINE_string(
    "out", None, "Where to write the results as JSON; device: a folder, with a file for each part."
)


def main() -> int:
    """Runs the suite that the flags name; returns 1 where numbers are wrong."""
    # Written to a file, a table has no terminal to fit into.
    console = make_console()
    results = SUITES[_SUITE.value](console)
    if _SUITE.value == "device":
        # It writes its files itself, one for each part.
        wrong = any(results["wrong"].values())
        console.print("wrong numbers or programs: see above" if wrong else "nothing is wrong")
        return int(wrong)
    if _OUT.value:
        write_atomically(pathlib.Path(_OUT.value), json.dumps(results, indent=2) + "\n")
    # Only suites that check what they measure say whether it was right.
    return int(isinstance(results, dict) and results.get("right") is False)


if __name__ == "__main__":
    command.run(main)
