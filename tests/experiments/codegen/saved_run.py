"""A run of a tiny model of code as it is after its first checkpoint, without training."""

import json
import pathlib

import numpy as np

from experiments.codegen.presets import PRESETS
from hrm_jax.core.config import replace, to_json
from hrm_jax.core.mesh import make_mesh
from hrm_jax.data.text.tokenizers import ByteTokenizer
from hrm_jax.tasks.code.data import TOKENIZER
from hrm_jax.tasks.code.task import CodeTask
from hrm_jax.training.checkpoint import CheckpointStore
from hrm_jax.training.first_state import begin
from hrm_jax.training.run import CHECKPOINTS

SMALL = {"model.hidden_size": 16, "model.num_heads": 2, "model.head_size": 8}
STEPS = (40, 80)


def save_run(folder: pathlib.Path) -> None:
    """Writes the folder of a run with two equal checkpoints."""
    config = replace(PRESETS["minute"], SMALL)
    task = CodeTask(config, folder)
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(to_json(config))
    record = {"step": STEPS[-1], "time_seconds": 1e9, "split": "train", "loss": 5.0}
    (folder / "metrics.jsonl").write_text(json.dumps(record) + "\n")
    ByteTokenizer().save(folder / TOKENIZER)
    state = begin(task, make_mesh(config.mesh))
    store = CheckpointStore(folder / CHECKPOINTS, keep=len(STEPS))
    for step in STEPS:
        state = state.__class__(**{**vars(state), "step": np.int32(step)})
        store.save(step, state, {})
