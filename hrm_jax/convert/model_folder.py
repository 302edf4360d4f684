"""A model as a folder: `config.json`, and `weights.safetensors` under the published names."""

import os
from pathlib import Path

from hrm_jax.convert.files import load_state_dict, save_state_dict
from hrm_jax.convert.folders import replacing_folder
from hrm_jax.convert.pytorch import from_state_dict, to_state_dict
from hrm_jax.core.config import from_json, to_json
from hrm_jax.core.files import write_atomically
from hrm_jax.core.types import Variables
from hrm_jax.models.act import Model
from hrm_jax.models.config import ReasonerConfig

CONFIG, WEIGHTS = "config.json", "weights.safetensors"


def save_model(
    folder: str | os.PathLike[str], config: ReasonerConfig, variables: Variables
) -> None:
    """Writes a model folder: there is the whole new one at `folder`, or what was there before.

    Args:
      folder: made if absent; replaced if it is a model folder already.
      config: the model's config.
      variables: values of a model of this config.

    Raises:
      WeightsError: `folder` holds something else, which is left alone.
      OSError: the disk is full or fails.
    """
    with replacing_folder(folder, {CONFIG, WEIGHTS}.__contains__) as saving:
        write_atomically(saving / CONFIG, to_json(config))
        save_state_dict(saving / WEIGHTS, to_state_dict(variables))


def load_model(folder: str | os.PathLike[str]) -> tuple[Model, Variables]:
    """Reads a model folder.

    Raises:
      ConfigError: `config.json` is not one of ours.
      WeightsError: the weights are damaged or do not fit the config.
      OSError: a file is absent or cannot be read.
    """
    folder = Path(folder)
    config = from_json(ReasonerConfig, (folder / CONFIG).read_text(encoding="utf-8"))
    model = Model(config)
    return model, from_state_dict(model, load_state_dict(folder / WEIGHTS))
