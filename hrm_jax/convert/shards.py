"""Weights as Hugging Face folders hold them: `model.safetensors`, or several with an index."""

import json
import re
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from hrm_jax.convert.files import open_safetensors, save_state_dict
from hrm_jax.convert.weights import Deferred, StateDict, WeightsError
from hrm_jax.core.files import read_json_object, write_atomically

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
MAX_SHARD_BYTES = 5_000_000_000
_FILES = re.compile(r"model(-\d+-of-\d+)?\.safetensors|" + re.escape(INDEX))
_PYTORCH = "pytorch_model.bin"


def is_weights_file(name: str) -> bool:
    """Returns whether a file of this name is what `save_shards` writes."""
    return _FILES.fullmatch(name) is not None


def save_shards(
    folder: Path, state_dict: Mapping[str, np.ndarray], max_shard_bytes: int = MAX_SHARD_BYTES
) -> None:
    """Writes weights into an empty folder: in one file if they fit, otherwise with an index.

    Args:
      folder: there already.
      state_dict: arrays by name.
      max_shard_bytes: of a file's tensors; a larger tensor has a file of its own.

    Raises:
      OSError: the disk is full or fails.
    """
    shards: list[StateDict] = [{}]
    size = 0
    for name, array in state_dict.items():
        # A tensor above the limit still gets a file: it is never split.
        if shards[-1] and size + array.nbytes > max_shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = array
        size += array.nbytes
    if len(shards) == 1:
        save_state_dict(folder / WEIGHTS, shards[0])
        return
    weight_map = {}
    for number, shard in enumerate(shards, start=1):
        file = f"model-{number:05}-of-{len(shards):05}.safetensors"
        save_state_dict(folder / file, shard)
        weight_map |= dict.fromkeys(shard, file)
    total = sum(array.nbytes for array in state_dict.values())
    index = {"metadata": {"total_size": total}, "weight_map": weight_map}
    # Last, when all that it lists is there.
    write_atomically(folder / INDEX, json.dumps(index, indent=2) + "\n")


def load_shards(folder: Path) -> dict[str, np.ndarray | Deferred]:
    """Returns the weights of a folder, through its index where it has one; floats are read later.

    Raises:
      WeightsError: a file is damaged, or the index and the files do not agree.
      OSError: a file is absent or cannot be read.
    """
    if not (folder / INDEX).exists():
        return open_safetensors(_only_file(folder))
    weight_map = _read_index(folder / INDEX)
    weights: dict[str, np.ndarray | Deferred] = {}
    for file in sorted(set(weight_map.values())):
        shard = open_safetensors(folder / file)
        # Each file is compared with its part of the index, as a download may have mixed two
        # versions.
        listed = {name for name, home in weight_map.items() if home == file}
        if shard.keys() != listed:
            differing = sorted(shard.keys() ^ listed)
            raise WeightsError(
                f"{folder / file}: expected the tensors that {INDEX} lists for it, found a "
                f"difference in {', '.join(differing[:5])}; fetch both anew"
            )
        weights |= shard
    return weights


def _only_file(folder: Path) -> Path:
    """Returns the one file with all the weights, whose absence is explained by what is there."""
    numbered = sorted(folder.glob("*-of-*.safetensors"))
    if (folder / WEIGHTS).exists():
        return folder / WEIGHTS
    # Some tools number a single file, too.
    if len(numbered) == 1 and re.search(r"-0*1-of-0*1\.", numbered[0].name):
        return numbered[0]
    if numbered:
        names = ", ".join(path.name for path in numbered[:3])
        raise WeightsError(
            f"{folder}: expected {INDEX} beside {names}; it says which file holds what: fetch it "
            "from where the files are from"
        )
    if list(folder.glob("pytorch_model*.bin")):
        raise WeightsError(
            f"{folder}: expected {WEIGHTS}, found {_PYTORCH} alone; publishers mostly offer both, "
            "and transformers converts it: AutoModelForCausalLM.from_pretrained(FOLDER)"
            ".save_pretrained(OTHER)"
        )
    others = ", ".join(sorted(path.name for path in folder.iterdir())) or "nothing"
    raise FileNotFoundError(
        f"{folder}: expected {WEIGHTS}, found {others}; fetch it, or name a .gguf file itself"
    )


def _read_index(path: Path) -> dict[str, str]:
    """Returns which file holds each tensor.

    Files must be names beside the index: a path could lead out of the folder.
    """
    try:
        weight_map = read_json_object(path)["weight_map"]
        good = all(Path(file).name == file and file != INDEX for file in weight_map.values())
        good = good and all(file.endswith(".safetensors") for file in weight_map.values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise WeightsError(f"{path}: expected an index with a weight_map, got {error!r}") from error
    if not good:
        raise WeightsError(
            f"{path}: expected names of .safetensors files beside it, got "
            f"{sorted(set(weight_map.values()))[:5]}"
        )
    return weight_map
