"""Trained models without what only training needs: small folders that travel, one with the package.

config.json             the whole configuration of the run
weights.safetensors     what a model is evaluated with: averaged parameters, and buffers
"""

import importlib.resources
import pathlib

import jax
from jax.sharding import Mesh

from hrm_jax.convert.files import load_state_dict, save_state_dict
from hrm_jax.convert.folders import replacing_folder
from hrm_jax.convert.pytorch import from_state_dict, to_state_dict
from hrm_jax.core import config as config_lib
from hrm_jax.core.files import write_atomically
from hrm_jax.core.mesh import replicated
from hrm_jax.core.types import Variables
from hrm_jax.tasks.sudoku.task import SudokuConfig, SudokuTask
from hrm_jax.training.run_folder import read_config, restore, run_of

CONFIG, WEIGHTS = "config.json", "weights.safetensors"


def shipped() -> pathlib.Path:
    """The Sudoku model that comes with the package."""
    return pathlib.Path(str(importlib.resources.files("experiments") / "shipped" / "sudoku"))


def is_exported(folder: pathlib.Path) -> bool:
    """Whether a folder holds a model that `save` wrote."""
    return (folder / WEIGHTS).is_file()


def save(folder: pathlib.Path, task: SudokuTask, variables: Variables) -> None:
    """Writes a model: there is the whole new one at `folder`, or what was there before.

    Raises:
      WeightsError: `folder` holds something else, which is left alone.
      OSError: the disk is full or fails.
    """
    with replacing_folder(folder, {CONFIG, WEIGHTS}.__contains__) as saving:
        write_atomically(saving / CONFIG, config_lib.to_json(task.config))
        save_state_dict(saving / WEIGHTS, to_state_dict(variables))


def load_any(checkpoint: pathlib.Path, mesh: Mesh) -> tuple[SudokuTask, Variables, int | None]:
    """A trained model: the task, the variables to evaluate with, and the step they are from.

    Args:
      checkpoint: a run's folder, for its newest intact checkpoint; one checkpoint's folder; or
        that of an exported model, which does not know its step.
      mesh: the devices that each get all variables.

    Raises:
      RunError: if there is no checkpoint.
      CheckpointError: if the named one is damaged.
      WeightsError: if it is exported, and damaged.
    """
    if is_exported(checkpoint):
        task, variables = load(checkpoint)
        return task, jax.device_put(variables, replicated(mesh)), None
    task = SudokuTask(read_config(run_of(checkpoint), SudokuConfig))
    return task, *restore(task, checkpoint, mesh)


def load(folder: pathlib.Path) -> tuple[SudokuTask, Variables]:
    """Reads a model.

    Raises:
      ConfigError: `config.json` is not that of a Sudoku run.
      WeightsError: the weights are damaged or do not fit the config.
      OSError: a file is absent or cannot be read.
    """
    text = (folder / CONFIG).read_text(encoding="utf-8")
    task = SudokuTask(config_lib.from_json(SudokuConfig, text))
    return task, from_state_dict(task.model, load_state_dict(folder / WEIGHTS))
