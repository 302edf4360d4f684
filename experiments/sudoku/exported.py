"""Loads trained Sudoku models from a run's folder, a checkpoint's, or an exported model's."""

import importlib.resources
import pathlib

import jax
from jax.sharding import Mesh

from hrm_jax.convert.model_folder import (
    is_model_folder,
    load_model_config,
    load_model_variables,
)
from hrm_jax.core.mesh import replicated
from hrm_jax.core.types import Variables
from hrm_jax.tasks.sudoku.task import SudokuConfig, SudokuTask
from hrm_jax.training.run_folder import read_config, restore, run_of


def shipped() -> pathlib.Path:
    """Returns the folder of the Sudoku model that comes with the package."""
    return pathlib.Path(str(importlib.resources.files("experiments") / "shipped" / "sudoku"))


def chosen(checkpoint: str | None) -> pathlib.Path:
    """Returns the folder that was named, or the shipped model's where none was."""
    return pathlib.Path(checkpoint) if checkpoint else shipped()


def load_any(checkpoint: pathlib.Path, mesh: Mesh) -> tuple[SudokuTask, Variables, int | None]:
    """Returns a trained model: the task, the variables to evaluate with, and their step, if known.

    Args:
      checkpoint: a run's folder, for its newest intact checkpoint; one checkpoint's folder; or
        that of an exported model, which does not know its step.
      mesh: the devices that each get all variables.

    Raises:
      RunError: if there is no checkpoint.
      CheckpointError: if the named one is damaged.
      WeightsError: if it is exported, and damaged.
    """
    if is_model_folder(checkpoint):
        task, variables = load(checkpoint)
        return task, jax.device_put(variables, replicated(mesh)), None
    task = SudokuTask(read_config(run_of(checkpoint), SudokuConfig))
    return task, *restore(task, checkpoint, mesh)


def load(folder: pathlib.Path) -> tuple[SudokuTask, Variables]:
    """Returns an exported or converted model.

    Raises:
      ConfigError: `config.json` is not that of a Sudoku run, or of a model of Sudoku's sizes.
      WeightsError: the weights are damaged or do not fit the config.
      OSError: a file is absent or cannot be read.
    """
    task = SudokuTask(load_model_config(folder, SudokuConfig))
    return task, load_model_variables(folder, task.model)
