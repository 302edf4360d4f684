"""A model as a folder: what evaluation needs, without what only training needs.

    config.json             the configuration of its run, or of the model alone
    weights.safetensors     its values under the published names, averaged where training averages

Both kinds of configuration are read as either: a run's holds its model's under `model`.
"""

import dataclasses
import os
from pathlib import Path
from typing import Any, TypeVar

from hrm_jax.convert.files import load_state_dict, save_state_dict
from hrm_jax.convert.folders import replacing_folder
from hrm_jax.convert.pytorch import Initialised, from_state_dict, to_state_dict
from hrm_jax.core.config import check, from_dict, to_json
from hrm_jax.core.files import read_json_object, write_atomically
from hrm_jax.core.types import Variables
from hrm_jax.models.puzzle_config import PuzzleModelConfig
from hrm_jax.models.puzzle_model import PuzzleModel

Config = TypeVar("Config")
CONFIG = "config.json"
WEIGHTS = "weights.safetensors"
_MODEL = "model"
"""The field of a run's configuration that holds its model's."""


def is_model_folder(folder: str | os.PathLike[str]) -> bool:
    """Returns whether `save_model` wrote the folder."""
    return (Path(folder) / WEIGHTS).is_file()


def save_model(folder: str | os.PathLike[str], config: Any, variables: Variables) -> None:
    """Writes a model folder: there is the whole new one at `folder`, or what was there before.

    Args:
      folder: made if absent; replaced if it is a model folder already.
      config: of the model, or of the run that trained it.
      variables: values of a model of this config.

    Raises:
      WeightsError: `folder` holds something else, which is left alone.
      OSError: the disk is full or fails.
    """
    with replacing_folder(folder, {CONFIG, WEIGHTS}.__contains__) as saving:
        write_atomically(saving / CONFIG, to_json(config))
        save_state_dict(saving / WEIGHTS, to_state_dict(variables))


def load_model(folder: str | os.PathLike[str]) -> tuple[PuzzleModel, Variables]:
    """Reads the model of a folder, whichever configuration it holds.

    Raises:
      ConfigError: `config.json` is not one of ours, or mixes by relations, which only a task knows.
      WeightsError: the weights are damaged or do not fit the config.
      OSError: a file is absent or cannot be read.
    """
    model = PuzzleModel(load_model_config(folder, PuzzleModelConfig))
    return model, load_model_variables(folder, model)


def load_model_config(folder: str | os.PathLike[str], kind: type[Config]) -> Config:
    """Returns the configuration as `kind`: a run's, or its model's alone.

    Where the folder holds the model's alone, all else of a run takes its default.

    Raises:
      ConfigError: `config.json` is neither.
      OSError: it is absent or cannot be read.
    """
    # A run's configuration and a model's are told apart by the field `model`, which only a run's
    # has.
    mapping = read_json_object(Path(folder) / CONFIG)
    check(
        "model_type" not in mapping,
        str(folder),
        expected="a folder of HRM or TRM",
        got=f"a language model's, {mapping.get('model_type')!r:.40}",
        remedy="it needs no conversion: load_language_model and --model read it as it is",
    )
    wants_run = _MODEL in {field.name for field in dataclasses.fields(kind)}  # pyright: ignore
    holds_run = _MODEL in mapping
    if wants_run and not holds_run:
        # What only training has takes its defaults.
        mapping = {_MODEL: mapping}
    elif holds_run and not wants_run:
        mapping = mapping[_MODEL]
    return from_dict(kind, mapping)


def load_model_variables(folder: str | os.PathLike[str], model: Initialised) -> Variables:
    """Returns the values of a folder's model.

    Raises:
      WeightsError: they are damaged or not those of `model`.
      OSError: the file is absent or cannot be read.
    """
    return from_state_dict(model, load_state_dict(Path(folder) / WEIGHTS))
