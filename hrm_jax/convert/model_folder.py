"""A model as a folder: `config.json`, and `weights.safetensors` under the published names."""

import os
import shutil
from pathlib import Path

from hrm_jax.convert.files import load_state_dict, save_state_dict
from hrm_jax.convert.pytorch import WeightsError, from_state_dict, to_state_dict
from hrm_jax.core.config import from_json, to_json
from hrm_jax.core.types import Variables
from hrm_jax.models.act import Model
from hrm_jax.models.config import ReasonerConfig
from hrm_jax.training.files import sync_folder, write_atomically

CONFIG, WEIGHTS = "config.json", "weights.safetensors"


def save_model(
    folder: str | os.PathLike[str], config: ReasonerConfig, variables: Variables
) -> None:
    """Writes a model folder: there is the whole new one at `folder`, or what was there before.

    Only a kill between the last two renames can leave neither; `<folder>.replaced` then holds the
    model that was there before.

    Args:
      folder: made if absent; replaced if it is a model folder already.
      config: the model's config.
      variables: values of a model of this config.

    Raises:
      WeightsError: `folder` holds something else, which is left alone.
      OSError: the disk is full or fails.
    """
    folder = Path(folder).absolute()
    if foreign := _foreign(folder):
        raise WeightsError(
            f"expected {folder} to be absent or a model folder, found {foreign}; choose another"
        )
    saving, replaced = (folder.with_name(folder.name + end) for end in (".saving", ".replaced"))
    shutil.rmtree(saving, ignore_errors=True)  # what a killed save has left behind
    saving.mkdir(parents=True)
    write_atomically(saving / CONFIG, to_json(config))
    save_state_dict(saving / WEIGHTS, to_state_dict(variables))
    if folder.exists():
        shutil.rmtree(replaced, ignore_errors=True)
        os.rename(folder, replaced)
    os.rename(saving, folder)
    sync_folder(folder.parent)
    shutil.rmtree(replaced, ignore_errors=True)


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


def _foreign(folder: Path) -> str | None:
    """What at `folder` no `save_model` has written, and so must not be removed."""
    if not folder.exists():
        return None
    if not folder.is_dir():
        return "a file"
    others = sorted({path.name for path in folder.iterdir()} - {CONFIG, WEIGHTS})
    return others[0] if others else None
