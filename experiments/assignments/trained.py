"""The planner's model: the one that comes with the package, a run's, or one exported."""

import functools
import importlib.resources
import pathlib

from hrm_jax.convert.model_folder import (
    is_model_folder,
    load_model_config,
    load_model_variables,
)
from hrm_jax.models.graph_config import GraphModelConfig
from hrm_jax.models.graph_model import GraphModel
from hrm_jax.planning.hrm import ModelProposer


def shipped() -> pathlib.Path:
    """Returns the folder of the model that comes with the package."""
    return pathlib.Path(str(importlib.resources.files("experiments") / "shipped" / "planner"))


# Kept, as --mode=whatif makes two planners, for which the model is read once.
@functools.cache
def load(checkpoint: pathlib.Path) -> ModelProposer:
    """Returns a trained model.

    Args:
      checkpoint: a run's folder, for its newest intact checkpoint; one checkpoint's folder; or that
        of an exported model.

    Raises:
      RunError: there is no checkpoint.
      CheckpointError: the named one is damaged.
      ConfigError: the folder is not of a planner.
      WeightsError: it is exported, and damaged.
      OSError: a file is absent or cannot be read.
    """
    if is_model_folder(checkpoint):
        model = GraphModel(load_model_config(checkpoint, GraphModelConfig))
        return ModelProposer(model, load_model_variables(checkpoint, model))
    return _load_run(checkpoint)


def _load_run(checkpoint: pathlib.Path) -> ModelProposer:
    # What trains takes a second to load, which an exported model does without.
    from hrm_jax.core.mesh import MeshConfig, make_mesh
    from hrm_jax.tasks.planning.task import PlannerConfig, PlannerTask
    from hrm_jax.training.run_folder import read_config, restore, run_of

    task = PlannerTask(read_config(run_of(checkpoint), PlannerConfig))
    variables, _ = restore(task, checkpoint, make_mesh(MeshConfig()))
    return ModelProposer(task.model, variables)
