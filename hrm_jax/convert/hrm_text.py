"""HRM-Text as Hugging Face folders: `config.json`, and safetensors under the published names.

Published files hold the gate, query, key and value projections as one matrix, and the SwiGLU's gate
and up projections as another, as we do; transformers splits them when it loads. Both are read.
"""

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hrm_jax.convert.folders import replacing_folder
from hrm_jax.convert.hrm_text_config import from_hugging_face, to_hugging_face
from hrm_jax.convert.pytorch import StateDict, WeightsError, from_state_dict, to_state_dict
from hrm_jax.convert.shards import MAX_SHARD_BYTES, is_weights_file, load_shards, save_shards
from hrm_jax.core.config import ConfigError
from hrm_jax.core.types import Variables
from hrm_jax.models.hrm_text import HrmText
from hrm_jax.models.hrm_text_config import HrmTextConfig
from hrm_jax.training.files import write_atomically

CONFIG = "config.json"
_FUSED = {  # published, and what transformers has in its place, in the order of the rows
    "attn.gqkv_proj": tuple(f"self_attn.{part}_proj" for part in ("gate", "q", "k", "v")),
    "mlp.gate_up_proj": ("mlp.gate_proj", "mlp.up_proj"),
    "attn.o_proj": ("self_attn.o_proj",),
}
_LAYER = re.compile(r"(model\.[HL]_module\.layers\.\d+\.)(.+)\.weight")


def hrm_text_name(path: tuple[Any, ...]) -> tuple[str, bool]:
    """The naming of HRM-Text, for `hrm_jax.convert.pytorch`."""
    *module, leaf = map(str, path)
    prefix = [] if module == ["lm_head"] else ["model"]
    name = "weight" if leaf in ("kernel", "table") else leaf
    return ".".join([*prefix, *module, name]), leaf == "kernel"


def fuse(state_dict: Mapping[str, np.ndarray]) -> StateDict:
    """Weights under transformers' names as published ones; what is published already stays."""
    fused = dict(state_dict)
    for layer in sorted({match[1] for match in map(_LAYER.fullmatch, state_dict) if match}):
        for whole, parts in _FUSED.items():
            names = [f"{layer}{part}.weight" for part in parts]
            if all(name in fused for name in names):
                fused[f"{layer}{whole}.weight"] = np.concatenate([fused.pop(n) for n in names])
    return fused


def split(state_dict: Mapping[str, np.ndarray]) -> StateDict:
    """The inverse of `fuse`: published weights under the names that transformers has in memory."""
    found: StateDict = {}
    for name, array in state_dict.items():
        match = _LAYER.fullmatch(name)
        parts = _FUSED.get(match[2], ()) if match else ()
        if match and parts:
            arrays = np.split(array, len(parts))
            found |= {f"{match[1]}{p}.weight": a for p, a in zip(parts, arrays, strict=True)}
        else:
            found[name] = array
    return found


def load_hrm_text(folder: str | os.PathLike[str]) -> tuple[HrmText, Variables]:
    """Reads a Hugging Face folder, its weights in one file or several.

    Raises:
      ConfigError: `config.json` is broken, or asks for what is not implemented.
      WeightsError: the weights are damaged or do not fit the config.
      OSError: a file is absent or cannot be read.
    """
    folder = Path(folder)
    try:
        published = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError("", f"{folder / CONFIG}: expected JSON text, got {error}") from error
    if not isinstance(published, dict):
        raise ConfigError("", f"{folder / CONFIG}: expected an object, got {published!r:.40}")
    model = HrmText(from_hugging_face(published))
    weights = fuse(load_shards(folder))
    head, table = weights.get("lm_head.weight"), weights.get("model.embed_tokens.weight")
    if model.config.tie_embeddings and head is not None:
        if table is None or not np.array_equal(head, table):
            raise WeightsError(
                "lm_head.weight: expected none, or the embedding's own, as tie_word_embeddings "
                "says; set tie_word_embeddings to false to keep it"
            )
        del weights["lm_head.weight"]
    return model, from_state_dict(model, weights, hrm_text_name)


def save_hrm_text(
    folder: str | os.PathLike[str],
    config: HrmTextConfig,
    variables: Variables,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Writes a Hugging Face folder, which transformers loads: the whole new one or none.

    Args:
      folder: made if absent; replaced if it holds a config and weights alone.
      config: the model's config.
      variables: values of a model of this config.
      max_shard_bytes: of a file; weights that need several get an index.

    Raises:
      WeightsError: `folder` holds something else, which is left alone.
      OSError: the disk is full or fails.
    """
    text = json.dumps(to_hugging_face(config), indent=2) + "\n"
    with replacing_folder(folder, lambda name: name == CONFIG or is_weights_file(name)) as saving:
        write_atomically(saving / CONFIG, text)
        save_shards(saving, to_state_dict(variables, hrm_text_name), max_shard_bytes)
