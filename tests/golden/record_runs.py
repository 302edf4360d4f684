"""Records run folders and model folders, so that later code is seen to read and continue them.

    python -m tests.golden.record_runs --out=tests/golden/recorded    # new ones, in a few minutes

Each recording is a folder:

    run/ or model/     what the commands wrote; of a run without curves, events and samples
    puzzles.csv        what a puzzle run learns from; a run of code has `corpus/`
    expected.json      processor and packages of the recording, and a digest for each leaf; of a
                       run also what came out: records of the steps after the checkpoint
    final.npz          the leaves of the last checkpoint of a run that was resumed, without latents
    outputs.npz        what a model says of a fixed input

Runs name their data by relative paths: a command runs in a copy of the folder.
`tests/experiments/recorded_runs_test.py` compares. Record again only where a change of what is
computed is wanted: what the recordings hold is what users have on their disks.
"""

import argparse
import contextlib
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from experiments.sudoku.exported import load_any
from hrm_jax.convert.files import save_state_dict
from hrm_jax.convert.language import load_language_model
from hrm_jax.convert.model_folder import load_model
from hrm_jax.core.files import write_manifest
from hrm_jax.core.mesh import MeshConfig, make_mesh
from hrm_jax.core.types import Batch
from hrm_jax.data.corpus.corpus_dataset_builder import CorpusConfig
from hrm_jax.data.corpus.documents import Project
from hrm_jax.data.corpus.prepared import prepare
from hrm_jax.data.sudoku import bank, canonical, csv_format, puzzle_files
from hrm_jax.training.checkpoint import CheckpointReader

ROOT = pathlib.Path(__file__).parents[2]
RECORDINGS = ROOT / "tests" / "golden" / "recorded"
PROGRAMS = {
    "puzzle": "experiments.sudoku",
    "relational": "experiments.sudoku",
    "code": "experiments.codegen",
}
"""The recorded runs, and the command that each is resumed with."""

MODELS = ("exported", "converted", "language")
"""The recorded models."""

STEPS = 7
SAVED_STEP = 4

_LOOP = (
    f"--config.loop.steps={STEPS}",
    f"--config.loop.checkpoint_every={SAVED_STEP}",
    "--config.loop.log_every=3",
    "--config.loop.evaluate_every=3",
)
_PUZZLES = (
    *("--data=puzzles.csv", "--config.batch_size=4"),
    *("--config.model.hidden_size=16", "--config.model.halt_max_steps=3"),
    *("--config.model.mlp_multiple=16", "--config.model.L_cycles=2"),
    *("--config.validation.puzzles=4", "--config.validation.batch_size=4"),
    *("--config.test.puzzles=4", "--config.test.batch_size=4", "--config.test.max_steps=3"),
)
_RUN_FLAGS = {
    "puzzle": ("--preset=minute", *_PUZZLES, "--config.model.puzzle_emb_ndim=16"),
    "relational": (
        *("--preset=relational", *_PUZZLES, "--config.optim.warmup_steps=2"),
        *("--config.test.search.attempts=2", "--config.test.search.max_steps=2"),
    ),
    "code": (
        *("--preset=minute", "--config.data.corpus=corpus", "--config.model.hidden_size=16"),
        *("--config.model.num_heads=2", "--config.model.head_size=8"),
        *("--config.model.mlp_width=32", "--config.data.row_tokens=64"),
        *("--config.batch_tokens=128", "--config.data.infilling_rate=0.5"),
        '--config.phases=({"gate": {"steps": 6}, "languages": ("python",)}, {})',
        *("--config.validation.samples=1", "--config.validation.sample_tokens=4"),
        *("--config.test.samples=1", "--config.test.sample_tokens=4"),
    ),
}
_NOT_KEPT = ("curves.png", "report.json", "samples.txt", "events.*", "*.lock", "model")


