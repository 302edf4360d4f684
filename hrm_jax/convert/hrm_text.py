"""HRM-Text as Hugging Face folders: `config.json`, and safetensors under the published names.

Published files hold the projections of gate, query, key and value as one matrix, and the SwiGLU's
gate and up projections as another, and so do our models; transformers splits them when it loads.
Both forms are read.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from hrm_jax.convert import fusion
from hrm_jax.convert.hrm_text_config import from_hugging_face, to_hugging_face
from hrm_jax.convert.hugging_face import read_config, save_model, without_tied_head
from hrm_jax.convert.pytorch import from_state_dict, text_name, to_state_dict
from hrm_jax.convert.shards import MAX_SHARD_BYTES, load_shards
from hrm_jax.convert.weights import Deferred, StateDict, Weights
from hrm_jax.core.types import Variables
from hrm_jax.models.hrm_text import HrmText, HrmTextConfig

# Gate, query, key and value have equally many rows: each of the four has a share of 1. The last
# entry joins nothing and only renames.
_FUSIONS = (  # published, and what transformers has in its place
    fusion.Fusion("attn.gqkv_proj", {f"self_attn.{p}_proj": 1 for p in ("gate", "q", "k", "v")}),
    fusion.Fusion("mlp.gate_up_proj", {"mlp.gate_proj": 1, "mlp.up_proj": 1}),
    fusion.Fusion("attn.o_proj", {"self_attn.o_proj": 1}),
)


def fuse(state_dict: Weights) -> dict[str, np.ndarray | Deferred]:
    """Returns weights with transformers' split matrices joined, as published files have them."""
    return fusion.fuse(state_dict, _FUSIONS)


def split(state_dict: Mapping[str, np.ndarray]) -> StateDict:
    """Returns published weights as transformers has them in memory: inverts `fuse`."""
    return fusion.split(state_dict, _FUSIONS)


def load_hrm_text(
    folder: str | os.PathLike[str], dtype: str = "float32"
) -> tuple[HrmText, Variables]:
    """Reads a Hugging Face folder, its weights in one file or several, to hold them in `dtype`.

    Raises:
      ConfigError: `config.json` is broken, or asks for what is not implemented.
      WeightsError: the weights are damaged or do not fit the config.
      OSError: a file is absent or cannot be read.
    """
    folder = Path(folder)
    model = HrmText(from_hugging_face(read_config(folder)))
    weights = fuse(load_shards(folder))
    if model.config.tie_embeddings:
        # Some files repeat the embedding's table as the head; the model has a single one.
        weights = without_tied_head(weights)
    return model, from_state_dict(model, weights, text_name, dtype)


def save_hrm_text(
    folder: str | os.PathLike[str],
    config: HrmTextConfig,
    variables: Variables,
    max_shard_bytes: int = MAX_SHARD_BYTES,
) -> None:
    """Writes a model's Hugging Face folder; see `hugging_face.save_model`."""
    save_model(folder, *published_hrm_text(config, variables), max_shard_bytes)


def published_hrm_text(
    config: HrmTextConfig, variables: Variables
) -> tuple[dict[str, Any], StateDict]:
    """Returns the `config.json` and the weights of a model's Hugging Face folder."""
    return to_hugging_face(config), to_state_dict(variables, text_name)
