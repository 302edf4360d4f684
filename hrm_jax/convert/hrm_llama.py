"""HRM on Llama as folders: the trained weights, and a reference to the foundation.

A frozen foundation is not written again: `config.json` has its path or name, and a hash of its
files. A foundation that was trained is written with the rest.
"""

import dataclasses
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jaxtyping import PRNGKeyArray

from hrm_jax.convert.holding import compute_dtype
from hrm_jax.convert.hugging_face import read_config, write_model
from hrm_jax.convert.pytorch import from_state_dict, to_state_dict
from hrm_jax.convert.shards import is_weights_file, load_shards
from hrm_jax.convert.weights import WeightsError
from hrm_jax.core.config import ConfigError, from_dict, replace, to_dict
from hrm_jax.core.types import Variables
from hrm_jax.models.hrm_llama import HrmLlama, HrmLlamaConfig

MODEL_TYPE = "hrm_reasoned"


@dataclasses.dataclass(frozen=True)
class _ReasoningAlone:
    """The reasoning modules as a model of their own, for `from_state_dict`."""

    model: HrmLlama

    def init(self, key: PRNGKeyArray) -> Variables:
        return self.model.init_reasoning(key)


def write_hrm_llama(
    folder: Path, model: HrmLlama, variables: Variables, foundation: str, weights: Path | None
) -> None:
    """Writes a model into an empty folder.

    Args:
      folder: there already.
      model: the model.
      variables: its values.
      foundation: path or name of a frozen foundation, which `load_hrm_llama` gives to its
        `load_foundation`.
      weights: the file or folder that has its values; None where it was trained.

    Raises:
      OSError: the disk is full or fails.
    """
    published: dict[str, Any] = {"model_type": MODEL_TYPE, "config": to_dict(model.config)}
    if weights is not None:
        published["foundation"] = {"path": foundation, "sha256": hash_of(weights)}
        variables = model.parts(variables)[0]
    write_model(folder, published, to_state_dict(variables, _name))


def load_hrm_llama(
    folder: Path,
    load_foundation: Callable[[str], tuple[Path, Variables]],
    dtype: str = "float32",
) -> tuple[HrmLlama, Variables, str | None]:
    """Reads what `write_hrm_llama` wrote.

    Args:
      folder: the model's.
      load_foundation: from a path or name to the file or folder of the weights, and the variables.
      dtype: to hold values in, one of `holding.HOLDINGS`.

    Returns:
      The model, its variables, and the path or name of a frozen foundation.

    Raises:
      ConfigError: `config.json` is broken.
      WeightsError: the weights do not fit, or the foundation is not the one it was trained on.
      OSError: a file is absent or cannot be read.
    """
    published = read_config(folder)
    if not isinstance(published.get("config"), dict):
        raise ConfigError("config", f"expected the fields of a model, got nothing in {folder}")
    config = from_dict(HrmLlamaConfig, published["config"])
    # The foundation decides the dtype of the whole model.
    model = HrmLlama(replace(config, {"foundation.compute_dtype": compute_dtype(dtype)}))
    weights = load_shards(folder)
    if not config.freeze_foundation:
        return model, from_state_dict(model, weights, _name, dtype), None
    stands_on = published.get("foundation")
    if not isinstance(stands_on, dict) or not {"path", "sha256"} <= stands_on.keys():
        raise ConfigError("foundation", f"expected a path and a sha256, got {stands_on!r}")
    # The hash is checked after loading, as loading finds the file; other weights of the same shapes
    # would otherwise give a model that was never trained.
    path, values = load_foundation(stands_on["path"])
    if hash_of(path) != stands_on["sha256"]:
        raise WeightsError(
            f"{folder} was trained on other weights than are at {stands_on['path']}; put the "
            "foundation back that it was trained on, or its path into config.json"
        )
    own = from_state_dict(_ReasoningAlone(model), weights, _name, dtype)
    return model, model.join(own, values), stands_on["path"]


def hash_of(weights: Path) -> str:
    """Returns a hash of a file of weights, or of all weight files of a folder.

    It is the SHA-256 of the files' SHA-256 digests, in the order of their names, in hexadecimal.
    """
    files = [weights]
    if weights.is_dir():
        files = sorted(path for path in weights.iterdir() if is_weights_file(path.name))
    digest = hashlib.sha256()
    for path in files:
        with open(path, "rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()


def _name(path: tuple[Any, ...]) -> tuple[str, bool]:
    # As the arrays are here: there is no published form to follow.
    return ".".join(map(str, path)), False
