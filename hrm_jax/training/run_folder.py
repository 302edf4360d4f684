"""Finds run folders, and reads configurations and trained variables from them."""

import pathlib
from typing import TypeVar

import jax
from jax.sharding import Mesh

from hrm_jax.core import config as config_lib
from hrm_jax.core.files import read_json_object
from hrm_jax.core.mesh import replicated
from hrm_jax.core.types import Variables
from hrm_jax.training.checkpoint import CheckpointReader
from hrm_jax.training.first_state import abstract_state
from hrm_jax.training.run import CHECKPOINTS, RunError
from hrm_jax.training.run_log import working_folder
from hrm_jax.training.task import Task

Config = TypeVar("Config")


def newest_run(root: pathlib.Path) -> pathlib.Path:
    """Returns the folder below `root` whose checkpoints were changed last.

    Raises:
      RunError: if there is no run.
    """
    folders = [path.parent for path in root.glob(f"*/{CHECKPOINTS}")]
    if not folders:
        raise RunError(
            f"expected a run below {root}, found none; train one first, or name a folder"
        )
    # The folder's own time: it changes when a checkpoint is renamed into it or removed.
    return max(folders, key=lambda folder: (folder / CHECKPOINTS).stat().st_mtime)


def run_of(checkpoint: pathlib.Path) -> pathlib.Path:
    """Returns the run's folder, given that folder or the folder of one of its checkpoints."""
    # Checkpoints stand in RUN/checkpoints/step_N.
    inside = checkpoint.name.startswith("step_")
    return checkpoint.absolute().parent.parent if inside else checkpoint


def read_config(folder: pathlib.Path, kind: type[Config]) -> Config:
    """Returns the configuration that a run was started with.

    Relative paths in it lead where they led from the folder in which the run's command was given,
    if they still lead somewhere from there.

    Raises:
      RunError: if the folder holds no run.
      ConfigError: if the configuration is not of this kind.
    """
    path = folder / "config.json"
    if not path.is_file():
        raise RunError(f"expected a run in {folder}, found no config.json; name a run's folder")
    config = config_lib.from_dict(kind, read_json_object(path))
    began_in = working_folder(folder)
    # From the same folder paths stay as they were written.
    if began_in is None or began_in == pathlib.Path.cwd():
        return config
    return _with_paths_from(began_in, config)


def _with_paths_from(folder: pathlib.Path, config: Config) -> Config:
    """Returns a config whose relative paths are absolute where they lead somewhere from `folder`.

    Paths are the values of fields that declare `path_holds`.
    """
    changes = {}
    for leaf in config_lib.fields(config):
        if leaf.path_holds is None or not leaf.value:
            continue
        # The sought file below it, and not the folder alone, tells that this is the right place.
        place = folder / leaf.value  # an absolute path stays as it is
        if (place / leaf.path_holds).exists():
            changes[leaf.path] = str(place)
    return config_lib.replace(config, changes)


def restore(task: Task, checkpoint: pathlib.Path, mesh: Mesh) -> tuple[Variables, int]:
    """Returns the trained variables to evaluate with, and the step at which they were saved.

    Args:
      task: the run's task.
      checkpoint: the run's folder, for its newest intact checkpoint, or one checkpoint's folder.
      mesh: the devices, each of which gets all variables.

    Raises:
      RunError: if there is no intact checkpoint.
      CheckpointError: if the named one is damaged.
    """
    folder = run_of(checkpoint) / CHECKPOINTS
    target = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=replicated(mesh)),
        abstract_state(task),
    )
    reader = CheckpointReader(folder)
    # `run_of` went up from a checkpoint, and left a run's folder as it is.
    is_one_checkpoint = folder.parent != checkpoint
    restored = reader.restore(checkpoint, target) if is_one_checkpoint else reader.latest(target)
    if restored is None:
        raise RunError(f"expected a checkpoint in {folder}, found none that is intact")
    return restored.state.averaged_variables, restored.step