def run_command(module: str, *flags: str, folder: pathlib.Path) -> str:
    """Runs `python -m <module>` in a folder; returns its output.

    Raises:
      RuntimeError: it failed; the message is what it said.
    """
    environment = {
        "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "kernels")]),
        "JAX_PLATFORMS": "cpu",
        "HRM_JAX_DATA": str(folder / "prepared"),
        "COLUMNS": "100",
    }
    done = subprocess.run(
        [sys.executable, "-m", module, *flags],
        env=os.environ | environment,
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{module} {' '.join(flags)}: {done.stderr[-3000:]}")
    return done.stdout


def resume(name: str, folder: pathlib.Path) -> dict[str, Any]:
    """Takes the steps of a recorded run that are left, in a copy of its recording.

    Returns:
      `records`: those after the checkpoint, without times; `report`: the held-out measures.
    """
    run_command(PROGRAMS[name], "--resume", "--run=run", folder=folder)
    lines = (folder / "run" / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    records = [json.loads(line) for line in lines]
    report = json.loads((folder / "run" / "report.json").read_text(encoding="utf-8"))
    return {
        "records": [
            {key: value for key, value in record.items() if key != "time_seconds"}
            for record in records
            if record["step"] > SAVED_STEP
        ],
        "report": _without_times(report),
    }


def _without_times(report: Any) -> Any:
    if not isinstance(report, dict):
        return report
    return {k: _without_times(v) for k, v in report.items() if "per_second" not in k}


def checkpoint_leaves(run: pathlib.Path, step: int) -> dict[str, np.ndarray]:
    """All leaves of a checkpoint by their paths, keys as their data."""
    text = (run / "checkpoints" / f"step_{step:08d}" / "state.json").read_text(encoding="utf-8")
    described = json.loads(text)["leaves"]
    target = {
        path: jax.random.key(0) if leaf["key_impl"] else np.zeros(leaf["shape"], leaf["dtype"])
        for path, leaf in described.items()
    }
    restored = CheckpointReader(run / "checkpoints").restore(step, target).state
    return {
        path: np.asarray(jax.random.key_data(leaf) if described[path]["key_impl"] else leaf)
        for path, leaf in restored.items()
    }


def load_puzzle_model(folder: pathlib.Path) -> tuple[Any, Any]:
    """Model and variables of a run, or of an exported or converted model."""
    if folder.parent.name == "converted":
        return load_model(folder)
    task, variables, _ = load_any(folder, make_mesh(MeshConfig()))
    return task.model, variables


def variable_leaves(variables: Any) -> dict[str, np.ndarray]:
    """All leaves of variables by their paths."""
    return {
        jax.tree_util.keystr(path, simple=True, separator="/"): np.asarray(leaf)
        for path, leaf in jax.tree_util.tree_leaves_with_path(variables)
    }


def puzzle_outputs(model: Any, variables: Any) -> dict[str, np.ndarray]:
    """Scores after two steps of thought about two fixed puzzles."""
    config = model.config
    tokens = np.arange(2 * config.seq_len, dtype=np.int32) % config.vocab_size
    inputs = jnp.asarray(tokens.reshape(2, config.seq_len))
    batch = Batch(inputs, inputs, jnp.zeros(2, jnp.int32))
    carry, _ = model.step(variables, model.initial_carry(variables, batch), batch)
    _, outputs = model.step(variables, carry, batch)
    return {
        "logits": np.asarray(outputs.logits, np.float32),
        "q_halt_logits": np.asarray(outputs.q_halt_logits, np.float32),
    }


def load_model_of(name: str, folder: pathlib.Path) -> tuple[dict[str, np.ndarray], ...]:
    """Leaves and outputs of a recorded model, given its recording."""
    if name != "language":
        model, variables = load_puzzle_model(folder / "model")
        return variable_leaves(variables), puzzle_outputs(model, variables)
    loaded = load_language_model(folder / "model")
    tokens = np.array([loaded.tokenizer.begin("def f(x):\n    return")], np.int32)
    logits = loaded.model.logits(loaded.variables, tokens)
    return variable_leaves(loaded.variables), {"logits": np.asarray(logits, np.float32)}


def digests(leaves: dict[str, np.ndarray]) -> dict[str, str]:
    """For each leaf dtype, shape, and the SHA-256 of its bytes."""
    return {
        path: f"{leaf.dtype} {leaf.shape} {hashlib.sha256(leaf.tobytes()).hexdigest()}"
        for path, leaf in leaves.items()
    }


def machine() -> dict[str, Any]:
    """What results depend on to the last bit."""
    packages = ("jax", "jaxlib", "flax", "optax", "numpy")
    return {
        "packages": {name: importlib.metadata.version(name) for name in packages},
        "processor": _processor(),
        "processor_count": os.cpu_count(),
    }


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor()


def record(out: pathlib.Path) -> None:
    """Makes all recordings anew in `out`."""
    for name in PROGRAMS:
        folder = out / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        _record_run(name, folder)
    makers = {"exported": _export, "converted": _convert, "language": _keep_language_model}
    for name in MODELS:
        folder = out / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        makers[name](out, folder)
        leaves, outputs = load_model_of(name, folder)
        _write(folder, {"leaves": digests(leaves)})
        np.savez_compressed(folder / "outputs.npz", allow_pickle=False, **outputs)


def _record_run(name: str, folder: pathlib.Path) -> None:
    """Trains to the last step, forgets what came after the checkpoint, and resumes a copy."""
    if name == "code":
        _write_corpus(folder)
    else:
        _write_puzzles(folder / "puzzles.csv")
    run_command(PROGRAMS[name], *_RUN_FLAGS[name], *_LOOP, "--run=run", folder=folder)
    shutil.rmtree(folder / "prepared", ignore_errors=True)
    _forget_later_steps(folder / "run")
    found: dict[str, Any] = {"leaves": digests(checkpoint_leaves(folder / "run", SAVED_STEP))}
    if name != "code":
        variables = load_puzzle_model(folder / "run")[1]
        found["averaged"] = digests(variable_leaves(variables))
    with tempfile.TemporaryDirectory() as place:
        copy = pathlib.Path(shutil.copytree(folder, pathlib.Path(place) / name))
        found["resumed"] = resume(name, copy)
        final = checkpoint_leaves(copy / "run", STEPS)
        found["final"] = digests(final)
        small = {path: leaf for path, leaf in final.items() if "/latents/" not in path}
        np.savez_compressed(folder / "final.npz", allow_pickle=False, **small)
        if name == "code":
            shutil.copytree(copy / "run" / "model", folder / "saved_model")
    _write(folder, found)


def _forget_later_steps(run: pathlib.Path) -> None:
    shutil.rmtree(run / "checkpoints" / f"step_{STEPS:08d}")
    _forget_place(run / "checkpoints" / f"step_{SAVED_STEP:08d}")
    for pattern in _NOT_KEPT:
        for path in run.glob(pattern):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink()
    lines = (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in lines if json.loads(line)["step"] <= SAVED_STEP]
    (run / "metrics.jsonl").write_text("".join(kept), encoding="utf-8")
    environment = json.loads((run / "environment.json").read_text(encoding="utf-8"))
    program = pathlib.Path(environment["command"][0])
    environment["command"][0] = program.relative_to(ROOT).as_posix()
    del environment["working_folder"]
    text = json.dumps(environment, indent=2) + "\n"
    (run / "environment.json").write_text(text, encoding="utf-8")


def _forget_place(checkpoint: pathlib.Path) -> None:
    """Takes this machine's path out of the one file that tells where orbax has saved."""
    said = checkpoint / "state" / "commit_success.txt"
    text = said.read_text(encoding="utf-8").replace(f"{checkpoint.parents[2]}/", "")
    said.write_text(text, encoding="utf-8")
    (checkpoint / "manifest.json").unlink()
    write_manifest(checkpoint)


def _write_puzzles(path: pathlib.Path) -> None:
    """Some puzzles of the bank, among them some that become the validation split."""
    puzzles = puzzle_files.read(str(bank.shipped_file("train")))
    held_out = canonical.class_fingerprints(puzzles.answers) % np.uint64(100) == 0
    rows = [*np.flatnonzero(~held_out)[:40], *np.flatnonzero(held_out)[:8]]
    csv_format.write(path, puzzles.take(np.array(rows)), ["bank"] * len(rows))


def _write_corpus(folder: pathlib.Path) -> None:
    def project(number: int) -> Project:
        python = f"def f{number}(x):\n    return x * {number} + {number * 17 % 29}\n"
        c = f"int f{number}(int x) {{ return x + {number * 7 % 11}; }}\n"
        files = [(f"f{number}.py", python.encode()), (f"f{number}.c", c.encode())]
        split = {0: "validation", 1: "test"}.get(number % 6, "train")
        return Project(f"project{number}", "", "MIT", lambda: iter(files), split)

    with tempfile.TemporaryDirectory() as place:
        projects = [project(number) for number in range(24)]
        prepared = prepare(CorpusConfig(name="small", projects=projects), place)
        shutil.copytree(prepared, folder / "corpus")


def _export(out: pathlib.Path, folder: pathlib.Path) -> None:
    """The puzzle run's model, as the command exports it."""
    run = os.path.relpath(out / "puzzle" / "run", folder)
    run_command("experiments.sudoku", "--mode=export", f"--run={run}", "--out=model", folder=folder)


def _convert(_: pathlib.Path, folder: pathlib.Path) -> None:
    """The weights of a recorded original, converted."""
    arrays = np.load(ROOT / "tests" / "golden" / "hrm_v1_a.npz")
    weights = {
        name.removeprefix("init/"): arrays[name] for name in arrays if name.startswith("init/")
    }
    with tempfile.TemporaryDirectory() as place:
        save_state_dict(pathlib.Path(place) / "step_1.safetensors", weights)
        arch = pathlib.Path(place) / "all_config.yaml"
        arch.write_text(json.dumps({"arch": json.loads(str(arrays["config"]))}), encoding="utf-8")
        flags = (f"--input={place}/step_1.safetensors", f"--arch={arch}", "--output=model")
        run_command("experiments.convert", *flags, folder=folder)


def _keep_language_model(out: pathlib.Path, folder: pathlib.Path) -> None:
    """The code run's model, which its end has written in Hugging Face's format."""
    shutil.move(out / "code" / "saved_model", folder / "model")


def _write(folder: pathlib.Path, found: dict[str, Any]) -> None:
    text = json.dumps({"machine": machine()} | found, indent=1) + "\n"
    (folder / "expected.json").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--out", type=pathlib.Path, default=RECORDINGS)
    record(parser.parse_args().out.absolute())
